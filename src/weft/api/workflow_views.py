"""Recorded workflows and their tasks as rows to be shown (workflows.md 9): what the command line and compat functions read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from weft.api.letters import LABELS, WORKFLOW_LETTERS, label, task_letter, workflow_letter
from weft.assemble.workflow_identity import TASKS_PER_WORKFLOW, is_complete, task_hashes, template_ids
from weft.errors import UsageError, cut, hint_nearest
from weft.spec.template_ids import Meant, find_template

if TYPE_CHECKING:
    from weft.ports import AttemptRow, RunRow, TaskRow
    from weft.scheduling.outcomes import LogRegion
    from weft.spec.plan import Plan
    from weft.store.archive import SqliteArchive

PREFIX: Final = "workflow:"
"""Of the plan keys of workflows that were made in Python; those of documents say in their settings what they are."""

WORKFLOW: Final = "workflow"
LABEL_ORDER: Final = tuple(dict.fromkeys(LABELS.values()))


class WorkflowView:
    """One recorded workflow. What it takes long to find is read when it is first asked for."""

    def __init__(self, archive: SqliteArchive, row: RunRow):
        self.archive = archive
        self.row = row
        self.number = archive.number(row.run)

    @cached_property
    def plan(self) -> Plan:
        """As it is recorded."""
        from weft.formats.snapshot import restore

        return restore(self.archive.snapshot(self.row.run))

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the workflow says of itself. Raises UsageError for the run of another plan."""
        found: Mapping[str, Any] | None = self.plan.attributes.get(WORKFLOW)
        if found is None:
            raise UsageError(f"run {self.row.run[:12]} is no workflow", "weft status, show and usage tell of it")
        return found

    @property
    def name(self) -> str:
        """Its name, else its workflow_args."""
        return str(self.about.get("name") or self.about.get("workflow_args") or self.row.run[:12])

    @property
    def template_ids(self) -> Mapping[str, str]:
        """By the names that task templates have in the plan."""
        return template_ids(self.plan)

    @cached_property
    def tasks(self) -> Sequence[TaskRow]:
        """In plan order."""
        return self.archive.tasks(self.row.run)

    @cached_property
    def last_attempts(self) -> Mapping[int, AttemptRow]:
        """The latest attempt of each task that was tried."""
        return {row.key.task: row for row in self.archive.attempts(self.row.run)}

    @cached_property
    def ranks(self) -> Sequence[int]:
        """The place of each task among all of them, by identity, from 1."""
        assert self.about is not None
        hashes = task_hashes(self.plan)
        ranks = [0] * len(hashes)
        for rank, place in enumerate(sorted(range(len(hashes)), key=hashes.__getitem__), 1):
            ranks[place] = rank
        return ranks

    def attributes_of(self, task: int) -> dict[str, Any]:
        """What the workflow says of a task, by its place in the plan, and what that got while it ran."""
        return {**self.plan.graph.tasks[task].policy.attributes, **self._added_attributes.get(task, {})}

    @cached_property
    def _added_attributes(self) -> Mapping[int, Mapping[str, str | None]]:
        from weft.api.task_attributes import added_attributes

        return added_attributes(self.archive, self.row.run, lambda: self.plan)

    def task_id(self, task: int) -> int:
        """The number of a task, by its place in the plan."""
        return self.number * TASKS_PER_WORKFLOW + self.ranks[task]

    def letter(self) -> str:
        """Of the workflow."""
        archive, row = self.archive, self.row
        return workflow_letter(
            row.state,
            is_owned=self.is_owned,
            has_started=archive.has_started(row.run),
            exit_code=row.exit_code,
            is_complete=row.state not in ("ok", "failed") and is_complete(archive, row),
        )

    def task_letter(self, task: TaskRow) -> str:
        """Of a task."""
        return task_letter(task.state, self.last_attempts.get(task.task), is_ready=self._is_ready(task.task))

    @cached_property
    def is_owned(self) -> bool:
        """Whether an engine carries it; else nothing of it is queued."""
        return self.archive.is_owned(self.row)

    def _is_ready(self, task: int) -> bool:
        if not self.is_owned:
            return False
        graph = self.plan.graph
        first = graph.first_dependency
        before = graph.dependencies[first[task] : first[task + 1]]
        return all(self._states[other] == "ok" for other in before)

    @cached_property
    def _states(self) -> Mapping[int, str]:
        return {row.task: row.state for row in self.tasks}

    def place_of(self, word: str | int) -> int:
        """The place of a task by its number or name. Raises UsageError."""
        text = str(word)
        if text.isdecimal() and int(text) // TASKS_PER_WORKFLOW == self.number:
            rank = int(text) % TASKS_PER_WORKFLOW
            if rank in self.ranks:
                return self.ranks.index(rank)
        index = self.plan.graph.index
        if text not in index:
            raise UsageError(f"workflow {self.name!r} has no task {cut(text)!r}", hint_nearest(text, index))
        return index[text]


