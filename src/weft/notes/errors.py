"""What keeps a note from being sent."""

from __future__ import annotations

from weft.errors import cut

REASON_CHARACTERS = 300


class NoteError(Exception):
    """A record cannot be sent; the message says why, for people. It changes no task and no exit code."""


def reason_of(error: BaseException) -> str:
    """One line that says what went wrong; secrets in it are not covered yet."""
    if isinstance(error, NoteError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return cut(" ".join(text.split()), REASON_CHARACTERS)
