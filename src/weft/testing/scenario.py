"""Drive a scheduler by hand: what the engine, the executors, the timers and the inspector would say, you say.

>>> run = Scenario(task("a"), task("b", after=["a"]))
>>> run.open(cores=2)
['start a']
>>> run.end("a")
['close a ok', 'settle a ok', 'start b']
>>> run.end("b")
['close b ok', 'settle b ok']
>>> run.is_finished
True

Each step gives what the scheduler ordered, as short lines, and ends in a full audit of its state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from weft.scheduling import invariants
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    Command,
    ContinueAttempt,
    Inspect,
    PauseAttempt,
    SetTimer,
    SettleInstance,
    SettleTask,
    StartAttempt,
    StopAttempt,
    TakeItems,
)
from weft.scheduling.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityChanged,
    Event,
    HeadroomChanged,
    Inspected,
    Interrupted,
    StreamGrew,
    TimerFired,
)
from weft.scheduling.explain import explain
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_USAGE, Outcome, TaskState, Usage
from weft.scheduling.reasons import Reason
from weft.scheduling.scheduler import NO_OPTIONS, Scheduler, SchedulerOptions
from weft.spec.actions import Call
from weft.spec.actions import Command as CommandAction
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, FileNeed, Foreach, Requirements
from weft.spec.resources import Resources, to_units
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency, Policy, Task
from weft.testing.manual_clock import ManualClock

_TRUE = CommandAction(("true",))


def task(
    name: str,
    *,
    after: Iterable[str] = (),
    resources: Mapping[str, float] | None = None,
    needs: Iterable[str] = (),
    outputs: Iterable[str] = (),
    each: Sequence[Any] | None = None,
    each_file: bool = False,
    of: str | None = None,
    reads: Iterable[str] = (),
    streams: bool = False,
    retries: Retries | None = None,
    **policy: Any,
) -> Task:
    """A task that does nothing. needs: files it requires. each: values it is mapped over. policy: fields of `Policy`.

    streams: it hands on items while it makes them. reads: makers that it iterates. of: the maker whose items it is mapped over.
    """
    if each is not None or each_file or of is not None:
        policy["foreach"] = Foreach(values=None if each is None else tuple(each), files=each_file, stream=of)
    if streams:
        policy["product"] = Product("return", stream=True)
    reads = tuple(reads)
    flows = [Dependency(other, bind=f"p{number}") for number, other in enumerate(reads)]
    if of is not None:
        flows.append(Dependency(of, bind="item", each=True))
    if retries is not None:
        policy["retries"] = retries
    files = tuple(FileNeed(path) for path in needs)
    return Task(
        name,
        Call("module:function") if streams or flows else _TRUE,
        (*(Dependency(other) for other in after), *flows),
        requires=Requirements(files=files) if files else NO_REQUIREMENTS,
        outputs=tuple(outputs),
        policy=Policy(resources=Resources.of(resources or {}), **policy),
    )


class Scenario:
    """One run of some tasks. select: names that take part, None = all."""

    def __init__(
        self,
        *tasks: Task,
        options: SchedulerOptions = NO_OPTIONS,
        select: Iterable[str] | None = None,
        order: str = "path",
        seed: int = 0,
    ):
        self.plan = Plan(Graph(tasks), "/", order="file" if order == "file" else "path")
        index = self.plan.graph.index
        selected = None if select is None else [index[name] for name in select]
        self.clock = ManualClock()
        self.scheduler = Scheduler(self.plan, selected, options, seed)
        self.commands: list[Command] = []
        self._live: dict[tuple[int, int], StartAttempt] = {}
        self._timers: list[tuple[float, int]] = []
        self._handed: dict[int, int] = {}

    # --- what happens ---------------------------------------------------------------------------------------------------

    def send(self, *events: Event) -> list[str]:
        """Hand events over in one batch, then fire the timers that are due by that."""
        now = self.clock.monotonic()
        lines: list[str] = []
        batch: Sequence[Event] = events
        while True:
            commands = self.scheduler.handle(batch, now)
            invariants.check(self.scheduler)
            self.commands += commands
            for command in commands:
                self._follow(command)
            lines += [line for command in commands if (line := self._line(command))]
            if not self._timers or self._timers[0][0] > now:
                return lines
            batch = (TimerFired(heapq.heappop(self._timers)[1]),)

    def _follow(self, command: Command) -> None:
        if isinstance(command, StartAttempt):
            self._live[command.key.task, command.key.instance] = command
        elif isinstance(command, CloseAttempt):
            self._live.pop((command.key.task, command.key.instance), None)
        elif isinstance(command, SetTimer):
            heapq.heappush(self._timers, (command.at, command.timer))

    def open(self, slots: int | None = None, **amounts: float) -> list[str]:
        """Say what there is; amounts as people write them."""
        return self.send(self.capacity(slots, **amounts))

    def capacity(self, slots: int | None = None, **amounts: float) -> CapacityChanged:
        """The event that says what there is."""
        return CapacityChanged({name: to_units(name, amount) for name, amount in amounts.items()}, slots)

    def measure(self, own: Mapping[str, float] | None = None, **free: float) -> list[str]:
        """Opportunistic mode: say what is free now; own: what the attempts use, absent: what they hold."""
        idle, used = ({name: to_units(name, amount) for name, amount in part.items()} for part in (free, own or {}))
        return self.send(HeadroomChanged(idle, used))

    def begin(self, name: str, instance: int = WHOLE) -> list[str]:
        """The executor says that the task's attempt has begun."""
        start = self.start_of(name, instance)
        return self.send(AttemptStarted(start.key, start.nonce, self.clock.wall()))

    def grow(self, name: str, *items: str, first: int | None = None) -> list[str]:
        """The executor says that the task's attempt has handed on items. first: index of the first; None: after the others."""
        start = self.start_of(name)
        if first is None:
            first = self._handed.get(start.nonce, 0)
        self._handed[start.nonce] = max(self._handed.get(start.nonce, 0), first + len(items))
        return self.send(StreamGrew(start.key.task, start.nonce, items, first))

    def end(self, name: str, cause: str | None = None, instance: int = WHOLE, **outcome: Any) -> list[str]:
        """The executor says that the task's attempt has ended; cause: why it failed. outcome: other fields of `Outcome`."""
        return self.send(self.ended(name, cause, instance, **outcome))

    def ended(self, name: str, cause: str | None = None, instance: int = WHOLE, **outcome: Any) -> AttemptEnded:
        """The event that says so."""
        start = self.start_of(name, instance)
        seconds = outcome.pop("seconds", None)
        usage = NO_USAGE if seconds is None else Usage(seconds)
        return AttemptEnded(start.key, start.nonce, Outcome(cause is None, cause, usage=usage, **outcome))

    def inspected(self, name: str, **answer: Any) -> list[str]:
        """The inspector answers; answer: fields of `Inspected`."""
        return self.send(Inspected(self.index(name), **answer))

    def cancel(self, *names: str, force: bool = False) -> list[str]:
        """Somebody asks for tasks (none named: all) to be given up."""
        return self.send(CancelRequested(tuple(map(self.index, names)) or None, force))

    def interrupt(self, level: Literal[1, 2, 3] = 1) -> list[str]:
        """Ctrl-C, for the level-th time."""
        return self.send(Interrupted(level))

    def advance(self, seconds: float) -> list[str]:
        """Let time pass; timers that are due fire, in order, each at its time."""
        target = self.clock.monotonic() + seconds
        lines: list[str] = []
        while self._timers and self._timers[0][0] <= target:
            at, timer = heapq.heappop(self._timers)
            self.clock.advance(max(0.0, at - self.clock.monotonic()))
            lines += self.send(TimerFired(timer))
        self.clock.advance(max(0.0, target - self.clock.monotonic()))
        return lines

    def run_out(self) -> list[str]:
        """End every attempt well, oldest first, and answer every question with yes, until nothing is left; the lines."""
        lines: list[str] = []
        answered = 0
        while not self.is_finished:
            questions = [command for command in self.commands if isinstance(command, Inspect)]
            if len(questions) > answered:
                lines += self.send(Inspected(questions[answered].task))
                answered += 1
            elif self._live:
                start = next(iter(self._live.values()))
                lines += self.send(AttemptEnded(start.key, start.nonce, Outcome(True)))
            else:
                lines += self.advance(self._timers[0][0] - self.clock.monotonic())
        return lines

    # --- what is --------------------------------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether the run is over."""
        return self.scheduler.is_finished

    @property
    def running(self) -> list[str]:
        """Names of units with a live attempt, in the order in which they were started."""
        return [self._name(start.key) for start in self._live.values()]

    def index(self, name: str) -> int:
        """The task's place in the plan."""
        return self.plan.graph.index[name]

    def state(self, name: str) -> TaskState:
        """What people see of the task."""
        return self.scheduler.state_of(self.index(name))

    def cause(self, name: str) -> str | None:
        """Why it is what it is."""
        return self.scheduler.cause_of(self.index(name))

    def reasons(self, name: str) -> tuple[Reason, ...]:
        """What `explain` says of it."""
        return explain(self.scheduler, self.index(name))

    def reason_codes(self, name: str) -> list[str]:
        """The same, codes only."""
        return [reason.code for reason in self.reasons(name)]

    def start_of(self, name: str, instance: int = WHOLE) -> StartAttempt:
        """The order of the unit's live attempt. Raises KeyError when it has none."""
        return self._live[self.index(name), instance]

    def of(self, kind: type[Any], name: str) -> list[Any]:
        """All commands of one kind about a task, oldest first."""
        wanted = self.index(name)
        return [command for command in self.commands if isinstance(command, kind) and _task_of(command) == wanted]

    def _name(self, key: AttemptKey) -> str:
        name = self.plan.graph.tasks[key.task].name
        return name if key.instance == WHOLE else f"{name}[{key.instance}]"

    def _line(self, command: Command) -> str:
        tasks = self.plan.graph.tasks
        match command:
            case StartAttempt():
                marks = (" ahead" if command.ahead else "") + (" alone" if command.alone else "")
                number = f" #{command.key.attempt}" if command.key.attempt > 1 else ""
                return f"start {self._name(command.key)}{number}{marks}"
            case PauseAttempt(key):
                return f"pause {self._name(key)}"
            case ContinueAttempt(key):
                return f"continue {self._name(key)}"
            case StopAttempt(key, how, cause):
                return f"{how} {self._name(key)} {cause}"
            case Inspect(index, instances):
                return f"inspect {tasks[index].name}" + ("" if instances is None else f" {list(instances)}")
            case CloseAttempt(key, _, outcome, retry):
                return f"close {self._name(key)} {outcome.cause or 'ok'}" + ("" if retry is None else " retry")
            case BeginAttempt(key):
                return f"begin {self._name(key)}"
            case SettleTask(index, state, cause):
                return f"settle {tasks[index].name} {state}" + (f" {cause}" if cause else "")
            case SettleInstance(index, instance, state, cause):
                return f"settle {tasks[index].name}[{instance}] {state}" + (f" {cause}" if cause else "")
            case AddItems(index, first, items):
                return f"items {tasks[index].name} {first}+{len(items)}"
            case TakeItems(index, items):
                return f"items {tasks[index].name} {len(items)}"
            case _:
                return ""  # timers are seen by what they bring about


def _task_of(command: Command) -> int | None:
    key = getattr(command, "key", None)
    found: int | None = getattr(command, "task", None) if key is None else key.task
    return found