# --- finding -------------------------------------------------------------------------------------------------------------


def workflows(archive: SqliteArchive, limit: int | None = None) -> list[WorkflowView]:
    """The recorded ones, newest first; each identity once."""
    found: dict[str, RunRow] = {row.plan_key: row for row in archive.runs() if _is_workflow(row)}
    newest = sorted(found.values(), key=lambda row: row.started, reverse=True)
    return [WorkflowView(archive, row) for row in newest[:limit]]


def _is_workflow(row: RunRow) -> bool:
    return row.plan_key.startswith(PREFIX) or WORKFLOW in row.settings


def workflow_of(archive: SqliteArchive, word: str | int) -> WorkflowView:
    """By its number, name, workflow_args, or the id of its run. Raises UsageError."""
    text = str(word)
    if text.isdecimal() and (row := archive.numbered(int(text))) is not None:
        return _checked(WorkflowView(archive, row))
    every = workflows(archive)
    named = [view for view in every if text in (view.about.get("name"), view.about.get("workflow_args"))]
    if len(named) == 1:
        return named[0]
    if named:
        numbers = ", ".join(str(view.number) for view in named)
        raise UsageError(f"{len(named)} workflows are named {cut(text)!r}: {numbers}", "give the number of one of them")
    if len(text) >= 4 and (row := next((row for row in archive.runs() if row.run.startswith(text)), None)) is not None:
        return _checked(WorkflowView(archive, row))
    names = [str(name) for view in every for name in (view.name, view.about.get("workflow_args")) if name]
    hint = hint_nearest(text, names) or "weft workflow status lists those that are recorded"
    raise UsageError(f"no workflow {cut(text)!r} is recorded here", hint)


def owner_of(folder: str) -> str:
    """The user to whom a state folder belongs."""
    import pwd

    number = os.stat(folder).st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user without an entry: a container's
        return str(number)


def _checked(view: WorkflowView) -> WorkflowView:
    assert view.about is not None  # raises for the run of another plan
    return view


def template_of(views: Iterable[WorkflowView], word: str) -> Meant:
    """What a name or an id of a task template means in these workflows. Raises UsageError, ArgumentError."""
    known = dict.fromkeys(each for view in views for each in view.template_ids.items())
    found = find_template(word, known)
    if found is None:
        names = sorted({name for name, _ in known})
        hint = hint_nearest(word, names) or (f"templates are {', '.join(names)}" if names else None)
        raise UsageError(f"no task template {cut(word)!r} is recorded", hint)
    return found


def task_of(archive: SqliteArchive, word: str | int, workflow: str | int | None = None) -> tuple[WorkflowView, int]:
    """(workflow, place) of a task by its number, or by its name where that is unique. Raises UsageError."""
    text = str(word)
    if workflow is not None:
        view = workflow_of(archive, workflow)
        return view, view.place_of(text)
    if text.isdecimal():
        number = int(text) // TASKS_PER_WORKFLOW
        if number and archive.numbered(number) is not None:
            view = workflow_of(archive, number)
            return view, view.place_of(text)
    found = [view for view in workflows(archive) if text in view.plan.graph.index]
    if len(found) == 1:
        return found[0], found[0].plan.graph.index[text]
    if found:
        numbers = ", ".join(str(view.number) for view in found)
        raise UsageError(f"workflows {numbers} have a task {cut(text)!r}", "say which one with -w")
    names = [name for view in workflows(archive, 20) for name in view.plan.graph.index]
    raise UsageError(f"no task {cut(text)!r} is recorded in a workflow here", hint_nearest(text, names))


# --- rows ----------------------------------------------------------------------------------------------------------------


