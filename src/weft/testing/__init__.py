"""Public fakes for tests of plans and adapters."""
