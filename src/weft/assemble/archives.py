"""The recorded runs of a state folder; apart from what is asked of them, because every run wants them at hand."""

from __future__ import annotations

from weft.store.archive import SqliteArchive


def archive(state: str) -> SqliteArchive:
    """For reading. Raises StoreError when there are none."""
    return SqliteArchive(state)
