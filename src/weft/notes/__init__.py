"""Sinks for the results of tasks (dialects.md 5.4): one file per kind; each fulfils the port `Notifier`."""
