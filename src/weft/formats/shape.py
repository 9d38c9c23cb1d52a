"""pydantic's findings in weft's words: one `Mistake` per fault, with its JSON pointer, the field's name and the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.errors import cut, hint_nearest
from weft.formats.mistakes import Mistakes, has_part, pointer, show

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

FREE_KEYS = frozenset({"description", "comment", "$schema", "title"})  # never a mistake; dialects.md 1.6

_KINDS = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("above", "gt"),
    "less_than": ("below", "lt"),
}
_OBJECT_KINDS = frozenset({"dict_type", "mapping_type"})

_NAME_LISTS = frozenset({"dependencies", "notes", "note", "upstream_tasks"})

_WORKFLOW_MODELS = ("DocumentModel", "WorkflowModel", "TemplateModel", "TemplatedModel")
_OTHER_MODELS = {
    "OdopModel": "weft.formats.odop_models",
    "JobModel": "weft.formats.taskplan_models",
    **dict.fromkeys(_WORKFLOW_MODELS, "weft.formats.workflow_models"),
}

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """What a value is part of. subject: for messages (`task 'fit'`); base: where it stands in the document."""

    file: str
    base: Path
    subject: str
    is_secret: bool = False


@cache
def validator(model: str) -> SchemaValidator:
    """The compiled validator of a model in `native_models`, made on first use."""
    from pydantic import TypeAdapter

    return TypeAdapter(_model(model)).validator  # type: ignore[return-value]


@cache
def keys_of(model: str) -> tuple[str, ...]:
    """The keys that a model knows, in schema order."""
    return tuple(_model(model).__annotations__)


def _model(name: str) -> Any:
    return getattr(import_module(_OTHER_MODELS.get(name, "weft.formats.native_models")), name)


def is_free(key: str) -> bool:
    """Whether the key is for people only and never a mistake."""
    return key in FREE_KEYS or key.startswith("__")


def check(model: str, raw: Any, place: Place, mistakes: Mistakes) -> tuple[dict[str, Any] | None, bool]:
    """(the value in canonical units, whether it is sound). An unsound object comes without its unsound keys, if it can."""
    from pydantic_core import ValidationError

    check_value: Callable[[Any], Any] = validator(model).validate_python
    try:
        return check_value(raw), True
    except ValidationError as error:
        found = error.errors(include_url=False)
    resolved = [(item, _resolve(item["loc"], item["type"], raw)) for item in found]
    free = [path for item, path in resolved if item["type"] == "extra_forbidden" and is_free(str(path[-1]))]
    if free:
        # Looked at anew: where a text may stand instead of the object, that was told as a fault, too.
        for path in dict.fromkeys(free):
            raw = _without(raw, path)
        return check(model, raw, place, mistakes)
    _tell(resolved, raw, model, place, mistakes)
    if not isinstance(raw, dict):
        return None, False
    try:
        return check_value(_sound_part(raw, [path for _, path in resolved if path])), False
    except ValidationError:
        return None, False


def _sound_part(raw: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Without the keys that have faults; of a list of names, without its faulty items, because the others can be looked up."""
    faulty = {path[0] for path in paths}
    whole = {path[0] for path in paths if len(path) == 1}
    broken = {path[:2] for path in paths}
    part: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in faulty:
            part[key] = value
        elif key in _NAME_LISTS and key not in whole and isinstance(value, list):
            part[key] = [item for index, item in enumerate(value) if (key, index) not in broken]
    return part


def _resolve(loc: tuple[str | int, ...], kind: str, raw: Any) -> Path:
    """The part of pydantic's `loc` that is a path in `raw`: names of union branches and of texts' longer forms left out."""
    path: list[str | int] = []
    value = raw
    for position, part in enumerate(loc):
        if has_part(value, part):
            value = value[part]
        elif kind == "missing" and position == len(loc) - 1 and isinstance(value, dict):
            break
        else:
            continue
        path.append(part)
    return tuple(path)


def _without(raw: Any, path: Path) -> Any:
    """A copy of `raw` without the member at `path`; only what lies on the path is copied."""
    copied = root = dict(raw) if isinstance(raw, dict) else list(raw)
    for part in path[:-1]:
        inner = copied[part]  # type: ignore[index]
        inner = dict(inner) if isinstance(inner, dict) else list(inner)
        copied[part] = inner  # type: ignore[index]
        copied = inner
    del copied[path[-1]]  # type: ignore[arg-type]
    return root


