"""The taskplan dialect: environments, notes and jobs (dialects.md 5)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from weft.errors import cut, hint_nearest
from weft.formats.draft import Draft
from weft.formats.mistakes import Document, Mistakes, pointer, show
from weft.formats.native_tasks import TaskMaker, subject_of
from weft.formats.notes import read_note
from weft.formats.shape import Place, check, is_free, keys_of
from weft.formats.taskplan_environments import read_environment
from weft.spec.tasks import name_problem

SECTIONS: Final = ("envs", "notes", "jobs")
_TOP_KEYS: Final = (*SECTIONS, "name")
_OWN_KEYS: Final = frozenset({"env", "note", "command", "shell"})
_ORIGINS: Final[Mapping[str, str]] = {"environment": "env", "notes": "note"}


@dataclass(slots=True)
class TaskplanDraft(Draft):
    """A draft that knows where the keys of the normal form stand in jobs."""

    def pointer_of(self, position: int, *rest: str | int) -> str:
        """JSON pointer of a job, or of what a key of its normal form was made from."""
        raw = self.raw(position)
        if rest:
            key = _ORIGINS.get(str(rest[0]), "command" if rest[0] == "shell" and rest[1:] else rest[0])
            rest = (key, *rest[1:])
        return pointer(*self.prefix, self.keys[position], *self._existing(raw, rest))

    def section_pointer(self, section: str, name: str) -> str:
        """JSON pointer of an entry that is no task."""
        return pointer("envs" if section == "environments" else section, name)


def load_taskplan(document: Document, mistakes: Mistakes, allow_shell: bool = True) -> Draft:
    """The draft of a document. allow_shell: whether variables may be the output of shell commands."""
    return _draft(document, mistakes, allow_shell)


def draft_of(
    data: Mapping[str, Any],
    file: str,
    mistakes: Mistakes,
    allow_shell: bool = True,
    *,
    folder: str = "",
    key: str = "",
    digest: str = "",
) -> Draft:
    """The draft of plain data: `envs`, `notes`, `jobs` of a module, as JSON would hold them.

    file: as it was named. folder: absolute, what paths start from. key: what the plan is locked by. digest: of the source.
    """
    document = Document(file, "python", "", data, digest, folder or os.getcwd(), key or file, lambda: data)
    return _draft(document, mistakes, allow_shell)


def _draft(document: Document, mistakes: Mistakes, allow_shell: bool) -> Draft:
    draft = TaskplanDraft(document, "taskplan", ("jobs",), order="file")
    raw, file = document.data, document.path
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"a task plan is an object, not {show(raw)}", file, "")
        return draft
    for key, value in raw.items():
        if key == "name" and value is not None:
            _read_name(draft, value, mistakes)
        elif key == "description":
            draft.description = value if isinstance(value, str) else None
        elif key not in _TOP_KEYS and not is_free(key):
            message = f"the plan has a key that means nothing here: {cut(key)!r}"
            hint = hint_nearest(key, _TOP_KEYS)
            mistakes.warn("shape.unknown_key", message, file, pointer(key), hint, at_key=True)
    for name, body in _entries(raw, "envs", "environment", file, mistakes):
        place = Place(file, ("envs", name), f"environment {cut(name)!r}", is_secret=True)
        draft.environments[name] = read_environment(body, place, mistakes, allow_shell)
    for name, body in _entries(raw, "notes", "note", file, mistakes):
        place = Place(file, ("notes", name), f"note {cut(name)!r}")
        draft.notes[name] = read_note(body, "class_name", place, mistakes)
    _read_jobs(draft, raw, mistakes)
    return draft


def _read_name(draft: Draft, value: Any, mistakes: Mistakes) -> None:
    if not isinstance(value, str):
        mistakes.error("shape.type", f"the plan: name must be a text, not {show(value)}", draft.file, "/name")
    elif problem := name_problem(value):
        mistakes.error("name.invalid", f"the plan: name: {problem}", draft.file, "/name")
    else:
        draft.name = value


def _entries(
    raw: Mapping[str, Any], section: str, word: str, file: str, mistakes: Mistakes
) -> Iterator[tuple[str, Any]]:
    entries = raw.get(section)
    if entries is None:
        return
    if not isinstance(entries, dict):
        message = f"the plan: {section} must be an object, not {show(entries)}"
        mistakes.error("shape.type", message, file, pointer(section))
        return
    for name, body in entries.items():
        problem = name_problem(name)
        if problem:
            message = f"{word} {cut(name)!r}: {problem}"
            mistakes.error("name.invalid", message, file, pointer(section, name), at_key=True)
        yield name, body


def _read_jobs(draft: Draft, raw: Mapping[str, Any], mistakes: Mistakes) -> None:
    file = draft.file
    maker = TaskMaker(file, mistakes)
    known = keys_of("JobModel")
    for name, body in _entries(raw, "jobs", "job", file, mistakes):
        place = Place(file, ("jobs", name), subject_of(name))
        if not isinstance(body, dict):
            mistakes.error("shape.type", f"{place.subject} must be an object, not {show(body)}", *_at(place))
            draft.broken[name] = name
            continue
        before = len(mistakes.errors)
        fields, _ = check("JobModel", _known(body, known, place, mistakes), place, mistakes)
        native = _native(fields or {}, body, place, mistakes)
        task = maker.make(name, native, place, len(mistakes.errors) == before)
        if len(mistakes.errors) != before:
            draft.unsound.add(len(draft.tasks))
        draft.tasks.append(task)
        draft.keys.append(name)


def _known(body: Mapping[str, Any], known: tuple[str, ...], place: Place, mistakes: Mistakes) -> dict[str, Any]:
    """The keys of a job that mean something; what is null is absent, but for dependencies and the command."""
    kept: dict[str, Any] = {}
    for key, value in body.items():
        if key in known:
            if value is not None or key in ("command", "dependencies"):
                kept[key] = value
        elif not is_free(key):
            message = f"{place.subject} has a key that means nothing here: {cut(key)!r}"
            mistakes.warn("shape.unknown_key", message, *_at(place, key), hint_nearest(key, known), at_key=True)
    if kept.get("note") in ("", []):
        del kept["note"]
    return kept


def _native(fields: Mapping[str, Any], body: Mapping[str, Any], place: Place, mistakes: Mistakes) -> dict[str, Any]:
    native = {key: value for key, value in fields.items() if key not in _OWN_KEYS}
    if "env" in fields:
        native["environment"] = fields["env"]
    if fields.get("note"):
        native["notes"] = fields["note"]
    if "command" not in body:
        mistakes.error("shape.missing", f"{place.subject} has no 'command'", *_at(place))
    elif "command" in fields and ("shell" in fields or body.get("shell") is None):
        is_text = isinstance(body["command"], str)
        native.update(_action(fields["command"], is_text, bool(fields.get("shell")), place, mistakes))
    return native


def _action(words: list[str], is_text: bool, is_shell: bool, place: Place, mistakes: Mistakes) -> dict[str, Any]:
    """`shell` or `command` of the normal form; nothing when it is wrong. is_text: it is one text and no list."""
    if not "".join(words).strip():
        mistakes.error("shape.value", f"{place.subject}: command may not be empty", *_at(place, "command"))
        return {}
    if is_shell:
        return {"shell": " ".join(words)}
    if is_text:
        import shlex  # late: most commands are lists

        hint = "write a list: the program, then its arguments"
        try:
            words = shlex.split(words[0])
        except ValueError as error:
            message = f"{place.subject}: command {cut(words[0])!r} cannot be split into words: {error}"
            mistakes.error("shape.value", message, *_at(place, "command"), hint)
            return {}
        message = f"{place.subject}: command is one text; it is split into {len(words)} words"
        mistakes.warn("shape.value", message, *_at(place, "command"), hint)
        if not words:
            mistakes.error("shape.value", f"{place.subject}: command may not be empty", *_at(place, "command"))
            return {}
    return {"command": [_word(word) for word in words]}


def _word(text: str) -> str | dict[str, str]:
    """An item of a command: with `$` it is expanded where it runs; braces are braces."""
    if "$" in text:
        return {"expand": text}
    return text.replace("{", "{{").replace("}", "}}")


def _at(place: Place, *path: str | int) -> tuple[str, str]:
    return place.file, pointer(*place.base, *path)
