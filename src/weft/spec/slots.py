"""Slots: `{name}` in a command word or a script stands for a value.

`{{` and `}}` are braces; any other brace text stays as written. Filling is one pass: what a value holds is never looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_SLOT = r"\{\{|\}\}|\{([^\W\d]\w*)\}"


class ShellSlotError(ValueError):
    """A value cannot be quoted where its slot stands in a script. slot: its name."""

    def __init__(self, slot: str, reason: str):
        super().__init__(
            f'the value of {{{slot}}} cannot be quoted {reason}; write "${slot}" there instead of the slot'
        )
        self.slot = slot


def slots_in(text: str) -> tuple[str, ...]:
    """Names of the slots of a command word, each once, in order."""
    if "{" not in text:
        return ()
    return tuple(dict.fromkeys(name for name in re.findall(_SLOT, text) if name))


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The word with every slot filled by the text of its value. Raises KeyError for a slot without one."""
    if "{" not in text and "}" not in text:
        return text
    return re.sub(_SLOT, lambda found: text_of(values[found[1]]) if found[1] else found[0][0], text)


def shell_slots_in(script: str) -> tuple[str, ...]:
    """Names of the slots of a shell script, each once, in order; `${name}` is the shell's."""
    if "{" not in script:
        return ()
    from weft.spec.shelltext import scan  # late: a plan without scripts needs no shell grammar

    return tuple(dict.fromkeys(piece.text for piece in scan(script) if piece.is_slot))


def fill_shell(script: str, values: Mapping[str, Any]) -> str:
    """The script with every slot filled so that the shell reads the value's text as data, whatever it holds.

    Raises KeyError for a slot without a value, ShellSlotError where the shell offers no way to quote this one.
    """
    if "{" not in script and "}" not in script:
        return script
    from weft.spec.shelltext import fill_pieces, scan

    pieces = tuple(scan(script))
    return fill_pieces(pieces, {piece.text: text_of(values[piece.text]) for piece in pieces if piece.is_slot})


def text_of(value: Any) -> str:
    """How a value is written: text as it is, `true`, `false`, nothing for None, numbers in shortest form, else compact JSON."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if hasattr(value, "__fspath__"):
        return _plain_path(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def has_nul(value: Any) -> bool:
    """Whether the value's text holds a NUL, which no argument and no environment variable can carry."""
    return "\0" in value if isinstance(value, str) else False


def _digits(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # beyond sys.get_int_max_str_digits(); Decimal has no such limit
        from decimal import Decimal

        return str(Decimal(value))


def _plain(value: Any) -> Any:
    """Of what json does not know: proxied mappings and paths."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__fspath__"):
        return _plain_path(value)
    raise TypeError(f"a {type(value).__name__} is no plain data")


def _plain_path(value: Any) -> str:
    path = value.__fspath__()
    return path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else str(path)
