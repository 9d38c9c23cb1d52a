"""Make it happen: the engine's loop and what recovers a run."""
