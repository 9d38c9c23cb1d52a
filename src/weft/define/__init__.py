"""The Python front door: typed tasks are defined in a registry, and invoked with values for their options."""
