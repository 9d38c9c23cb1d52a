"""How a plan is to be run: what the command line, the settings files and the API agree on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from weft.assemble.queue_cuts import cuts
from weft.errors import PlanError, Problem, UsageError, hint_nearest
from weft.settings import STATE_FOLDER, TrackerClass
from weft.spec.plan import Plan
from weft.spec.retries import Forgotten
from weft.spec.tasks import STDIN, Task

if TYPE_CHECKING:
    from weft.executors.link import Newborn
    from weft.files.watched import Sieve
    from weft.runtime.interrupts import Interrupts

SIMULATED: Final = "simulated"  # of what records the work of another system: it is never executed (dialects.md 6)
EXECUTORS: Final = ("local", "noop", SIMULATED)
LATER_EXECUTORS: Final = ("slurm", "dask")
PLACED: Final = 'weft.toml may place it here: [clusters] {} = "local"'
DRY: Final = ("noop", SIMULATED)
"""Executors that run nothing: amounts are never short, and all tasks go to them, whatever they name."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a plan is to be run. resources: capacities that are added or capped, in integer units. reserve: the host's own
    share of them. opportunistic: use only what the host leaves. trackers: the user's, by name.

    timeout: seconds for the whole run. wait: seconds that an unmet requirement is waited for. queues: limits by queue name,
    amounts in integer units and `timeout` in seconds. recorded: what the run's row keeps, so that `weft resume` reads the same
    documents with the same options. sieve: which files count as being there, for `weft watch`; None: all.
    clusters: executors by other names that plans may give. scale_on: for workflow documents, which cannot say it.
    interrupts: who counts signals to the run, for callers that want to know of late ones, too. newborn: a supervisor that was
    started while all this was still being read; the run takes its label as its id.
    """

    jobs: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    reserve: Mapping[str, int] = field(default_factory=dict)
    opportunistic: bool = False
    trackers: Mapping[str, TrackerClass] = field(default_factory=dict)
    executor: str | None = None
    state: str | None = None
    fail_fast: bool = False
    force: bool = False
    use_cache: bool = True
    timeout: float | None = None
    wait: float | None = None
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    start_from: tuple[str, ...] = ()
    durability: Literal["power", "process"] = "power"
    queues: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    sieve: Sieve | None = None
    clusters: Mapping[str, str] = field(default_factory=dict)
    scale_on: Literal["exhausted", "any"] | None = None
    interrupts: Interrupts | None = None
    newborn: Newborn | None = None


def state_folder(root: str, settings: RunSettings) -> str:
    """Where the state of a plan lies: `--state`, else `.weft` beside the plan."""
    return os.path.abspath(settings.state) if settings.state else os.path.join(root, STATE_FOLDER)


def check_supported(
    plan: Plan, settings: RunSettings, selected: Sequence[int] | None = None, *, is_preview: bool = False
) -> list[str]:
    """Whether this version can do what the plan and the settings ask for; what it will leave undone, as remarks.

    Raises UsageError, PlanError for what would run wrongly. selected: tasks that take part, None for all. is_preview: nothing
    is to be started.
    """
    tasks = plan.graph.tasks if selected is None else [plan.graph.tasks[index] for index in selected]
    if not is_preview:
        _refuse_recorded_work(tasks, settings)
    check_settings(plan, settings)
    problems = [problem for _, _, problem in refusals(plan, settings, tasks)]
    if problems:
        raise PlanError(problems)
    cut = [f"{text}; it is cut to that" for text in cuts(tasks, settings.queues)]
    return [*_simulation_remarks(tasks, settings), *cut]


def check_settings(plan: Plan, settings: RunSettings) -> None:
    """Raises UsageError, PlanError for what would keep any plan from running here."""
    if settings.executor is not None:
        text = _executor_problem(settings.executor)
        if text is not None:
            raise UsageError(text, _executor_hint(settings.executor), code="executor")
    if settings.reserve and settings.executor not in DRY:
        from weft.assemble.capacity import Resources  # late: few reserve anything

        Resources(settings, plan.root, ())


def refusals(plan: Plan, settings: RunSettings, tasks: Sequence[Task]) -> Iterator[tuple[int, str, Problem]]:
    """What no run would do: (place among `tasks`, key of the normal form, what is wrong). plan: as `with_executors` gives it."""
    for place, task in enumerate(tasks):
        named = task.policy.executor
        if named is not None and named not in EXECUTORS and settings.executor not in DRY:  # a dry one takes all
            yield place, "executor", _unplaced(task.name, named, settings.clusters.get(named, named))
        if task.dependencies and (text := _input_problem(plan, task)) is not None:
            hint = "hand the whole product on by `as`, or a file by `outputs`"
            yield place, "dependencies", Problem("stream", text, hint=hint)


def forgotten(plan: Plan, selected: Iterable[int]) -> Iterator[str]:
    """What only the script could say that made the plan, of tasks that are to run; as remarks."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for index in selected:
        task = plan.graph.tasks[index]
        policy = task.policy
        if id(policy) in seen:
            continue
        seen.add(id(policy))
        for by in (policy.ask, *(by for _, by in policy.retries.scales or ())):
            if isinstance(by, Forgotten):
                found.setdefault(by.name, task.name)
    for function, name in found.items():
        yield f"{function}, a function for the resources of task {name!r}, is in its script only: amounts stay as they are"


