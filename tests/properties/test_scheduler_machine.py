"""A rule-based machine over the world: Hypothesis chooses what happens, the world and the audit judge each step."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from properties.scheduler_graphs import FAMILIES
from properties.scheduler_world import Faults, World
from weft.scheduling.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityChanged,
    Inspected,
    PauseChanged,
    StreamGrew,
    TimerFired,
    WorldChanged,
)
from weft.scheduling.outcomes import Outcome, Usage

CAUSES = st.sampled_from([None, None, "exit:1", "memory", "timeout", "lost", "not_found", "interrupted"])


class SchedulerMachine(RuleBasedStateMachine):
    """One rule per event, fault and request."""

    world: World

    @initialize(seed=st.integers(0, 2**32), family=st.sampled_from(FAMILIES))
    def open(self, seed: int, family: str) -> None:
        self.world = World(seed, largest=12, family=family, faults=Faults())
        self.world.hand(CapacityChanged(dict(self.world.capacity), self.world.slots))

    def pick(self, data: st.DataObject, items: object) -> object:
        return data.draw(st.sampled_from(sorted(items)))  # type: ignore[call-overload]

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), cause=CAUSES, charged=st.booleans())
    def an_attempt_ends(self, data: st.DataObject, cause: str | None, charged: bool) -> None:
        nonce = self.pick(data, self.world.running)
        self.world.finish(nonce, Outcome(cause is None, cause, usage=Usage(0.001), charged=charged or cause != "lost"))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def an_attempt_begins(self, data: st.DataObject) -> None:
        nonce = self.pick(data, self.world.running)
        self.world.pending.append(AttemptStarted(self.world.orders[nonce].key, nonce, 0.0))

    @precondition(lambda self: any(self.world.orders[n].key.task in self.world.total for n in self.world.running))
    @rule(data=st.data(), count=st.integers(0, 4))
    def a_maker_hands_on_items(self, data: st.DataObject, count: int) -> None:
        total = self.world.total
        nonce = self.pick(data, [n for n in self.world.running if self.world.orders[n].key.task in total])
        self.world.grow(nonce, min(count, total[self.world.orders[nonce].key.task]))

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data())
    def reports_arrive(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, len(self.world.pending)))
        batch, self.world.pending = self.world.pending[:number], self.world.pending[number:]
        self.world.hand(*batch)

    @precondition(lambda self: self.world.told)
    @rule(data=st.data())
    def a_report_comes_twice(self, data: st.DataObject) -> None:
        ignored = self.world.scheduler.ignored
        event = self.world.told[data.draw(st.integers(0, len(self.world.told) - 1))]
        self.world.hand(event)
        if not isinstance(
            event, StreamGrew
        ):  # items of a live attempt come again when it is adopted, which is no fault
            assert self.world.scheduler.ignored == ignored + 1

    @precondition(lambda self: self.world.orders)
    @rule(data=st.data())
    def a_stranger_reports(self, data: st.DataObject) -> None:
        order = self.world.orders[self.pick(data, self.world.orders)]  # type: ignore[index]
        ignored = self.world.scheduler.ignored
        self.world.hand(AttemptEnded(order.key, order.nonce ^ 1 << 50, Outcome(True)))
        assert self.world.scheduler.ignored == ignored + 1

    @precondition(lambda self: self.world.questions)
    @rule(unmet=st.sampled_from([None, None, "file:f"]), fresh=st.booleans())
    def a_look_is_answered(self, unmet: str | None, fresh: bool) -> None:
        task = self.world.questions.pop(0)
        items = self.world.items_of(task) if task in self.world.source and unmet is None else None
        self.world.hand(Inspected(task, unmet, items=items, fresh=fresh))

    @precondition(lambda self: self.world.timers)
    @rule()
    def time_passes(self) -> None:
        at, timer = self.world.timers.pop(0)
        self.world.timers.sort()
        self.world.now = max(self.world.now, at)
        self.world.hand(TimerFired(timer))

    @rule()
    def files_come(self) -> None:
        self.world.hand(WorldChanged())

    @rule(cores=st.sampled_from([1000, 2000, 5000]), slots=st.sampled_from([None, 1, 3]))
    def the_capacity_changes(self, cores: int, slots: int | None) -> None:
        self.world.fell = True
        self.world.capacity["cores"] = cores
        self.world.slots = slots
        self.world.hand(CapacityChanged(dict(self.world.capacity), slots))

    @rule()
    def the_run_pauses_or_goes_on(self) -> None:
        self.world.paused = not self.world.paused
        self.world.hand(PauseChanged(self.world.paused))

    @rule(data=st.data(), force=st.booleans())
    def somebody_cancels(self, data: st.DataObject, force: bool) -> None:
        self.world.hand(CancelRequested((data.draw(st.integers(0, len(self.world.plan.graph) - 1)),), force))

    @invariant()
    def everything_has_a_reason(self) -> None:
        if hasattr(self, "world"):
            self.world.explain_all()

    def teardown(self) -> None:
        """From here on nothing goes wrong any more: progress is owed."""
        if not hasattr(self, "world"):
            return
        for _ in range(3000):
            if self.world.scheduler.is_finished:
                break
            self.world.step(faulty=False)
        self.world.conclude()


SchedulerMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestSchedulerMachine = SchedulerMachine.TestCase
