"""Notes of a plan made ready before anything runs: arguments checked, classes of the user's loaded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weft.assemble.run_settings import DRY, RunSettings
from weft.errors import PlanError, Problem, cut
from weft.notes.delivery import LIMIT_SECONDS
from weft.notes.errors import NoteError, reason_of
from weft.spec.notes import CLASSES, ENTRY_POINTS, Note, faults, is_class_path, is_withheld
from weft.spec.plan import Plan

NOTIFY_EXTRA: Final = "apprise is not installed"
NOTIFY_HINT: Final = "pip install 'weft[notify]' brings it"


@dataclass(frozen=True, slots=True)
class ReadyNote:
    """A note that will be sent. maker: of a class of the user's. broken: why nothing of it can be sent."""

    name: str
    note: Note
    maker: Any = None
    broken: str | None = None


def prepare_notes(
    plan: Plan, selected: Sequence[int], settings: RunSettings, *, is_lenient: bool = False
) -> Mapping[str, ReadyNote]:
    """The notes that selected tasks name, in that order; none where nothing is run.

    Raises PlanError with all that is wrong, unless `is_lenient`: then these notes fail when they are sent.
    """
    if settings.executor in DRY:
        return {}  # nobody should be told of what was not done
    tasks = plan.graph.tasks
    names: dict[str, None] = {}
    for task in selected:
        policy = tasks[task].policy
        if policy.notes:
            names.update(dict.fromkeys(policy.notes))
    ready: dict[str, ReadyNote] = {}
    problems: list[Problem] = []
    for name in names:
        found: list[Problem] = []
        maker = _prepare(name, plan.notes[name], plan, found)
        ready[name] = ReadyNote(name, plan.notes[name], maker, found[0].message if found else None)
        problems += found
    if problems and not is_lenient:
        raise PlanError(problems)
    return ready


def _prepare(name: str, note: Note, plan: Plan, problems: list[Problem]) -> Any:
    subject = f"note {cut(name)!r}"
    file = plan.sources[0].path if len(plan.sources) == 1 else None
    known = CLASSES.get(note.kind)
    if known is not None:
        given = {key: value for key, value in note.arguments.items() if not is_withheld(value)}
        for fault in faults(known, given):
            if fault.code == "shape.missing" and len(given) < len(note.arguments):
                continue
            where = f"{cut(fault.key)} {fault.text}" if fault.key is not None else fault.text
            problems.append(Problem(fault.code, f"{subject}: {where}", file, hint=fault.hint))
        if note.kind == "apprise" and not _has_apprise():
            problems.append(Problem("ref.note_class", f"{subject}: {NOTIFY_EXTRA}", file, hint=NOTIFY_HINT))
        return None
    try:
        return _within(LIMIT_SECONDS, lambda: _load(note, os.path.abspath(plan.root)))
    except NoteError as error:
        hint = "a class of yours is module:Class, file.py:Class, or a name of the entry points weft.notes"
        message = f"{subject}: {cut(note.kind)!r} cannot be loaded: {error}"
        problems.append(Problem("ref.note_class", message, file, hint=hint))
        return None


def _has_apprise() -> bool:
    from weft.notes.apprise import is_available

    return is_available()


def _load(note: Note, root: str) -> Any:
    from weft.assemble.classes import ClassNotFoundError, load_class
    from weft.notes.classes import check_keywords

    try:
        maker = load_class(note.kind, root) if is_class_path(note.kind) else _installed(note.kind)
    except ClassNotFoundError as error:
        raise NoteError(str(error)) from error
    check_keywords(maker, note.kind, note.arguments)
    return maker


def _installed(name: str) -> Any:
    from weft.assemble.classes import offered

    for entry in offered(ENTRY_POINTS):
        if entry.name == name:
            return entry.load()
    raise NoteError(f"no installed package offers a note {name!r}")


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` gives, on a thread whose prints go to standard error. Raises NoteError, also for what takes too long."""
    from weft.notes.printing import begin_routing, end_routing, enter_note

    answer: list[Any] = []
    failure: list[str] = []

    def work() -> None:
        enter_note()
        try:
            answer.append(call())
        except BaseException as error:  # noqa: BLE001 - a user's module may raise anything; all of it is a mistake of the plan
            failure.append(reason_of(error))

    begin_routing()
    try:
        thread = threading.Thread(target=work, name="weft-note-class", daemon=True)
        thread.start()
        thread.join(seconds)
    finally:
        end_routing()
    if failure:
        raise NoteError(failure[0])
    if not answer:
        raise NoteError(f"its module is not loaded within {seconds:g} s")
    return answer[0]
