"""Who the tasks of a recorded workflow are, and the numbers that people know them by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from weft.spec.identity import encode_args, node_digest, task_digest
from weft.spec.plan import Plan

if TYPE_CHECKING:
    from weft.ports import RunRow
    from weft.store.archive import SqliteArchive

WORKFLOW: Final = "workflow"
"""Key of `plan.attributes` under which a workflow says what it is."""

TASKS_PER_WORKFLOW: Final = 10_000_000
"""A task's number is its workflow's times this, and its rank among all tasks of it, sorted by identity, from 1."""


def identity(plan: Plan) -> Mapping[str, Any]:
    """What a workflow's plan says of itself; empty for other plans."""
    found: Mapping[str, Any] = plan.attributes.get(WORKFLOW, {})
    return found


def template_ids(plan: Plan) -> dict[str, str]:
    """Of a workflow's task templates, by the names that they have in its plan; empty for other plans."""
    if not told_of(plan):
        return {}
    found = identity(plan)["templates"].items()
    ids = {name: entry[3] for name, entry in found if isinstance(entry, list | tuple) and len(entry) > 3}
    return {name: id for name, id in ids.items() if isinstance(id, str)}  # documents may say anything there


def told_of(plan: Plan) -> Mapping[str, Any]:
    """What the row of a workflow's run keeps, so that it is listed without reading its plan; empty for other plans."""
    about = identity(plan)
    if not isinstance(about, Mapping) or not isinstance(about.get("templates"), Mapping):
        return {}
    return {WORKFLOW: {name: about.get(name) for name in ("tool", "version", "workflow_args", "name")}}


def task_hashes(plan: Plan) -> list[bytes]:
    """Identities of a workflow's tasks in plan order, from what the plan alone says. Raises KeyError for other plans."""
    tasks = plan.graph.tasks
    return hashes_of(plan.attributes, ((task.policy.template, task.parameters) for task in tasks))


def hashes_of(attributes: Mapping[str, Any], tasks: Iterable[tuple[str | None, Mapping[str, Any]]]) -> list[bytes]:
    """The same, from the plan's attributes, and from template and parameters of each task."""
    templates: dict[str | None, tuple[bytes, tuple[str, ...], tuple[str, ...]]] = {}
    for name, (node_args, task_args, _, digest, *_) in attributes[WORKFLOW]["templates"].items():
        templates[name] = bytes.fromhex(digest), tuple(node_args), tuple(task_args)
    hashes = []
    for template, values in tasks:
        digest, node_args, task_args = templates[template]
        node = node_digest(digest, encode_args({name: values[name] for name in node_args}))
        hashes.append(task_digest(node, encode_args({name: values[name] for name in task_args})))
    return hashes


def is_complete(archive: SqliteArchive, row: RunRow) -> bool:
    """Whether all tasks of a recorded workflow are done."""
    return archive.ended_counts(row.run).get("ok", 0) == row.tasks


def task_numbers(workflow: int, hashes: Sequence[bytes]) -> list[int]:
    """The numbers of tasks in the order of their identities. workflow: its own number."""
    ranks = {task: rank for rank, task in enumerate(sorted(hashes), 1)}
    return [workflow * TASKS_PER_WORKFLOW + ranks[task] for task in hashes]


class JobmonNames:
    """The variables that tasks of the original system find (workflows.md 8). epoch: number of the run's owner."""

    def __init__(self, plan: Plan, workflow: int, epoch: int):
        self._plan = plan
        self._workflow = workflow
        self._epoch = str(epoch)
        self._numbers: Sequence[int] = ()

    def __call__(self, task: int, nonce: int) -> dict[str, str]:
        """Of one attempt."""
        if not self._numbers:
            self._numbers = task_numbers(self._workflow, task_hashes(self._plan))
        return {
            "JOBMON_TASK_ID": str(self._numbers[task]),
            "JOBMON_TASK_INSTANCE_ID": str(nonce),
            "JOBMON_WORKFLOW_ID": str(self._workflow),
            "JOBMON_WORKFLOW_RUN_ID": self._epoch,
        }
