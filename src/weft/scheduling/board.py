"""What is known of a run while it goes on, and the steps by which it changes: one byte a task, dictionaries for what is rare.

Only the parts of the scheduler touch it, inside `handle`. Each step is checked against the tables of `lifecycle`.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

from weft.errors import InternalError
from weft.scheduling import flowing
from weft.scheduling.commands import Command, Inspect, SetTimer, SettleTask
from weft.scheduling.events import Event
from weft.scheduling.keys import WHOLE
from weft.scheduling.lanes import Lane, LiveAttempt
from weft.scheduling.lifecycle import (
    ATTEMPT_TABLE,
    CANCELLED,
    FAILED,
    INSTANCE_TABLE,
    OK,
    PHASES,
    RUNNING,
    SKIPPED,
    STATE_BY_PHASE,
    TASK_TABLE,
    WAITING,
    AttemptState,
)
from weft.scheduling.mapped import Mapped
from weft.scheduling.outcomes import INTERRUPTED, NO_USAGE, Request, Usage
from weft.scheduling.placement import Placement
from weft.scheduling.retrying import Trial
from weft.scheduling.workload import SHIFT, Workload
from weft.units import show_amount

STORY_EVENTS: Final = 20
"""Latest events that an InternalError shows."""
DUMPED_TASKS: Final = 20
_DEPENDENCY: Final = "dependency:"
_new_settle: Final[Callable[[tuple[object, ...]], SettleTask]] = partial(tuple.__new__, SettleTask)  # as in `scheduler`


class Board:
    """The state of one run. fail_fast: the first failure ends it. wait_seconds, look_seconds: see `SchedulerOptions`.

    due: tasks whose dependencies have all become ok, not looked at yet. causes: of settled tasks that are not plainly ok.
    timers: unit by timer. waits: unit -> until when an unmet requirement is waited for. unmet_now: which one.
    cancelling: running tasks that were asked to be given up. past: attempts made before the items of a mapped task were known.
    makers: of items that are taken before their end. ripples: ends of makers and of their instances that followers have not
    been told of (task, instance), within one `handle`. taken_back: of the attempts of a task, those that had not begun then.
    """

    def __init__(
        self,
        workload: Workload,
        placement: Placement,
        fail_fast: bool,
        wait_seconds: float | None,
        look_seconds: float,
    ):
        self.workload = workload
        self.placement = placement
        self.fail_fast = fail_fast
        self.wait_seconds = wait_seconds
        self.look_seconds = look_seconds
        self.tasks = workload.tasks
        self.phases = workload.phases
        self.remaining = workload.size
        self.attempts = array("i", bytes(4 * len(workload.tasks)))
        self.taken_back: dict[int, int] = {}
        self.due: list[int] = []
        self.mapped: dict[int, Mapped] = {}
        self.trials: dict[int, Trial] = {}
        self.causes: dict[int, str] = {}
        self.timers: dict[int, int] = {}
        self.waits: dict[int, float] = {}
        self.unmet_now: dict[int, str] = {}
        self.fingerprints: dict[int, str] = {}
        self.cancelling: set[int] = set()
        self.past: dict[int, dict[int, int]] = {}
        self.makers = workload.ties.makers
        self.ripples: list[tuple[int, int]] = []
        self.inspecting = 0
        self.paused: str | None = None
        self.halted: str | None = None
        self.interrupt_level = 0
        self.ignored = 0
        self.is_open = False
        self.now = 0.0
        self.commands: list[Command] = []
        self.recent: deque[Event] = deque(maxlen=STORY_EVENTS)
        self._next_timer = 1
        self.lanes = [placement.first_lane_for(offer.request, offer.executor) for offer in workload.offers]

    def knows(self, task: int) -> bool:
        """Whether there is such a task in the plan."""
        return 0 <= task < len(self.tasks)

    def lane_of(self, unit: int) -> Lane:
        """The lane that a unit's next attempt stands in."""
        offer_number = self.workload.offer_of[unit >> SHIFT]
        trial = self.trials.get(unit)
        if trial is None or trial.request is None:
            return self.lanes[offer_number]
        return self.placement.lane_for(trial.request, self.workload.offers[offer_number].executor)

    def request_of(self, unit: int) -> Request:
        """What a unit's next attempt will ask for."""
        trial = self.trials.get(unit)
        if trial is None or trial.request is None:
            return self.workload.offers[self.workload.offer_of[unit >> SHIFT]].request
        return trial.request

    # --- steps ----------------------------------------------------------------------------------------------------------

    def move(self, task: int, phase: int) -> None:
        """The task goes into another phase."""
        if phase not in TASK_TABLE[self.phases[task]]:
            self.break_off(task, phase)
        self.phases[task] = phase

    def move_instance(self, task: int, instance: int, phase: int) -> None:
        """The instance of a mapped task goes into another phase."""
        phases = self.mapped[task].phases
        if phase not in INSTANCE_TABLE[phases[instance]]:
            self.break_off(task, phase, instance)
        phases[instance] = phase

    def move_unit(self, task: int, instance: int, phase: int) -> None:
        """Whichever of the two it is."""
        if instance < 0:
            self.move(task, phase)
        else:
            self.move_instance(task, instance, phase)

    def turn(self, live: LiveAttempt, state: AttemptState) -> None:
        """The attempt goes into another state."""
        if state not in ATTEMPT_TABLE[live.state]:
            told = f"attempt {live.key} cannot go from {live.state} to {state}"
            raise InternalError(f"{told}\n{self.story(live.key.task)}")
        live.state = state

    def ask(self, task: int, instances: tuple[int, ...] | None = None) -> None:
        """Have the world looked at for a task, or for some of its instances."""
        self.inspecting += 1
        self.commands.append(Inspect(task, instances))

    def set_timer(self, unit: int, at: float) -> None:
        """Come back to the unit at that time."""
        timer = self.take_timer()
        self.timers[timer] = unit
        self.commands.append(SetTimer(timer, at))

    def take_timer(self) -> int:
        """A number that no other timer has."""
        timer = self._next_timer
        self._next_timer += 1
        return timer

    def forget_timers(self, unit: int) -> None:
        """Do not come back to the unit."""
        if self.timers:
            for timer in [timer for timer, owner in self.timers.items() if owner == unit]:
                del self.timers[timer]

    def forget_trials(self, task: int) -> None:
        """The task, and those of its instances that have not ended, are not tried again."""
        self.trials.pop(task << SHIFT, None)
        mapped = self.mapped.get(task)
        if mapped is not None and mapped.open:
            for instance in range(len(mapped)):
                self.trials.pop(task << SHIFT | instance + 1, None)

    # --- ends -----------------------------------------------------------------------------------------------------------

    def settle(
        self, task: int, phase: int, cause: str | None, detail: str | None = None, usage: Usage = NO_USAGE
    ) -> None:
        """A task has ended for this run: record it, and tell those that follow. O(out-degree), or of what is skipped."""
        phases = self.phases
        if phase not in TASK_TABLE[phases[task]]:
            self.break_off(task, phase)
        phases[task] = phase
        self.remaining -= 1
        fingerprint = None
        if self.fingerprints:
            fingerprint = self.fingerprints.pop(task, None)
        tries = self.tries(task) if self.taken_back else self.attempts[task]
        settled = (task, STATE_BY_PHASE[phase], cause, detail, tries, fingerprint, usage)
        self.commands.append(_new_settle(settled))
        if cause is not None:
            self.causes[task] = cause
        if self.trials:
            self.forget_trials(task)
        if self.cancelling:
            self.cancelling.discard(task)
        if phase != OK:
            self.waits.pop(task << SHIFT, None)
            self.unmet_now.pop(task, None)
            if phase == FAILED and self.fail_fast and self.halted is None:
                self.halted = "fail-fast"
            self.skip_followers(task)
            return
        if self.makers and task in self.makers:
            flowing.complete(self, task)
            return
        graph, unmet, due = self.workload.graph, self.workload.unmet, self.due
        first = graph.first_follower
        for follower in graph.followers[first[task] : first[task + 1]]:
            left = unmet[follower] - 1
            unmet[follower] = left
            if not left:
                due.append(follower)

    def tries(self, task: int) -> int:
        """How many attempts were made; the numbers of attempts count those as well that were taken back."""
        tries = self.attempts[task]
        return tries - self.taken_back.get(task, 0) if self.taken_back else tries

    def skip_followers(self, root: int) -> None:
        """All that follow, directly or not, will not run: one sweep, each edge once."""
        phase, cause = self.inheritance(root)
        state = STATE_BY_PHASE[phase]
        phases, graph = self.phases, self.workload.graph
        first, followers = graph.first_follower, graph.followers
        commands, causes = self.commands, self.causes
        reached = [root]
        for task in reached:  # grows while it is read
            for follower in followers[first[task] : first[task + 1]]:
                if phases[follower] == WAITING:
                    phases[follower] = phase
                    causes[follower] = cause
                    if self.trials:
                        self.forget_trials(follower)
                    commands.append(SettleTask(follower, state, cause, None, self.tries(follower)))
                    reached.append(follower)
        self.remaining -= len(reached) - 1
        if self.makers:
            self.ripples += [(task, WHOLE) for task in reached if task in self.makers]

    def inheritance(self, root: int) -> tuple[int, str]:
        """(phase, cause) of what follows a task that did not end well."""
        return self.inherited(root, self.causes[root])

    def inherited(self, root: int, cause: str) -> tuple[int, str]:
        """(phase, cause) of what follows a task, or an instance of it, that ended with this cause."""
        if cause == INTERRUPTED:
            return CANCELLED, cause
        return SKIPPED, cause if cause.startswith(_DEPENDENCY) else f"{_DEPENDENCY}{self.tasks[root].name}"

    def open_growers(self, task: int) -> None:
        """The items of a mapped task are known, and followers may take them."""
        if task in self.makers:
            flowing.open_growers(self, task)

    def refuse(self, task: int, lacking: str) -> None:
        """A demand that can never be met ends a task before it starts."""
        self.settle(task, SKIPPED, f"unsatisfiable:{lacking}", self.describe_lack(task << SHIFT, lacking))

    def describe_lack(self, unit: int, name: str) -> str:
        """For people: what is asked for and what there is."""
        units = dict(self.request_of(unit).amounts)[name]
        needed = show_amount(name, units)
        capacity = self.placement.capacity_of(name)
        if capacity is None:
            return f"needs {needed} of {name}, which nothing here provides"
        hosts = self.placement.hosts
        if hosts is not None and (most := hosts.largest(name)) is not None:
            if units <= most:
                return f"needs {needed} of {name}, which no host has beside the rest that is needed"
            return f"needs {needed} of {name}, no host has more than {show_amount(name, most)}"
        return f"needs {needed} of {name}, there is {show_amount(name, capacity)} in all"

    # --- broken promises ------------------------------------------------------------------------------------------------

    def break_off(self, task: int, phase: int, instance: int = WHOLE) -> NoReturn:
        """A step that no table allows is a fault of ours; going on would be guessing."""
        old = self.phases[task] if instance < 0 else self.mapped[task].phases[instance]
        which = f"task {self.tasks[task].name!r}" + ("" if instance < 0 else f" instance {instance}")
        raise InternalError(f"{which} cannot go from {PHASES[old]} to {PHASES[phase]}\n{self.story(task)}")

    def story(self, task: int) -> str:
        """All that is known of a task, and the latest events, for the report of a fault of ours."""
        graph = self.workload.graph
        first = graph.first_dependency
        lines = [
            f"task {task} {self.tasks[task].name!r}: {PHASES[self.phases[task]]}, cause {self.causes.get(task)}, "
            f"unmet dependencies {self.workload.unmet[task]}, attempts {self.attempts[task]}"
        ]
        for dependency in graph.dependencies[first[task] : first[task + 1]][:DUMPED_TASKS]:
            lines.append(f"  after {self.tasks[dependency].name!r}: {PHASES[self.phases[dependency]]}")
        for live in self.placement.live.values():
            if live.key.task == task:
                lines.append(f"  attempt {live.key}, nonce {live.nonce}: {live.state}, lane {live.lane.number}")
        lines.append("latest events:")
        lines += [f"  {event!r:.300}" for event in self.recent]
        return "\n".join(lines)

    def give_out(self) -> NoReturn:
        """Nothing can move what is left: promise R19 is broken."""
        placement = self.placement
        left = [task for task, phase in enumerate(self.phases) if phase <= RUNNING]
        reserved = placement.reservation
        lines = [
            f"{self.remaining} tasks are not ended and nothing can move them",
            f"free {dict(zip(placement.names, placement.free, strict=True))}, slots {placement.slots}, "
            f"holding {placement.holding}, reserved for {reserved.lane.key if reserved is not None else None}",
            *(f"  {self.tasks[task].name!r}: {PHASES[self.phases[task]]}" for task in left[:DUMPED_TASKS]),
        ]
        raise InternalError("\n".join(lines) + "\n" + (self.story(left[0]) if left else ""))