def workflow_entry(view: WorkflowView) -> dict[str, Any]:
    """How a workflow stands: counts of tasks by label, and of attempts beyond the first."""
    labels = dict.fromkeys(LABEL_ORDER, 0)
    retries = 0
    for task in view.tasks:
        labels[label(view.task_letter(task))] += 1
        retries += max(0, task.attempts - 1)
    return {
        "workflow_id": view.number,
        "name": view.name,
        "workflow_args": view.about.get("workflow_args", ""),
        "tool": view.about.get("tool"),
        "status": view.letter(),
        "created": view.row.started,
        "tasks": len(view.tasks),
        **{name.lower(): count for name, count in labels.items()},
        "retries": retries,
        "run": view.row.run,
    }


def task_entry(view: WorkflowView, task: TaskRow) -> dict[str, Any]:
    """How a task stands."""
    letter = view.task_letter(task)
    return {
        "task_id": view.task_id(task.task),
        "name": task.name,
        "status": label(letter),
        "letter": letter,
        "state": task.state,
        "cause": task.cause,
        "retries": max(0, task.attempts - 1),
        "attributes": view.attributes_of(task.task),
        "workflow_id": view.number,
    }


def task_entries(view: WorkflowView, labels: Iterable[str] = (), limit: int | None = None) -> list[dict[str, Any]]:
    """Of the tasks with one of these labels or letters; none given: of all."""
    wanted = read_labels(labels)
    found: list[dict[str, Any]] = []
    for task in view.tasks:
        if limit is not None and len(found) >= limit:
            break
        entry = task_entry(view, task)
        if not wanted or entry["status"] in wanted or entry["letter"] in wanted:
            found.append(entry)
    return found


def read_labels(labels: Iterable[str]) -> set[str]:
    """In capitals. Raises UsageError for what is neither a label nor a letter of a task."""
    known = {*LABELS, *LABELS.values()}
    wanted = {str(each).upper() for each in labels}
    for each in sorted(wanted - known):
        hint = hint_nearest(each, LABEL_ORDER) or f"labels are {', '.join(LABEL_ORDER)}"
        raise UsageError(f"there is no status {each!r}", hint)
    return wanted


def read_letters(letters: Iterable[str]) -> set[str]:
    """In capitals. Raises UsageError for what is no letter of a workflow."""
    wanted = {str(each).upper() for each in letters}
    for each in sorted(wanted):
        if each not in [*WORKFLOW_LETTERS]:
            raise UsageError(f"there is no status {each!r} of workflows", f"they are {', '.join(WORKFLOW_LETTERS)}")
    return wanted


def dependency_entries(view: WorkflowView, place: int) -> dict[str, Any]:
    """What a task waits for, and what waits for it, directly."""
    graph = view.plan.graph
    first_up, first_down = graph.first_dependency, graph.first_follower
    up = graph.dependencies[first_up[place] : first_up[place + 1]]
    down = graph.followers[first_down[place] : first_down[place + 1]]
    rows = {row.task: row for row in view.tasks}
    return {
        "task": task_entry(view, rows[place]),
        "upstream": [task_entry(view, rows[other]) for other in up],
        "downstream": [task_entry(view, rows[other]) for other in down],
    }


def log_entries(
    view: WorkflowView, array: str | None = None, name: str | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Where the output of the latest attempt of each task lies. array: template, or its id. name: part of a task's name."""
    folder = os.path.join(view.archive.folder, "logs", view.row.run)
    tasks = view.plan.graph.tasks
    arrays = None if array is None else template_of([view], array).among(view.template_ids)
    told = 0
    for place, row in view.last_attempts.items():
        template = tasks[place].policy.template
        if (arrays is not None and template not in arrays) or (name is not None and name not in tasks[place].name):
            continue
        if limit is not None and told >= limit:
            return
        told += 1
        yield {
            "task_id": view.task_id(place),
            "name": tasks[place].name,
            "array": template,
            "stdout": _log(folder, row.stdout),
            "stderr": _log(folder, row.stderr),
        }


def _log(folder: str, region: LogRegion) -> dict[str, Any] | None:
    """Output of many attempts may share a file, so where it begins is told, too."""
    if not region.file:
        return None
    length = region.length if region.length >= 0 else None
    return {"path": os.path.join(folder, region.file), "offset": region.offset, "length": length}
