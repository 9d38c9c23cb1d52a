"""Opportunistic mode under a host that does what it likes: the audit holds after every step, and when it is quiet all ends."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.scheduling import invariants
from weft.scheduling.commands import (
    CloseAttempt,
    Command,
    ContinueAttempt,
    PauseAttempt,
    SetTimer,
    StartAttempt,
    StopAttempt,
)
from weft.scheduling.events import AttemptEnded, AttemptStarted, CapacityChanged, Event, HeadroomChanged, TimerFired
from weft.scheduling.outcomes import Outcome, Usage
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.retries import Retries
from weft.testing.scenario import task

CORES, MEMORY = 4000, 8 << 30
QUIET = {"cores": CORES, "memory": MEMORY}


class BusyHost:
    """Random tasks on a host whose own work comes and goes. What attempts use is somewhere below what they hold."""

    def __init__(self, seed: int):
        self.random = random = Random(seed)
        tasks = []
        for number in range(random.randrange(1, 40)):
            after = [f"t{random.randrange(number)}"] if number and random.random() < 0.3 else []
            amounts = {"cores": random.choice([0, 0.5, 1, 1, 2, 4]), "memory": random.choice([0, 0, 1 << 30, 5 << 30])}
            resources = {name: amount for name, amount in amounts.items() if amount or name == "cores"}
            policy: dict[str, Any] = {
                "interruptible": random.random() < 0.7,
                "duration": random.choice([None, None, 0.1, 20.0, 500.0]),
                "priority": random.randrange(3),
                "retries": Retries(max_attempts=random.randrange(1, 3)),
            }
            tasks.append(task(f"t{number}", after=after, resources=resources, **policy))
        self.plan = Plan(Graph(tasks), "/")
        self.scheduler = Scheduler(self.plan, options=SchedulerOptions(opportunistic=True))
        self.now = 0.0
        self.live: dict[int, StartAttempt] = {}
        self.begun: set[int] = set()
        self.paused: set[int] = set()
        self.stopping: set[int] = set()
        self.timers: list[tuple[float, int]] = []
        self.hosts_use = {"cores": 0, "memory": 0}
        self.hand(CapacityChanged(QUIET))

    def hand(self, *events: Event) -> list[Command]:
        commands = self.scheduler.handle(events, self.now)
        invariants.check(self.scheduler)
        placement = self.scheduler.placement
        free = dict(zip(placement.names, placement.free, strict=True))
        for command in commands:
            match command:
                case StartAttempt(_, nonce, request):
                    assert all(free[name] >= 0 for name, units in request.amounts if units)  # no start until below
                    self.live[nonce] = command
                case PauseAttempt(key, nonce):
                    assert self.plan.graph.tasks[key.task].policy.interruptible
                    assert nonce in self.begun
                    assert nonce not in self.paused
                    self.paused.add(nonce)
                case ContinueAttempt(_, nonce):
                    self.paused.remove(nonce)
                case StopAttempt(key, how):
                    assert how == "terminate"
                    assert self.plan.graph.tasks[key.task].policy.interruptible
                    self.stopping |= {nonce for nonce, start in self.live.items() if start.key == key}
                case CloseAttempt(_, nonce):
                    del self.live[nonce]
                    for kept in (self.begun, self.paused, self.stopping):
                        kept.discard(nonce)
                case SetTimer(timer, at):
                    self.timers.append((at, timer))
        self.check_amounts()
        return commands

    def check_amounts(self) -> None:
        placement = self.scheduler.placement
        for name, held, free in zip(placement.names, placement.held, placement.free, strict=True):
            assert held + free <= QUIET[name]
            assert held == sum(dict(start.request.amounts).get(name, 0) for start in self.live.values())

    def measure(self) -> None:
        own = {"cores": 0, "memory": 0}
        for nonce, start in self.live.items():
            for name, units in start.request.amounts:
                if nonce in self.begun and not (name == "cores" and nonce in self.paused):
                    own[name] += int(units * self.random.choice([0, 0.5, 1]))
        free = {name: max(0, QUIET[name] - self.hosts_use[name] - own[name]) for name in QUIET}
        self.hand(HeadroomChanged(free, own))

    def step(self) -> None:
        random = self.random
        self.now += random.random() * 2
        chance = random.random()
        waiting = sorted(self.live.keys() - self.begun)
        running = sorted(self.begun - self.paused)
        if chance < 0.3:
            self.measure()
        elif chance < 0.4:
            self.hosts_use = {name: int(random.choice([0, 0.3, 0.6, 1]) * most) for name, most in QUIET.items()}
        elif chance < 0.7 and waiting:
            nonce = random.choice(waiting)
            self.begun.add(nonce)
            self.hand(AttemptStarted(self.live[nonce].key, nonce, 0.0))
        elif chance < 0.9 and running:
            self.end(random.choice(running))
        elif chance >= 0.95 and self.paused:  # somebody kills it
            self.end(random.choice(sorted(self.paused)))
        self.fire()

    def end(self, nonce: int) -> None:
        if nonce in self.stopping:
            outcome = Outcome(False, "interrupted")
        else:
            outcome = self.random.choice([Outcome(True), Outcome(True), Outcome(False, "exit:1")])
        self.hand(AttemptEnded(self.live[nonce].key, nonce, outcome._replace(usage=Usage(self.random.random()))))

    def fire(self) -> None:
        due = sorted(timer for timer in self.timers if timer[0] <= self.now)
        self.timers = [timer for timer in self.timers if timer not in due]
        for _, timer in due:
            self.hand(TimerFired(timer))

    def quiet_down(self) -> None:
        """The host has nothing to do any more: from now on progress is owed."""
        self.hosts_use = {"cores": 0, "memory": 0}
        for _ in range(1000):
            if self.scheduler.is_finished:
                return
            self.now += 2.0
            self.measure()
            for nonce in sorted(self.live.keys() - self.begun):
                self.begun.add(nonce)
                self.hand(AttemptStarted(self.live[nonce].key, nonce, 0.0))
            for nonce in sorted(self.begun - self.paused):
                if self.random.random() < 0.5:
                    self.end(nonce)
            self.fire()
        raise AssertionError(f"not finished: live {self.live}, paused {self.paused}, {self.scheduler.placement.free}")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_the_audit_holds_whatever_the_host_does_and_all_ends_when_it_is_quiet(seed: int) -> None:
    host = BusyHost(seed)
    for _ in range(120):
        if host.scheduler.is_finished:
            break
        host.step()
    host.quiet_down()
    assert not host.paused
    assert all(held == 0 for held in host.scheduler.held().values())


def test_the_walk_reaches_what_it_is_about() -> None:
    """Pauses, returns and stops do occur in it; else it would prove nothing."""
    seen: set[type] = set()
    for seed in range(40):
        host = BusyHost(seed)
        hand = host.hand

        def noting(*events: Event, hand=hand) -> list[Command]:  # type: ignore[no-untyped-def]
            commands: list[Command] = hand(*events)
            seen.update(map(type, commands))
            return commands

        host.hand = noting  # type: ignore[method-assign]
        for _ in range(120):
            if not host.scheduler.is_finished:
                host.step()
    assert {PauseAttempt, ContinueAttempt, StopAttempt} <= seen


def test_the_same_events_give_the_same_state() -> None:
    def state_after(seed: int) -> str:
        host = BusyHost(seed)
        for _ in range(80):
            if not host.scheduler.is_finished:
                host.step()
        return invariants.fingerprint(host.scheduler)

    assert [state_after(seed) for seed in range(10)] == [state_after(seed) for seed in range(10)]
