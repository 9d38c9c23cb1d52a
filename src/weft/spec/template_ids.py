"""Words that people give for task templates: a name, or the beginning of the id of one version (design.md 16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from weft.errors import ArgumentError, cut

LEAST_DIGITS: Final = 8
"""So many hexadecimal digits of an id are enough, where they are unique."""

_SHOWN: Final = 5
_DIGITS: Final = frozenset("0123456789abcdef")


class Meant(NamedTuple):
    """What such a word stands for; one of the two is None. id: the digest of a version of a template, in hexadecimal digits."""

    name: str | None
    id: str | None

    def among(self, ids: Mapping[str, str]) -> tuple[str, ...]:
        """The names of those that are meant. ids: by name."""
        return tuple(name for name, id in ids.items() if id == self.id or name == self.name)


def find_template(word: object, known: Iterable[tuple[str, str]]) -> Meant | None:
    """Names go before ids; None when nothing is called so. known: (name, id). Raises ArgumentError when several ids begin so."""
    text = str(word)
    known = list(known)
    if any(name == text for name, _ in known):
        return Meant(text, None)
    digits = text.lower()
    if len(digits) < LEAST_DIGITS or not _DIGITS.issuperset(digits):
        return None
    found: dict[str, str] = {}
    for name, id in known:
        if id.startswith(digits):
            found.setdefault(id, name)
    if len(found) > 1:
        shown = ", ".join(f"{id} ({cut(name)})" for id, name in sorted(found.items())[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ArgumentError(
            f"the ids of {len(found)} task templates begin with {text!r}: {shown}{more}; give more of one"
        )
    return Meant(None, next(iter(found))) if found else None
