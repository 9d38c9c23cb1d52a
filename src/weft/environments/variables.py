"""References of variables to each other, `$NAME` and `${NAME}`; the supervisor replaces them (dialects.md 5.2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from weft.spec.actions import Expand
from weft.spec.environments import VariableValue

# As in executors/supervisor/substitution.py, which may import nothing of ours.
_REFERENCE: Final = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def references(text: str) -> tuple[str, ...]:
    """Names that are looked up when `text` is expanded, each once, in order."""
    return tuple(dict.fromkeys(found[1] or found[2] for found in _REFERENCE.finditer(text) if found[1] or found[2]))


def early_references(
    variables: Iterable[tuple[str, VariableValue]], inherited: Collection[str]
) -> Iterator[tuple[str, str]]:
    """(variable, name) of each reference that stays as written though the name is defined by this or a later variable.

    inherited: names that the run starts with.
    """
    given = tuple(variables)
    known = set(inherited)
    for position, (name, value) in enumerate(given):
        if isinstance(value, Expand):
            coming = {other for other, _ in given[position:]} - known
            yield from ((name, wanted) for wanted in references(value.text) if wanted in coming)
        known.add(name)
