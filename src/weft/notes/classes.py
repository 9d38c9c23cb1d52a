"""Notes of classes of the user's: what they take, and what they make."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from weft.notes.errors import NoteError
from weft.ports import Notifier

Maker = Any
"""The class: called with the keywords, it gives a Notifier."""


def check_keywords(maker: Maker, name: str, keywords: Mapping[str, Any]) -> None:
    """Raises NoteError when the class does not take these keywords, or its instances cannot send."""
    if isinstance(maker, type) and not callable(getattr(maker, "send", None)):
        raise NoteError(f"class {name!r} has no method send(record)")
    try:
        signature = inspect.signature(maker)
    except ValueError:
        return  # made in C: it will say itself what it does not take
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise NoteError(f"class {name!r} cannot be made of its keywords: {error}") from error


def make(maker: Maker, name: str, keywords: Mapping[str, Any]) -> Notifier:
    """An instance."""
    made = maker(**keywords)
    if not callable(getattr(made, "send", None)):
        raise NoteError(f"what {name!r} makes has no method send(record)")
    sink: Notifier = made
    return sink
