"""The odop dialect: task specifications, alone, as a list, or as a document with options (dialects.md 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from weft.errors import cut, hint_nearest
from weft.formats.draft import Draft
from weft.formats.function_sources import Sources
from weft.formats.mistakes import Document, Mistakes, has_part, pointer, show, split_pointer
from weft.formats.native_tasks import TaskMaker
from weft.formats.odop_actions import ActionReader
from weft.formats.odop_keys import FIELDS, KNOWN, TOP_KEYS, Fields, Given, Path, find_fields, spelled
from weft.formats.odop_requirements import read_requirements
from weft.formats.shape import Place, check, is_free
from weft.spec.environments import Environment
from weft.spec.options import Option
from weft.spec.tasks import NAME_LIMIT, name_problem

_REQUIRED: Final = ("task_id", "time_limit")
_WANTED: Final = ("cpu", "memory")  # by `validate --strict`
_NEVER_NULL: Final = (*_REQUIRED, "dependencies")
_SAME: Final = ("priority", "niceness", "max_attempts")
_AMOUNTS: Final = (("cpu", "cores"), ("memory", "memory"), ("gpu", "gpu"), ("disk", "disk"))
_RATE: Final = "network_bandwidth"
_ORIGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "timeout": ("time_limit",),
    "command": ("executable",),
    "interruptible": ("interrupt_allowed",),
    "environment": ("working_directory", "environment_variables"),
    "foreach": ("single_file_task",),
    "outputs": ("output_file", "output_folder"),
    "function": ("function", "module"),
}
"""Where a key of the normal form comes from; the others have their own name."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "files": ("required_filepath", "files"),
    "folders": ("required_folder", "files_in_directory"),
    "match": ("required_file_expression",),
    "parameters": ("parameter_available",),
    "signal": ("ready_signal",),
    "shared_memory": ("shared_memory_files",),
}

_INNER_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "files_in_directory": ("path", "minimum", "recursive"),
    "required_file_expression": ("pattern", "glob", "minimum"),
    "serialized": ("path", "data", "format"),
}
"""What the objects of a field may say."""


@dataclass(slots=True)
class OdopDraft(Draft):
    """A draft that knows where the fields of the normal form stand in task specifications.

    is_single: the document is one task.
    """

    is_single: bool = False

    def raw(self, position: int) -> Any:
        """The task as it was written."""
        return self.document.data if self.is_single else Draft.raw(self, position)

    def pointer_of(self, position: int, *rest: str | int) -> str:
        """JSON pointer of a task, or of what a key of its normal form was made from."""
        base = () if self.is_single else (*self.prefix, self.keys[position])
        raw = self.raw(position)
        if not rest or not isinstance(raw, dict):
            return pointer(*base)
        return pointer(*base, *_origin(find_fields(raw), rest))

    def section_pointer(self, section: str, name: str) -> str:
        """JSON pointer of an entry that is no task; environments are made from tasks."""
        return pointer("parameters" if section == "options" else section, name)

    def dependency_place(self, position: int, name: str) -> str:
        """JSON pointer of the item that names `name`, or of what asks for it."""
        raw = self.raw(position)
        fields = find_fields(raw).given if isinstance(raw, dict) else {}
        given = fields.get("dependencies")
        if given is None:
            return self.pointer_of(position)
        index = given.value.index(name) if isinstance(given.value, list) and name in given.value else None
        return self.pointer_of(position, "dependencies", *(() if index is None else (index,)))


