"""What needs no model: plans and tasks so plain that a look shows they are sound.

Most tasks of a large plan are a command and some names. Seeing that here costs less than handing them to pydantic, and
a plan of nothing else never builds its models, which takes longer than all the rest of a short run. Whatever is not
plain goes to the models, and so does everything that is wrong: they alone tell mistakes. A property test holds both to
the same answer.
"""

from __future__ import annotations

from typing import Any, Final

from weft.spec.tasks import name_problem

FORMAT_VERSION: Final = 1  # of native documents
_PLAN_KEYS: Final = frozenset({"weft", "name", "description", "tasks"})
_TASK_KEYS: Final = frozenset({"command", "shell", "python", "dependencies", "outputs", "parameters", "description"})
_LISTED_KEYS: Final = frozenset({"name", "type", "arguments", "dependencies"})
_TEXT: Final = frozenset({str})


def is_plain_plan(raw: Any) -> bool:
    """Whether a native document has nothing but tasks, a name and a description, and all of them of their kind."""
    if type(raw) is not dict or not raw.keys() <= _PLAN_KEYS:
        return False
    if type(raw.get("weft")) is not int or raw["weft"] != FORMAT_VERSION or type(raw.get("tasks")) is not dict:
        return False
    return _is_name(raw.get("name", "-")) and _is_text(raw.get("description", ""))


def is_plain_task(body: Any) -> bool:
    """Whether the value of a native task is what its model would give back unchanged."""
    if type(body) is not dict or not body.keys() <= _TASK_KEYS:
        return False
    for key, value in body.items():
        if key == "command":
            if not _is_text_list(value) or not value or not _is_text("".join(value)):
                return False
        elif key == "dependencies":
            if not _is_text_list(value) or not all(map(_is_name, value)):
                return False
        elif key == "outputs":
            if not _is_text_list(value) or not all(value) or not _is_text("".join(value)):
                return False
        elif key == "parameters":
            if type(value) is not dict or not all(map(_is_text, value)):
                return False
        elif not _is_text(value):
            return False
    return True


def is_plain_listed(body: Any) -> bool:
    """The same for a task of the tasklist dialect."""
    if type(body) is not dict or not body.keys() <= _LISTED_KEYS or len(body) < 3:
        return False
    arguments, dependencies, kind = body.get("arguments"), body.get("dependencies", []), body.get("type")
    if not _is_text(arguments) or not arguments or arguments.isspace() or kind not in ("exec", "eval"):
        return False
    return (
        _is_name(body.get("name"))
        and _is_text_list(dependencies)
        and all(dependencies)
        and _is_text("".join(dependencies))
    )


def _is_text_list(value: Any) -> bool:
    return type(value) is list and _TEXT.issuperset(map(type, value))


def _is_text(value: Any) -> bool:
    """Text without NUL and without halves of surrogate pairs."""
    if type(value) is not str or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_name(value: Any) -> bool:
    return type(value) is str and name_problem(value) is None
