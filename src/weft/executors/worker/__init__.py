"""Python workers: persistent processes that make one call at a time. Standard library, `weft.values` and `executors.supervisor`;
syntax of Python 3.8, since a task's environment may have an older interpreter."""