def _origin(fields: Fields, rest: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where below its task stands what the place `rest` of the normal form was made from; nothing when nowhere."""
    for names, inner in _origins(rest):
        given = next((fields.given[name] for name in names if name in fields.given), None)
        if given is not None:
            return (*given.path, *Draft._existing(given.value, inner))
    if rest[0] == "resources" and len(rest) > 1 and rest[1] in fields.named:
        return fields.named[str(rest[1])].path
    return ()


def _origins(rest: tuple[str | int, ...]) -> list[tuple[tuple[str, ...], tuple[str | int, ...]]]:
    """(fields, what below them) that the place `rest` of the normal form may have been made from."""
    key = str(rest[0])
    if key == "requires":
        return [(_NEEDS.get(str(rest[1]), ()), ())] if len(rest) > 1 else []
    if key == "resources":
        field = FIELDS.get(str(rest[1])) if len(rest) > 1 else None
        return [] if field is None else [((field,), ())]
    return [(_ORIGINS.get(key, (key,)), rest[1:] if key not in _ORIGINS else ())]


class OdopSettings(NamedTuple):
    """root: absolute folder that paths start from. is_demanding: whether `cpu` and `memory` must be said."""

    root: str
    is_demanding: bool = False


def load_odop(document: Document, settings: OdopSettings, mistakes: Mistakes) -> Draft:
    """The draft of one task, of a list of them, or of `{"tasks": [...]}`."""
    raw, file = document.data, document.path
    top = {spelled(key): key for key in reversed(raw)} if isinstance(raw, dict) else {}
    if isinstance(raw, list):
        return _with_tasks(OdopDraft(document, "odop"), raw, settings, mistakes)
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"a task specification is an object or a list, not {show(raw)}", file, "")
        return OdopDraft(document, "odop")
    if "tasks" not in top:
        return _with_tasks(OdopDraft(document, "odop", is_single=True), [raw], settings, mistakes)
    draft = OdopDraft(document, "odop", (top["tasks"],))
    _read_top(draft, raw, mistakes)
    items = raw[top["tasks"]]
    if not isinstance(items, list):
        location, hint = pointer(top["tasks"]), "put the tasks into a list; each says its 'task_id'"
        mistakes.error("shape.type", f"the document: tasks must be a list, not {show(items)}", file, location, hint)
        return draft
    return _with_tasks(draft, items, settings, mistakes)


def _read_top(draft: OdopDraft, raw: Mapping[str, Any], mistakes: Mistakes) -> None:
    for key, value in raw.items():
        word, location = spelled(key), pointer(key)
        if word == "parameters" and value is not None:
            _read_options(draft, key, value, mistakes)
        elif word == "name" and value is not None:
            problem = name_problem(value) if isinstance(value, str) else None
            if not isinstance(value, str):
                mistakes.error(
                    "shape.type", f"the document: name must be a text, not {show(value)}", draft.file, location
                )
            elif problem:
                mistakes.error("name.invalid", f"the document: name: {problem}", draft.file, location)
            else:
                draft.name = value
        elif word == "description":
            draft.description = value if isinstance(value, str) else None
        elif word not in TOP_KEYS and not is_free(key):
            message = f"the document has a key that means nothing here: {cut(key)!r}"
            hint = hint_nearest(word, TOP_KEYS)
            mistakes.warn("shape.unknown_key", message, draft.file, location, hint, at_key=True)


def _read_options(draft: OdopDraft, key: str, value: Any, mistakes: Mistakes) -> None:
    """`parameters` of a document are options of the plan; a text on the command line is read as the default's kind."""
    if not isinstance(value, dict):
        message = f"the document: parameters must be an object, not {show(value)}"
        mistakes.error("shape.type", message, draft.file, pointer(key))
        return
    for name, default in value.items():
        problem = name_problem(name)
        if problem:
            message = f"parameter {cut(name)!r}: {problem}"
            mistakes.error("name.invalid", message, draft.file, pointer(key, name), at_key=True)
        draft.options[name] = Option(_kind_of(default), default)


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "float"
    return "str" if isinstance(value, str) else "list" if isinstance(value, list) else "any"


def _with_tasks(draft: OdopDraft, items: list[Any], settings: OdopSettings, mistakes: Mistakes) -> OdopDraft:
    reader = _Reader(draft, settings, mistakes)
    for index, body in enumerate(items):
        reader.read(index, body)
    return draft


class _Reader:
    """Reads the tasks of one document."""

    def __init__(self, draft: OdopDraft, settings: OdopSettings, mistakes: Mistakes):
        self._draft = draft
        self._settings = settings
        self._mistakes = mistakes
        self._told = Mistakes()  # of the normal form
        self._maker = TaskMaker(draft.file, self._told)
        self._actions = ActionReader(draft.file, settings.root, Sources(settings.root), mistakes)

    def read(self, index: int, body: Any) -> None:
        """Add the task to the draft; without a name there is nothing to add."""
        draft = self._draft
        base: tuple[str | int, ...] = () if draft.is_single else (*draft.prefix, index)
        if not isinstance(body, dict):
            message = f"task number {index + 1} must be an object, not {show(body)}"
            self._mistakes.error("shape.type", message, draft.file, pointer(*base))
            return
        found = find_fields(body)
        place = Place(draft.file, base, _subject(found, index))
        before = len(self._mistakes.errors)
        self._tell_findings(found, place)
        values = self._checked(found, place)
        name = values.get("task_id")
        if not isinstance(name, str):
            return
        native = self._native(name, values, found, place)
        task = self._maker.make(name, native, place, len(self._mistakes.errors) == before)
        if self._told.errors or self._told.warnings:
            self._take_over(found, place)
        if len(self._mistakes.errors) != before:
            draft.unsound.add(len(draft.tasks))
        draft.tasks.append(task)
        draft.keys.append(index)

    def _take_over(self, found: Fields, place: Place) -> None:
        """What was said of the normal form, at the places that it came from."""
        told, mistakes = self._told, self._mistakes
        for said, own in ((told.errors, mistakes.errors), (told.warnings, mistakes.warnings)):
            for mistake in said:
                parts = split_pointer(mistake.location or "")[len(place.base) :]
                is_list = parts[:1] == ["dependencies"]
                rest = tuple(int(part) if is_list and part.isdecimal() else part for part in parts)
                location = pointer(*place.base, *(_origin(found, rest) if rest else ()))
                own.append(mistake._replace(location=location))
            said.clear()

    # --- the fields

    def _tell_findings(self, found: Fields, place: Place) -> None:
        tell, file = self._mistakes, place.file
        for path in found.unknown:
            key = str(path[-1])
            message = f"{place.subject} has a key that means nothing here: {cut(key)!r}"
            hint = hint_nearest(spelled(key), KNOWN)
            tell.warn("shape.unknown_key", message, file, pointer(*place.base, *path), hint, at_key=True)
        for given in found.misshapen:
            message = f"{place.subject}: {cut(str(given.path[-1]))} must be an object, not {show(given.value)}"
            tell.error("shape.type", message, file, pointer(*place.base, *given.path))
        for field, first, second in found.conflicts:
            secret = field == "environment_variables"
            shown = "" if secret else f": {show(first.value)} and {show(second.value)}"
            others = tuple((file, pointer(*place.base, *given.path)) for given in (first, second))
            message = f"{place.subject} says {cut(field)} twice, differently{shown}"
            tell.error("shape.conflict", message, file, others[-1][1], "keep one of them", at_key=True, others=others)
        for field in _REQUIRED:
            if field not in found.given:
                tell.error("shape.missing", f"{place.subject} has no {field!r}", file, pointer(*place.base))
        for field in _NEVER_NULL:
            null = found.given.get(field)
            if null is not None and null.value is None:
                message = f"{place.subject}: {field} may not be null"
                tell.error("shape.type", message, file, pointer(*place.base, *null.path))
        if self._settings.is_demanding:
            for field in _WANTED:
                if field not in found.given or found.given[field].value is None:
                    message = f"{place.subject} does not say its {field}"
                    tell.warn("shape.missing", message, file, pointer(*place.base), "a strict specification says it")

    def _checked(self, found: Fields, place: Place) -> dict[str, Any]:
        """The sound fields in canonical units; mistakes are told where the fields stand."""
        given = {field: _respelled(field, each.value) for field, each in found.given.items() if each.value is not None}
        inner = Mistakes()
        values, _ = check("OdopModel", given, Place(place.file, (), place.subject), inner)
        for mistake in inner.errors:
            field, *rest = split_pointer(mistake.location or "")
            written = found.given[field]
            location = pointer(*place.base, *written.path, *_as_written(written.value, rest))
            self._mistakes.errors.append(mistake._replace(location=location))
        variables = found.given.get("environment_variables")
        if variables is not None and isinstance(variables.value, dict):
            self._check_variables(variables.value, (*place.base, *variables.path), place)
        for field in _INNER_KEYS.keys() & given.keys():
            self._tell_inner_keys(field, found.given[field], place)
        return values or {}

    def _check_variables(self, variables: Mapping[str, Any], base: Path, place: Place) -> None:
        """Names and texts of variables. Never a value in a message: it may be a secret."""
        for name, text in variables.items():
            location, subject = pointer(*base, name), f"{place.subject}: variable {cut(name)!r}"
            if not name or "=" in name or "\0" in name:
                message = f"{subject}: a name is not empty, and has no '=' and no NUL character in it"
                self._mistakes.error("shape.value", message, place.file, location, at_key=True)
            if not isinstance(text, str):
                self._mistakes.error("shape.type", f"{subject} must be a text", place.file, location)
            elif "\0" in text:
                self._mistakes.error("shape.value", f"{subject} holds a NUL character", place.file, location)

    def _tell_inner_keys(self, field: str, given: Given, place: Place) -> None:
        """Keys that mean nothing, in the objects of a field."""
        known = _INNER_KEYS[field]
        items = enumerate(given.value) if isinstance(given.value, list) else [(None, given.value)]
        for index, item in items:
            path = given.path if index is None else (*given.path, index)
            for key in item if isinstance(item, dict) else ():
                if spelled(key) not in known and not is_free(key):
                    message = f"{place.subject}: {field} has a key that means nothing here: {cut(key)!r}"
                    location, hint = pointer(*place.base, *path, key), hint_nearest(spelled(key), known)
                    self._mistakes.warn("shape.unknown_key", message, place.file, location, hint, at_key=True)

    # --- the normal form

    def _native(self, name: str, values: Mapping[str, Any], found: Fields, place: Place) -> dict[str, Any]:
        native: dict[str, Any] = {key: values[key] for key in _SAME if key in values}
        if "time_limit" in values:
            native["timeout"] = values["time_limit"]
        if "interrupt_allowed" in values:
            native["interruptible"] = values["interrupt_allowed"]
        if "dependencies" in values:
            native["dependencies"] = values["dependencies"]
        outputs = [*values.get("output_file", ()), *values.get("output_folder", ())]
        if outputs:
            native["outputs"] = list(dict.fromkeys(outputs))
        amounts = self._amounts(values, found, place)
        if amounts:
            native["resources"] = amounts
        if found.description is not None:
            native["description"] = found.description
        action = self._actions.read(values, found, place)
        native.update(action.fields)
        native.update(read_requirements(values, found, action.signature, place, self._mistakes))
        self._actions.check_arguments(action, native, found, place)
        environment = _environment_of(values)
        if environment is not None:
            native["environment"] = self._add_environment(name, environment)
        return native

    def _amounts(self, values: Mapping[str, Any], found: Fields, place: Place) -> dict[str, float]:
        amounts = {resource: values[field] for field, resource in _AMOUNTS if field in values}
        if _RATE in values:
            amounts[_RATE] = values[_RATE]
        named = {name: given.value for name, given in found.named.items() if given.value is not None}
        if not named:
            return amounts
        inner = Mistakes()
        checked, _ = check("TaskModel", {"resources": named}, Place(place.file, (), place.subject), inner)
        for mistake in inner.errors:
            name = split_pointer(mistake.location or "")[-1]
            path = found.named[name].path if name in found.named else ()
            self._mistakes.errors.append(mistake._replace(location=pointer(*place.base, *path)))
        return {**amounts, **(checked or {}).get("resources", {})}

    def _add_environment(self, task: str, environment: Environment) -> str:
        name = f"task {task}" if len(task) + 5 <= NAME_LIMIT else task
        self._draft.environments.setdefault(name, environment)
        return name


def _subject(found: Fields, index: int) -> str:
    given = found.given.get("task_id")
    name = given.value if given is not None else None
    return f"task {cut(name)!r}" if isinstance(name, str) and name else f"task number {index + 1}"


def _respelled(field: str, value: Any) -> Any:
    """Keys of the objects that are ours may be spelled in every way, too; those of parameters are the user's."""
    known = _INNER_KEYS.get(field)
    if known is None:
        return value
    if isinstance(value, dict):
        return {spelled(key): inner for key, inner in value.items() if spelled(key) in known}
    return (
        [_respelled(field, item) if isinstance(item, dict) else item for item in value]
        if type(value) is list
        else value
    )


def _as_written(value: Any, path: Sequence[str]) -> Iterator[str]:
    """A path in `_respelled(value)` with the keys that `value` has."""
    for part in path:
        if isinstance(value, dict):
            part = next((key for key in value if spelled(key) == part), part)
        yield part
        inner = int(part) if isinstance(value, list) and part.isdecimal() else part
        value = value[inner] if has_part(value, inner) else None


def _environment_of(values: Mapping[str, Any]) -> Environment | None:
    folder, variables = values.get("working_directory"), values.get("environment_variables")
    if folder is None and not variables:
        return None
    sound = {name: text for name, text in dict(variables or {}).items() if isinstance(text, str)}
    return Environment(path=folder, variables=tuple(sound.items()))
