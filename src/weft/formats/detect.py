"""Which dialect a document is written in (dialects.md 1.8)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from weft.formats.mistakes import Mistakes

DIALECTS: Final = ("native", "odop", "tasklist", "taskplan", "workflow", "wfformat", "python")
FORMAT_HINT = "say which dialect it is with --format native|odop|tasklist|taskplan|workflow|wfformat"

_ODOP_KEYS = frozenset({"task_id", "time_limit", "operational", "operational_parameters", "executable"})
_TASKPLAN_KEYS = ("envs", "notes", "jobs")
_MODULE = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?|[A-Za-z_]\w*:[A-Za-z_]\w*"


def is_python(path: str, folder: str) -> bool:
    """Whether `path` is a Python file, or a dotted module name that is no file (either with `:attribute`, maybe)."""
    file, colon, attribute = path.rpartition(":")
    if colon and file.endswith(".py") and attribute.isidentifier() and not os.path.exists(os.path.join(folder, path)):
        path = file
    if path.endswith(".py"):
        return os.path.isfile(os.path.join(folder, path))  # one that is missing is told by who reads it
    if not re.fullmatch(_MODULE, path) or os.path.exists(os.path.join(folder, path)):
        return False
    # A misspelt file name (`plan.jsn`) looks like a module, too: only one whose first part can be found counts.
    top = os.path.join(folder, path.partition(":")[0].split(".")[0])
    return os.path.isdir(top) or os.path.isfile(top + ".py") or ":" in path or _is_installed(path)


def _is_installed(path: str) -> bool:
    """Whether the first part of a dotted name can be imported; nothing is."""
    from importlib.machinery import PathFinder

    return PathFinder.find_spec(path.partition(".")[0]) is not None


def signs(data: Any) -> dict[str, str]:
    """The sign that was seen, by dialect, in the order of dialects.md 1.8."""
    found: dict[str, str] = {}
    if isinstance(data, dict):
        if "weft" in data:
            return {"native": "the key 'weft'"}
        if "schemaVersion" in data and "workflow" in data:
            found["wfformat"] = "the keys 'schemaVersion' and 'workflow'"
        taskplan = [key for key in _TASKPLAN_KEYS if key in data]
        if taskplan:
            found["taskplan"] = f"the key {taskplan[0]!r}"
        if "templates" in data:
            found["workflow"] = "the key 'templates'"
        odop = _odop_key(data)
        if odop:
            found["odop"] = f"the key {odop!r}"
    for task in _tasks_of(data):
        if isinstance(task, dict):
            _add_task_signs(task, found)
    return found


def _tasks_of(data: Any) -> list[Any]:
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        return []
    # The keys of task specifications may be in any letter case.
    tasks = data["tasks"] if "tasks" in data else next((data[key] for key in data if key.lower() == "tasks"), None)
    return tasks if isinstance(tasks, list) else []


def _add_task_signs(task: Mapping[str, Any], found: dict[str, str]) -> None:
    is_template_task = "template" in task
    if is_template_task and "workflow" not in found:
        found["workflow"] = "a task with 'template'"
    # `arguments` and `type` next to `template` are a workflow's own; `type` alone says nothing unless exec or eval.
    if "tasklist" not in found and not is_template_task:
        if "arguments" in task:
            found["tasklist"] = "a task with 'arguments'"
        elif task.get("type") in ("exec", "eval"):
            found["tasklist"] = f"a task of type {task['type']!r}"
    if "odop" not in found:
        key = _odop_key(task)
        if key:
            found["odop"] = f"a task with {key!r}"


def _odop_key(task: Mapping[str, Any]) -> str | None:
    """The key of a task specification that is one's sign; maybe in one of the groups that flatten."""
    from weft.formats.odop_keys import GROUPS, spelled  # late: native plans have no keys to be spelt

    groups = [task]
    for members in groups:
        for key, value in members.items():
            word = spelled(key)
            if word in _ODOP_KEYS:
                return key
            if word in GROUPS and isinstance(value, dict):
                groups.append(value)
    return None


def detect(data: Any, file: str, mistakes: Mistakes) -> str | None:
    """The document's dialect; None when none or several fit (told to `mistakes`)."""
    found = signs(data)
    if len(found) == 1:
        return next(iter(found))
    if found:
        seen = ", ".join(f"{sign} ({dialect})" for dialect, sign in found.items())
        message = f"{file!r} has signs of {len(found)} dialects: {seen}"
        mistakes.error("detect.ambiguous", message, file, "", hint=FORMAT_HINT)
        return None
    if data == [] or (isinstance(data, dict) and data.get("tasks") == []):
        return "tasklist"
    tasks = data.get("tasks") if isinstance(data, dict) else None
    if isinstance(tasks, dict):
        hint = 'a native plan says so: add "weft": 1'
        mistakes.error("detect.unknown", f"{file!r} has an object of tasks and no key 'weft'", file, "", hint=hint)
    else:
        message = f"{file!r} fits no dialect: it is {_describe(data)}"
        mistakes.error("detect.unknown", message, file, "", hint=FORMAT_HINT)
    return None


def _describe(data: Any) -> str:
    if isinstance(data, dict):
        return f"an object with {', '.join(repr(key) for key in list(data)[:5])}" if data else "an empty object"
    if isinstance(data, list):
        return "a list without a task that shows one"
    return "no object and no list"
