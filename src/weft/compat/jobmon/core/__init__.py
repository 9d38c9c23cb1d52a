"""Constants, exceptions, functions as tasks."""
