"""Hides secrets in output that is shown: see `weft.store.masking`, which also covers what notes send."""

from weft.store.masking import MaskedLogs, secret_values

__all__ = ["MaskedLogs", "secret_values"]
