"""The tasklist dialect: exec and eval tasks (dialects.md 3). Nothing but dependencies holds one back unless it says so."""

from __future__ import annotations

from typing import Any

from weft.errors import cut, hint_nearest
from weft.formats.draft import Draft
from weft.formats.mistakes import Document, Mistakes, pointer, show
from weft.formats.native_tasks import TaskMaker, without_nulls
from weft.formats.plain import is_plain_listed
from weft.formats.shape import Place, check, is_free, keys_of
from weft.spec.resources import NO_CORES
from weft.spec.tasks import name_problem

_ACTIONS = {"exec": "shell", "eval": "python"}
_OWN_KEYS = frozenset({"name", "type", "arguments", "note"})
_TOP_KEYS = ("tasks", "name")


def load_tasklist(document: Document, mistakes: Mistakes) -> Draft:
    """The draft of `{"tasks": [...]}` or of the list itself."""
    raw, file = document.data, document.path
    draft = Draft(document, "tasklist", () if isinstance(raw, list) else ("tasks",))
    items = raw
    if isinstance(raw, dict):
        items = raw.get("tasks")
        _tell_unknown(raw, _TOP_KEYS, "the document", (), file, mistakes)
        name = raw.get("name")
        if isinstance(name, str) and name_problem(name) is None:
            draft.name = name
        elif name is not None:
            mistakes.error("shape.type", f"the document: name must be a text, not {show(name)}", file, "/name")
        description = raw.get("description")
        draft.description = description if isinstance(description, str) else None
    if not isinstance(items, list):
        if isinstance(raw, dict) and "tasks" not in raw:
            mistakes.error("shape.missing", "the document has no 'tasks'", file, "")
        else:
            location = pointer(*draft.prefix)
            mistakes.error("shape.type", f"the document: tasks must be a list, not {show(items)}", file, location)
        return draft
    _load_tasks(draft, items, mistakes)
    return draft


def _load_tasks(draft: Draft, items: list[Any], mistakes: Mistakes) -> None:
    file = draft.file
    maker = TaskMaker(file, mistakes, NO_CORES)
    for index, body in enumerate(items):
        place = Place(file, (*draft.prefix, index), _subject(body, index))
        fields, is_sound = (body, True) if is_plain_listed(body) else _check_task(body, place, mistakes)
        name = fields.get("name")
        if not isinstance(name, str):
            continue
        if "\0" in fields.get("arguments", "") and fields.get("type") == "exec":
            # A snippet may hold whatever Python can read; what goes to a shell cannot carry a NUL.
            message = f"{place.subject}: arguments holds a NUL character, which no shell can be given"
            mistakes.error("shape.value", message, file, pointer(*place.base, "arguments"))
        native = {key: value for key, value in fields.items() if key not in _OWN_KEYS and value is not None}
        if is_sound:
            native[_ACTIONS[fields["type"]]] = fields["arguments"]
        if fields.get("note"):
            native["notes"] = fields["note"]
        draft.tasks.append(maker.make(name, native, place, is_sound))
        draft.keys.append(index)


def _check_task(body: Any, place: Place, mistakes: Mistakes) -> tuple[dict[str, Any], bool]:
    """What of the task is sound, and whether all of it is."""
    known = keys_of("TasklistModel")
    if isinstance(body, dict) and not body.keys() <= frozenset(known):
        _tell_unknown(body, known, place.subject, place.base, place.file, mistakes)
        body = {key: value for key, value in body.items() if key in known}
    fields, is_sound = check("TasklistModel", body, place, mistakes)
    return (_salvage(body) if fields is None else fields), is_sound


def _subject(body: Any, index: int) -> str:
    name = body.get("name") if isinstance(body, dict) else None
    return f"task {cut(name)!r}" if isinstance(name, str) and name else f"task number {index + 1}"


def _salvage(body: Any) -> dict[str, Any]:
    """What later stages may still look at in a task without all its required keys: its name and its dependencies."""
    if not isinstance(body, dict):
        return {}
    fields: dict[str, Any] = {}
    if isinstance(body.get("name"), str):
        fields["name"] = body["name"]
    dependencies = body.get("dependencies")
    if isinstance(dependencies, list):
        fields["dependencies"] = [name for name in dependencies if isinstance(name, str)]
    return without_nulls(fields)


def _tell_unknown(
    body: dict[str, Any],
    known: tuple[str, ...],
    subject: str,
    base: tuple[str | int, ...],
    file: str,
    mistakes: Mistakes,
) -> None:
    for key in body:
        if key not in known and not is_free(key):
            location, hint = pointer(*base, key), hint_nearest(key, known)
            message = f"{subject} has a key that means nothing here: {cut(key)!r}"
            mistakes.warn("shape.unknown_key", message, file, location, hint, at_key=True)
