"""The file system before and after an attempt: requirements, contents, fingerprints."""
