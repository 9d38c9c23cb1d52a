"""The process that owns local children and outlives the engine. Standard library only; see `loop` for the essay."""
