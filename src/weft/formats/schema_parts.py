"""What `weft schema` says of values that the models read by functions of their own: texts of times, sizes, names, slots.

Patterns are written for Python and ECMAScript alike: `END` is the end of the text, where `$` may stand before a line end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from weft.spec.tasks import NAME_LIMIT
from weft.units import LARGEST_SIZE, MEBIBYTE

END: Final = r"(?![\s\S])"
LARGEST_NUMBER: Final = 1.7976931348623157e308  # the largest finite one

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_ABOVE_ZERO = r"(?=[^1-9]*[1-9])"
_UNITS = (
    r"(?:[wW](?:[eE][eE][kK][sS]?)?)",
    r"(?:[dD](?:[aA][yY][sS]?)?)",
    r"(?:[hH](?:[rR][sS]?|[oO][uU][rR][sS]?)?)",
    r"(?:m|[mM][iI][nN](?:[sS]|[uU][tT][eE][sS]?)?)",
    r"(?:[sS](?:[eE][cC](?:[sS]|[oO][nN][dD][sS]?)?)?)",
    r"(?:[mM][sS]|[mM][iI][lL][lL][iI][sS][eE][cC][oO][nN][dD][sS]?)",
)
_PARTS = r"\s*".join(rf"(?:{_NUMBER}\s*{unit}(?![A-Za-z]))?" for unit in _UNITS)
_CLOCK = r"(?:[0-9]+:|[0-9]+-(?:[01]?[0-9]|2[0-3]|0+[0-9]+):)[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
_TIME = rf"^{_ABOVE_ZERO}\s*(?:{_NUMBER}(?:[eE][+-]?[0-9]+)?|{_CLOCK}|{_PARTS})\s*{END}"
_SIZE = rf"^{_ABOVE_ZERO}\s*{_NUMBER}\s*(?:[bB]|[kKmMgGtTpP](?:[iI]?[bB])?)?\s*{END}"
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"

NAME: Final[dict[str, Any]] = {
    "minLength": 1,
    "maxLength": NAME_LIMIT,
    "pattern": rf"^(?=[\s\S]*\S)[^{_CONTROL}]*{END}",
}
FUNCTION: Final = {"pattern": rf"^[^\x00]+:[^\x00:\s0-9.][^\x00:\s]*{END}"}
MAPPING: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": rf"^(?=[\s\S]*\S)(?:[^\x00{{}}]|\{{\{{|\}}\}}|\{{key\}}|\{{value\}})*{END}",
}

_NULL = {"type": "null"}
_TIME_TEXT = {"type": "string", "pattern": _TIME}
_SIZES = [{"type": "number", "minimum": MEBIBYTE, "maximum": LARGEST_SIZE}, {"type": "string", "pattern": _SIZE}]
_NUMBERS: dict[str, Any] = {"type": "number", "minimum": 0}
_AMOUNT = {"anyOf": [_NUMBERS, _NULL]}
_OTHER_SIZE = {"anyOf": [*_SIZES, {"const": 0}, _NULL]}

TIME: Final = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST_NUMBER}, _TIME_TEXT]}
DELAY: Final = {"anyOf": [{"type": "number", "minimum": 0, "maximum": LARGEST_NUMBER}, _TIME_TEXT]}
AMOUNTS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "cores": _AMOUNT,
        "memory": {"anyOf": [*_SIZES, {"const": "auto"}, _NULL]},
        "disk": _OTHER_SIZE,
        "shared_memory": _OTHER_SIZE,
        "network_bandwidth": {
            "anyOf": [*_OTHER_SIZE["anyOf"], {"type": "string", "pattern": _SIZE.replace(END, rf"/s{END}")}]
        },
    },
    "propertyNames": NAME,
    "additionalProperties": _AMOUNT,
}
LIMITS: Final[dict[str, Any]] = {"type": "object", "propertyNames": NAME, "additionalProperties": _AMOUNT}
SCALES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [_NUMBERS, {"type": "array", "minItems": 1, "items": {"type": ["number", "string"]}}, _NULL]
    },
}

_TEXT = {"type": "string", "pattern": rf"^[^\x00]*{END}"}
VARIABLES: Final[dict[str, Any]] = {
    "type": "object",
    "propertyNames": {"pattern": rf"^[^=\x00]*{END}", "minLength": 1},
    "additionalProperties": {
        "anyOf": [
            _TEXT,
            *(
                {"type": "object", "properties": {key: _TEXT}, "required": [key], "additionalProperties": False}
                for key in ("expand", "shell")
            ),
        ]
    },
}


def causes(kinds: Sequence[str]) -> dict[str, Any]:
    """A text that begins with one of the kinds of cause."""
    return {"pattern": rf"^(?:{'|'.join(kinds)})(?::|{END})"}


def one_of(*keys: str, value: object = None) -> dict[str, Any]:
    """Exactly one of the keys is given; `null` is absent, and so is False where `value` says what counts."""
    given = {"not": _NULL} if value is None else {"const": value}
    return {"oneOf": [{"required": [key], "properties": {key: given}} for key in keys]}


def one_at_most(keys: Sequence[str]) -> dict[str, Any]:
    """One of the keys is given, or none."""
    none = {"properties": dict.fromkeys(keys, _NULL)}
    return {"oneOf": [*one_of(*keys)["oneOf"], none]}


def named(schema: dict[str, Any]) -> dict[str, Any]:
    """An object whose keys are names."""
    return {"type": "object", "propertyNames": NAME, "additionalProperties": schema}


def any_of(*keys: str) -> dict[str, Any]:
    """At least one of the keys is given."""
    return {"anyOf": one_of(*keys)["oneOf"]}