def _at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def _tell(faults: list[tuple[Any, Path]], raw: Any, model: str, place: Place, mistakes: Mistakes) -> None:
    told: set[tuple[Path, str]] = set()
    kinds_by_path: dict[Path, list[str]] = {}
    for item, path in faults:
        kinds_by_path.setdefault(path, []).append(item["type"])
    for item, path in faults:
        kind = item["type"]
        value = _at(raw, path)
        kinds = kinds_by_path[path]
        # Where a text or an object may stand, pydantic tells one fault per branch; the branch that was meant counts.
        is_object_or_text = "string_type" in kinds and any(
            other in _OBJECT_KINDS or other == "missing" or (isinstance(value, dict) and other != "string_type")
            for other in kinds
        )
        if (
            isinstance(value, dict)
            and kind == "string_type"
            and (is_object_or_text or _has_deeper(path, kinds_by_path))
        ):
            continue
        if isinstance(value, str) and kind in _OBJECT_KINDS and len(kinds) > 1:
            continue
        if kind in _KINDS and len(set(kinds) & {*_OBJECT_KINDS, "string_type"}) > 1:
            expected = "a text or an object"
        else:
            expected = _KINDS.get(kind, "")
        key = (path, expected or kind) if kind != "missing" else (path, str(item["loc"][-1]))
        if key not in told:
            told.add(key)
            _tell_one(item, path, value, expected, model, place, mistakes)


def _has_deeper(path: Path, others: Mapping[Path, object]) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in others)


def _tell_one(item: Any, path: Path, value: Any, expected: str, model: str, place: Place, mistakes: Mistakes) -> None:
    kind, context = item["type"], item.get("ctx") or {}
    location = pointer(*place.base, *path)
    field = _field(path)
    subject = f"{place.subject}: {field}" if field else place.subject
    shown = "" if place.is_secret and "variables" in path else f", not {show(value)}"
    hint: str | None = None
    at_key = False
    if "." in kind:
        code, message, hint = kind, f"{place.subject}: {_prefixed(field, context['message'])}", context["hint"]
    elif kind == "missing":
        code, message = "shape.missing", f"{subject} has no {item['loc'][-1]!r}"
    elif kind == "extra_forbidden":
        key = str(path[-1])
        known = _siblings(model, item["loc"])
        owner = _field(path[:-1])
        where = f"{place.subject}: {owner}" if owner else place.subject
        code, message, at_key = "shape.unknown_key", f"{where} has no key {cut(key)!r}", True
        hint = _near(key, known) or (f"keys are {', '.join(known)}" if 0 < len(known) <= 12 else None)
    elif kind in _KINDS:
        code, message = "shape.type", f"{subject} must be {expected}{shown}"
    elif kind == "literal_error":
        code = "shape.value" if isinstance(value, str) else "shape.type"
        message = f"{subject} must be {context['expected']}{shown}"
        if isinstance(value, str):
            hint = hint_nearest(
                value, [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            )
    elif kind in _LIMITS:
        words, limit = _LIMITS[kind]
        code, message = "shape.value", f"{subject} must be {words} {context[limit]}{shown}"
    elif kind in ("too_short", "string_too_short"):
        code, message = "shape.value", f"{subject} may not be empty"
    elif kind in ("too_long", "string_too_long"):
        code, message = "shape.value", f"{subject} may have at most {context['max_length']} characters"
    elif kind == "string_pattern_mismatch":
        code, message = "shape.value", f"{subject} holds a NUL character"
    else:
        code, message = "shape.value", f"{subject}: {item['msg'][:1].lower()}{item['msg'][1:]}{shown}"
    mistakes.error(code, message, place.file, location, hint, at_key=at_key)


@lru_cache(maxsize=4096)  # a slip of the pen repeats itself in every task that a program has written
def _near(key: str, known: tuple[str, ...]) -> str | None:
    return hint_nearest(key, known)


def _prefixed(field: str, message: str) -> str:
    return (
        f"{field} {message}"
        if message.startswith(("must ", "needs ", "may ", "holds ", "is "))
        else f"{field}: {message}"
    )


def _field(path: Path) -> str:
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{cut(part)}" if shown else cut(part)
    return shown


def _siblings(model: str, loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys known where pydantic found an unknown one."""
    inner = {
        "dependencies": "DependencyModel",
        "files": "FileModel",
        "folders": "FolderModel",
        "match": "MatchModel",
        "requires": "RequiresModel",
        "foreach": "ForeachModel",
        "product": "ProductModel",
        "serialized": "SerializedModel",
        "command": "ExpandModel",
        "source": "SourceModel",
    }
    for part in reversed(loc[:-1]):
        if part in inner:
            return keys_of(inner[str(part)])
    return keys_of(model)
