"""Reading documents for a run: a plan whose files have not changed since a run recorded it is taken from the store.

Nothing is checked twice: the key covers the bytes of every file, where they lie, and every flag that reading depends on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from weft import __version__
from weft.errors import Problem, StoreError
from weft.formats.snapshot import restore
from weft.ports import RunRow
from weft.spec.actions import Call
from weft.spec.plan import RESOURCES, Plan, Source
from weft.store.archive import SqliteArchive
from weft.store.database import path_of

KEY_BYTES: Final = 16
PYTHON: Final = ".py"
READING: Final = (
    "paths",
    "inputs",
    "format",
    "root",
    "schema",
    "options",
    "strict",
    "shell_eval",
    "replacements",
    "folder",
    "selection",
)
"""What a run keeps of how its documents were read: the key covers these."""
LARGEST_BYTES: Final = 1 << 30  # a plan may not be larger (dialects.md 1.2)


class ReadPlan(NamedTuple):
    """A plan as it was read. key: digest of what it was read from, None when it cannot be known again.

    snapshot: the recorded form that it was taken from, None when it was read from its documents.
    """

    plan: Plan
    warnings: tuple[Problem, ...]
    key: str | None = None
    snapshot: bytes | None = None

    def warnings_text(self) -> str:
        """The warnings as the store keeps them."""
        return json.dumps([warning.as_json() for warning in self.warnings], ensure_ascii=False)


def read_plan(paths: Sequence[str], state: str, how: Mapping[str, Any], load: Callable[[], Any]) -> ReadPlan:
    """The plan of documents. state: the folder that may know them. how: all that reading depends on beside the files.

    load: reads them in full, giving `plan` and `warnings`. Raises PlanError.
    """
    key = _key(paths, how)
    known = _recorded(state, key) if key is not None else None
    if known is not None:
        return known
    loaded = load()
    return ReadPlan(loaded.plan, loaded.warnings, key)


def has_changed(archive: SqliteArchive, row: RunRow, recorded: Plan) -> bool:
    """Whether the documents of a run may give another plan than the one it shows. False: they are what they were."""
    told = row.settings
    if not told.keys() >= {*READING}:
        return True
    schema = (told["schema"],) if told["schema"] else ()
    files = (*told["paths"], *told["inputs"], *schema, *(path for _, path in told["replacements"]))
    key = _key(files, {name: told[name] for name in READING}, told["folder"])
    return key is None or not archive.is_kept(row.run, key) or _depends_on_more(recorded)


def _key(paths: Sequence[str], how: Mapping[str, Any], folder: str | None = None) -> str | None:
    """None for what is no regular file: its content cannot be read twice. folder: of the command, the present one."""
    digest = blake2b(digest_size=KEY_BYTES)
    where = (__version__, os.getcwd() if folder is None else folder, sorted(how.items()))
    digest.update(repr(where).encode("utf-8", "surrogateescape"))
    for path in paths:
        if path.endswith(PYTHON):
            return None  # what a module defines depends on all that it imports
        try:
            if not os.path.isfile(path) or os.path.getsize(path) > LARGEST_BYTES:
                return None
            with open(path, "rb") as file:
                content = file.read()
        except (OSError, ValueError):
            return None  # reading it in full will say what is wrong
        name = os.path.abspath(path).encode("utf-8", "surrogateescape")
        digest.update(b"%d:%d:" % (len(name), len(content)) + name)
        digest.update(content)
    return digest.hexdigest()


def _has_changed(root: str, source: Source) -> bool:
    try:
        with open(os.path.join(root, source.path), "rb") as file:
            return blake2b(file.read(), digest_size=len(source.digest) // 2).hexdigest() != source.digest
    except OSError:
        return True


def _depends_on_more(plan: Plan) -> bool:
    """Whether what it was read from besides its documents may be another by now."""
    from weft.formats.function_sources import changed_sources  # late: first runs know no plan yet

    if next(changed_sources(plan.root, plan.graph.tasks), None) is not None:
        return True  # what functions take was read from there
    if any(_has_changed(plan.root, source) for source in plan.sources if source.dialect == RESOURCES):
        return True
    # Compiled from a registry, whose code has to be looked at.
    return any(isinstance(task.action, Call) and task.action.code for task in plan.graph.tasks)


def _recorded(state: str, key: str) -> ReadPlan | None:
    if not os.path.exists(path_of(state)):
        return None
    try:
        with SqliteArchive(state) as archive:
            found = archive.kept_plan(key)
        if found is None:
            return None
        snapshot, warnings = found
        told = tuple(Problem(**record) for record in json.loads(warnings))
        plan = restore(snapshot)
        if _depends_on_more(plan):
            return None
        return ReadPlan(plan, told, key, snapshot)
    except (StoreError, ValueError):
        return (
            None  # only a short cut: the documents say the same, and a store that is unusable is told when it is opened
        )
