"""How a plan is to be run: what the command line, the settings files and the API agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
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
LOCAL_CLUSTERS: Final = ("local", "multiprocess")
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
    if settings.executor is not None:
        text = _executor_problem(settings.executor)
        if text is not None:
            raise UsageError(text, _executor_hint(settings.executor), code="executor")
    problems: list[Problem] = []
    if settings.reserve and settings.executor not in DRY:
        from weft.assemble.capacity import Resources  # late: few reserve anything

        Resources(settings, plan.root, ())
    for task in tasks:
        policy = task.policy
        named = policy.executor
        if named in (None, SIMULATED) or settings.clusters.get(named or "") in LOCAL_CLUSTERS:
            pass  # what the settings place here goes to the default executor, as all that names none
        elif (text := _executor_problem(named)) is not None:
            hint = PLACED.format(named) if named in LATER_EXECUTORS else _executor_hint(named or "")
            problems.append(Problem("executor", f"task {task.name!r}: {text}", hint=hint))
        if task.dependencies and (text := _input_problem(plan, task)) is not None:
            problems.append(Problem("stream", text, hint="hand the whole product on by `as`, or a file by `outputs`"))
    if problems:
        raise PlanError(problems)
    cut = [f"{text}; it is cut to that" for text in cuts(tasks, settings.queues)]
    return [*_simulation_remarks(tasks, settings), *cut, *_forgotten(tasks)]


def _forgotten(tasks: Sequence[Task]) -> Iterator[str]:
    """What only the script could say that made the plan."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for task in tasks:
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