def _refuse_recorded_work(tasks: Sequence[Task], settings: RunSettings) -> None:
    """What another system ran is simulated or nothing: its commands hold scripts and paths of foreign hosts."""
    recorded = [task.name for task in tasks if task.policy.executor == SIMULATED]
    if not recorded or settings.executor in (None, SIMULATED):
        return
    more = f" and {len(recorded) - 1} more" if len(recorded) > 1 else ""
    message = f"task {recorded[0]!r}{more} can only be simulated: what another system ran is never executed"
    hint = f"leave --executor {settings.executor} away, or see weft simulate"
    raise PlanError([Problem("policy.refused", message, hint=hint)])


def choose_executor(plan: Plan, settings: RunSettings, selected: Sequence[int]) -> RunSettings:
    """The settings with the executor that a plan asks for as a whole: what was only recorded is simulated."""
    tasks = plan.graph.tasks
    if settings.executor is None and selected and all(tasks[index].policy.executor == SIMULATED for index in selected):
        return replace(settings, executor=SIMULATED)
    return settings


def with_limits(plan: Plan, settings: RunSettings) -> RunSettings:
    """The settings with the capacities that the plan itself gives; what the settings say of a name goes before."""
    return replace(settings, resources={**plan.limits, **settings.resources}) if plan.limits else settings


def _unplaced(task: str, named: str, wanted: str) -> Problem:
    """wanted: what the settings say of the name that the task gives."""
    text = _executor_problem(wanted) or f"there is no executor {named!r}"
    told = text if wanted == named else f"{text}, which the settings have for {named!r}"
    placed = PLACED.format(named)
    hint = placed if wanted in LATER_EXECUTORS else f"{_executor_hint(wanted)}; {placed}"
    return Problem("executor", f"task {task!r}: {told}", hint=hint)


def with_executors(plan: Plan, settings: RunSettings) -> Plan:
    """The plan with executors in the place of other names that the settings give them; what is recorded keeps the names."""
    if not settings.clusters:
        return plan
    from weft.assemble.clusters import place_named  # late: few settings name any

    return place_named(plan, settings.clusters, settings.executor)


def _simulation_remarks(tasks: Sequence[Task], settings: RunSettings) -> list[str]:
    simulated = sum(settings.executor == SIMULATED or task.policy.executor == SIMULATED for task in tasks)
    if not simulated:
        return []
    what = "no task is" if simulated == len(tasks) else f"{simulated} of {len(tasks)} tasks are not"
    return [f"{what} really run (executor simulated): each counts as ok at once, with its duration as its time"]


def _input_problem(plan: Plan, task: Task) -> str | None:
    """Why a program cannot read what it is to read."""
    stdin = task.stdin
    if stdin is None:
        return None
    maker = plan.graph.tasks[plan.graph.index[stdin.name]]
    product = maker.policy.product
    if stdin.each or stdin.gather or maker.policy.foreach is not None:
        return f"task {task.name!r} reads one stream of bytes as stdin; it cannot take {stdin.name!r} item by item"
    if sum(edge.bind == STDIN for edge in task.dependencies) > 1:
        return f"task {task.name!r} has one stdin; only one dependency can be bound to it"
    if product is not None and product.source == "outputs" and len(maker.outputs) != 1:
        return f"task {task.name!r} reads one file as stdin; {stdin.name!r} has {len(maker.outputs)} outputs"
    return None


def _executor_problem(name: str) -> str | None:
    if name in EXECUTORS:
        return None
    return f"executor {name!r} is not in this version" if name in LATER_EXECUTORS else f"there is no executor {name!r}"


def _executor_hint(name: str) -> str:
    return hint_nearest(name, EXECUTORS) or f"known executors: {', '.join(EXECUTORS)}"
