"""Notes of a document, whichever door it came through: a class, its keywords, its conditions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from weft.errors import cut, hint_nearest
from weft.formats.mistakes import Mistakes, pointer, show
from weft.formats.shape import Place, is_free
from weft.spec.notes import (
    CLASSES,
    CONDITIONS,
    ENTRY_POINTS,
    REQUIRED,
    Form,
    Note,
    NoteClass,
    faults,
    is_class_path,
    make_note,
)

_TEXTS: Final = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_FORMS: Final[Mapping[Form, list[dict[str, Any]]]] = {
    "text": [{"type": "string", "minLength": 1}],
    "url": [{"type": "string", "minLength": 1}],
    "texts": [{"type": "string", "minLength": 1}, _TEXTS],
    "words": [_TEXTS],
    "flag": [{"type": "boolean"}],
    "count": [{"type": "integer", "minimum": 1}],
    "port": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "pattern": r"\$"}],
    "identity": [{"type": "string", "minLength": 1}, {"type": "integer"}],
}


def read_note(body: Any, class_key: str, place: Place, mistakes: Mistakes) -> Note:
    """The note that `body` describes; what is wrong with it is told, and left out of the note.

    class_key: which key names its class: `kind` in native documents, `class_name` in task plans.
    """
    if not isinstance(body, Mapping):
        mistakes.error("shape.type", f"{place.subject} must be an object, not {show(body)}", *_at(place))
        return Note("")
    name = body.get(class_key)
    conditions = _conditions(body.get("conditions"), place, mistakes)
    given = {key: value for key, value in body.items() if key not in (class_key, "conditions")}
    if name is None:
        if class_key in body:
            mistakes.error(
                "shape.type", f"{place.subject}: {class_key} must be a text, not null", *_at(place, class_key)
            )
        else:
            mistakes.error("shape.missing", f"{place.subject} has no {class_key!r}", *_at(place))
        return Note("", MappingProxyType({}), conditions)
    if not isinstance(name, str):
        message = f"{place.subject}: {class_key} must be a text, not {show(name)}"
        mistakes.error("shape.type", message, *_at(place, class_key))
        return Note("", MappingProxyType({}), conditions)
    known = CLASSES.get(name)
    if known is None:
        if not is_class_path(name) and not _is_installed(name):
            message = f"{place.subject}: {class_key}: {cut(name)!r} is no kind of note"
            hint = hint_nearest(name, CLASSES) or f"{', '.join(CLASSES)}, or module:Class for your own"
            mistakes.error("ref.note_class", message, *_at(place, class_key), hint)
        own = {key: value for key, value in given.items() if not key.startswith("__")}
        return Note(name, MappingProxyType(own), conditions)
    arguments = {key: value for key, value in given.items() if known.keyword(key) is not None or not is_free(key)}
    for fault in faults(known, arguments):
        _tell(fault.code, fault.key, fault.text, fault.hint, arguments, fault.is_value_shown, place, mistakes)
    return make_note(known, arguments, conditions)


def notes_schema() -> dict[str, Any]:
    """The JSON Schema of a note in a native document, from the table."""
    conditions = {"anyOf": [{"type": "array", "items": {"enum": list(CONDITIONS)}}, {"type": "null"}]}
    known = {
        "if": {"properties": {"kind": {"enum": list(CLASSES)}}, "required": ["kind"]},
        "then": {"anyOf": [_class_schema(each) for each in CLASSES.values()]},
    }
    return {
        "type": "object",
        "properties": {"kind": {"type": "string", "minLength": 1}, "conditions": conditions},
        "required": ["kind"],
        **known,
    }


def _class_schema(known: NoteClass) -> dict[str, Any]:
    null: dict[str, Any] = {"type": "null"}
    fields: dict[str, Any] = {
        keyword.name: {"enum": [*keyword.choices, None]}
        if keyword.choices
        else {"anyOf": [*_FORMS[keyword.form], null]}
        for keyword in known.keywords
    }
    required = [each.name for each in known.keywords if each.default is REQUIRED and each.name not in known.preset]
    return {
        "properties": {"kind": {"const": known.name}, "conditions": {}, **fields},
        "required": required,
        "patternProperties": {r"^(__.*|description|comment|\$schema|title)$": {}},
        "additionalProperties": False,
    }


def _tell(
    code: str,
    key: str | None,
    text: str,
    hint: str | None,
    arguments: Mapping[str, Any],
    is_value_shown: bool,
    place: Place,
    mistakes: Mistakes,
) -> None:
    if key is None:
        mistakes.error(code, f"{place.subject} {text}", *_at(place), hint)
        return
    shown = f", not {show(arguments[key])}" if is_value_shown else ""
    if code == "shape.unknown_key":
        mistakes.error(code, f"{place.subject} has no key {cut(key)!r}", *_at(place, key), hint, at_key=True)
    else:
        mistakes.error(code, f"{place.subject}: {cut(key)} {text}{shown}", *_at(place, key), hint)


def _conditions(value: Any, place: Place, mistakes: Mistakes) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        message = f"{place.subject}: conditions must be a list, not {show(value)}"
        mistakes.error("shape.type", message, *_at(place, "conditions"))
        return ()
    sound: list[str] = []
    for position, item in enumerate(value):
        subject = f"{place.subject}: conditions[{position}]"
        where = _at(place, "conditions", position)
        if not isinstance(item, str):
            mistakes.error("shape.type", f"{subject} must be a text, not {show(item)}", *where)
        elif item not in CONDITIONS:
            hint = hint_nearest(item, CONDITIONS) or f"conditions are {', '.join(CONDITIONS)}"
            mistakes.error("shape.value", f"{subject} is no condition: {show(item)}", *where, hint)
        else:
            sound.append(item)
    return tuple(dict.fromkeys(sound))


def _at(place: Place, *path: str | int) -> tuple[str, str]:
    return place.file, pointer(*place.base, *path)


def _is_installed(name: str) -> bool:
    """Whether an installed package offers a class by that name; its code is not loaded."""
    from importlib.metadata import entry_points  # late: only names that are not ours ask

    return bool(entry_points(group=ENTRY_POINTS, name=name))
