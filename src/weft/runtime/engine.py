"""The only loop: reports in, events to the scheduler, commands out, and nothing leaves before it is durable.

One turn: take what the executors, the inspector, the timers and the user have to say; hand it to the scheduler as events;
append the facts of its commands to the ledger; commit; only then send orders and tell the observers.

Commits are grouped. A start that a free slot waits for is urgent: it commits at once. Everything else (ends while a queue of
ahead orders keeps the slots busy) waits until `COMMIT_SECONDS` have passed since the last commit, so an idle writer commits at
once and a busy one at most fifty times a second. There is no writer thread: while the loop waits for the disk, reports pile up
and make the next group larger, which is all that a thread would buy.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, assert_never, cast

from weft.errors import StoreError
from weft.failpoints import declare, hit
from weft.ports import (
    Began,
    Clock,
    DryExecutor,
    Executor,
    Finished,
    Gauge,
    Inspector,
    Ledger,
    Observer,
    Order,
    PausingExecutor,
    Remark,
    Report,
    Reports,
    RunEnding,
    RunOpening,
    StreamExecutor,
    StreamReport,
    Taken,
    Waiter,
    Yielded,
)
from weft.runtime.audience import Audience, Told
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderError, OrderWriter, ProductError
from weft.runtime.preparation import Preparation
from weft.runtime.recovered import NOTHING_RECOVERED, Recovered
from weft.runtime.requests import Requests
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    Command,
    ContinueAttempt,
    ExplainTask,
    Inspect,
    Mention,
    PauseAttempt,
    Record,
    ReopenTask,
    SetTimer,
    SettleInstance,
    SettleTask,
    StartAttempt,
    StopAttempt,
    TakeItems,
)
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    AttemptStarted,
    Event,
    Inspected,
    Interrupted,
    StreamGrew,
    TimerFired,
)
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import INTERRUPTED, SETUP, Outcome, RunState
from weft.scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from weft.runtime.plain import NothingHandedOn
    from weft.runtime.products import Products
    from weft.runtime.streams import Streams

COMMIT_SECONDS: Final = 0.020
"""Longest that a fact waits for its commit while the writer is busy (design.md 9)."""

DISK_GRACE_SECONDS: Final = 60.0
"""How long a full or failing disk may hold the run up before it ends with exit 3 (reliability.md R13)."""

DISK_LOOK_SECONDS: Final = 1.0
"""How often a disk that is full is tried again."""

RUN_TIMER: Final = -1
"""Timer of the run's own time limit; the scheduler's are not negative."""

STREAM_TIMER: Final = -2
"""Timer of the stream of task 0; those of other tasks lie below."""

COMMIT_BEFORE: Final = declare("engine.commit.before", "facts wait, nothing of them is durable")
COMMIT_AFTER: Final = declare("engine.commit.after", "facts are durable, no start has left and nobody has been told")

_TOLD: Final = (BeginAttempt, CloseAttempt, SettleInstance, SettleTask)  # asked in a third of the time of `Told`


class Parts(NamedTuple):
    """What the engine works with. executors: by name; `default` runs tasks that name none. streams: None without any."""

    ledger: Ledger
    executors: Mapping[str, Executor]
    default: str
    inspector: Inspector
    orders: OrderWriter
    preparation: Preparation
    products: Products | NothingHandedOn
    clock: Clock
    waiter: Waiter
    interrupts: Interrupts
    requests: Requests
    observers: Sequence[Observer]
    streams: Streams | None = None


class Engine:
    """Runs one plan to its end."""

    def __init__(self, scheduler: Scheduler, parts: Parts, *, timeout: float | None = None):
        self._scheduler = scheduler
        self._parts = parts
        self._ledger = parts.ledger
        self._default = parts.executors[parts.default]
        self._named = {
            task: parts.executors[item.policy.executor]
            for task, item in enumerate(scheduler.plan.graph.tasks)
            if item.policy.executor is not None and item.policy.executor in parts.executors
        }
        self._executors = tuple(parts.executors.values())
        self._dry = frozenset(id(executor) for executor in self._executors if isinstance(executor, DryExecutor))
        self._monotonic = parts.clock.monotonic
        self._facts: list[StartAttempt | Record] = []
        self._starts: list[StartAttempt] = []
        self._under_way = 0  # orders that were sent and have not ended
        self._is_urgent = False
        self._offsets: dict[str, int] = {}
        self._audience = Audience(parts.observers, parts.products)
        self._began = self._audience.began
        self._tell: list[Told] = []
        self._commit_due = 0.0
        self._timers: list[tuple[float, int]] = []
        self._timeout = timeout
        self._is_overdue = False
        self._streams = parts.streams
        self._force = scheduler.options.force or not scheduler.options.use_cache

    # --- the loop ------------------------------------------------------------------------------------------------------

    def run(self, opening: RunOpening, first: Sequence[Event], recovered: Recovered = NOTHING_RECOVERED) -> RunEnding:
        """From the first events to the end of the run. Raises StoreError when the state cannot be kept."""
        started = self._monotonic()
        self._audience.open(opening)
        if self._timeout is not None:
            heapq.heappush(self._timers, (started + self._timeout, RUN_TIMER))
        self._take_up(recovered)
        scheduler = self._scheduler
        self._perform(scheduler.handle([*recovered.facts, *first], started))
        # Only now: a report counts when its attempt is known, and its receipt when its outcome is.
        events: list[Event] = []
        self._read(recovered.reports, events)
        while True:
            self._perform(scheduler.handle(events, self._monotonic()))
            if scheduler.is_finished:
                break
            events = self._collect()
            while not events:
                self._wait()
                events = self._collect()
        if self._streams is not None:
            self._steer(self._streams)
        self._commit()
        self._finish_inspection()
        return self._end(opening.run, self._monotonic() - started)

    def _take_up(self, recovered: Recovered) -> None:
        """Adopted attempts, and those of them whose beginning no engine had recorded."""
        for event in recovered.facts:
            if isinstance(event, AttemptAdopted):
                self._parts.orders.adopt(event.nonce, event.request)
                if self._streams is not None:
                    self._streams.adopt(event.key, event.nonce)
        for report in recovered.begun:
            fact = BeginAttempt(report.key, report.nonce, report.started, report.stdout, report.stderr)
            self._began[report.nonce] = report
            self._facts.append(fact)
            self._tell.append(fact)

    def gauge(self) -> Gauge:
        """Present figures for a live view."""
        scheduler = self._scheduler
        return Gauge(
            {str(state): count for state, count in scheduler.counts().items()},
            scheduler.held(),
            scheduler.live(),
            scheduler.state_of,
            scheduler.parts_of,
            self._streams.gauge() if self._streams is not None else {},
        )

    def _wait(self) -> None:
        """Sleep until a bell rings, a timer is due, or waiting facts have to be committed."""
        now = self._monotonic()
        audience = self._audience
        deadlines = [self._timers[0][0]] if self._timers else []
        if self._facts:
            deadlines.append(self._commit_due)
        else:
            audience.tick(now, idle=True)
        if audience.next_tick is not None:
            deadlines.append(audience.next_tick)
        limit = None if not deadlines else max(0.0, min(deadlines) - now)
        self._parts.waiter.wait(self._bells(), limit)
        now = self._monotonic()
        if self._facts and now >= self._commit_due:
            self._commit()
        if audience.next_tick is not None and now >= audience.next_tick:
            audience.tick(now, idle=not self._facts)

    def _bells(self) -> tuple[int, ...]:
        parts = self._parts
        bells = [bell for executor in self._executors for bell in executor.bells()]
        bells += parts.inspector.bells()
        bells += parts.preparation.bells()
        bells += parts.interrupts.bells()
        bells += parts.requests.bells()
        return tuple(bells)

    # --- events in -----------------------------------------------------------------------------------------------------

    def _collect(self) -> list[Event]:
        # Before anything is polled: an executor takes what it has reported for known to whoever submits (see _submit).
        released = self._parts.preparation.release()
        if released:
            self._submit(released)
        events: list[Event] = []
        for executor in self._executors:
            if id(executor) in self._dry:
                events += [AttemptEnded(*report) for report in executor.poll().reports if isinstance(report, Finished)]
            else:
                self._read(executor.poll(), events)
        for answer in self._parts.inspector.answers():
            if answer.reasons and not answer.fresh:
                self._facts.append(ExplainTask(answer.task, answer.reasons))
                self._audience.warn(answer)
            events.append(answer)
        if self._timers:
            self._fire_timers(events)
        for level in self._parts.interrupts.take():
            self._audience.remark(self._parts.interrupts.remark(level), None)
            events.append(Interrupted(level))
            for start in self._parts.preparation.withdraw_all():
                events.append(AttemptEnded(start.key, start.nonce, _not_ready(INTERRUPTED)))
        events.extend(self._parts.requests.take())
        if self._streams is not None:
            self._steer(self._streams)
        return events

    def _read(self, news: Reports, events: list[Event]) -> None:
        reports, offsets = news
        if offsets:
            self._offsets.update(offsets)
        for report in reports:
            self._read_report(report, events)

    def _read_report(self, report: Report | StreamReport, events: list[Event]) -> None:
        if isinstance(
            report, Finished
        ):  # the two that every attempt sends come first, and by no pattern: that costs more
            events.append(self._read_end(*report, events))
            return
        if isinstance(report, Began):
            key, nonce, started, _, stdout, stderr = report
            if self._scheduler.is_live(key, nonce):
                self._began[nonce] = report
                if self._streams is not None:
                    self._streams.began(key, nonce, self._monotonic())
            events.append(AttemptStarted(key, nonce, started, stdout, stderr))
            return
        match report:
            case Yielded():
                if self._streams is not None:
                    self._hand_on(self._streams, report, events)
            case Taken():
                if self._streams is not None:
                    self._streams.took(report)
            case Remark(text, about):
                self._audience.remark(text, about.task if about is not None else None)
            case _:
                assert_never(report)

    def _read_end(self, key: AttemptKey, nonce: int, outcome: Outcome, events: list[Event]) -> AttemptEnded:
        self._under_way -= 1
        if self._scheduler.is_live(key, nonce):  # a late report must not touch products either
            if self._streams is not None:
                outcome = self._end_flows(self._streams, key, nonce, outcome, events)
            if outcome.ok:
                outcome = self._check_work(key, outcome)
        return AttemptEnded(key, nonce, outcome)

    def _hand_on(self, streams: Streams, report: Yielded, events: list[Event]) -> None:
        """Items of a live maker. The scheduler is told of those that become instances."""
        if streams.made(report) and streams.becomes_instances(report.key.task):
            events.append(StreamGrew(report.key.task, report.nonce, report.shown, report.first))

    def _end_flows(
        self, streams: Streams, key: AttemptKey, nonce: int, outcome: Outcome, events: list[Event]
    ) -> Outcome:
        untold = streams.untold(key, nonce)
        if untold is not None:
            self._hand_on(streams, untold, events)
        return streams.ended(key, nonce, outcome)

    def _check_work(self, key: AttemptKey, outcome: Outcome) -> Outcome:
        """An attempt that exited well has not succeeded before its outputs are there and its product is what it should be."""
        task = self._scheduler.plan.graph.tasks[key.task]
        if task.policy.product is not None:
            outcome = self._parts.products.accept(key.task, key.instance, outcome)
        if outcome.ok and (task.outputs or task.is_cacheable):
            missing = self._parts.inspector.finished(key.task, key.instance)
            if missing is not None:
                cause, detail = missing
                return outcome._replace(ok=False, cause=cause, detail=detail, product=None)
            if outcome.ok and task.policy.product is not None:
                outcome = self._parts.products.accept_outputs(key.task, key.instance, outcome)
        return outcome

    def _fire_timers(self, events: list[Event]) -> None:
        now = self._monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, timer = heapq.heappop(self._timers)
            if timer == RUN_TIMER:
                self._is_overdue = True
                self._audience.remark(f"the run's time limit of {self._timeout:g} s is over: ending what runs", None)
                events.append(Interrupted(2))
            elif timer <= STREAM_TIMER and self._streams is not None:
                self._streams.lingered(STREAM_TIMER - timer)
            else:
                events.append(TimerFired(timer))

    # --- commands out --------------------------------------------------------------------------------------------------

    def _perform(self, commands: Sequence[Command]) -> None:
        facts = self._facts
        stops: list[StopAttempt] = []
        for command in commands:
            if isinstance(command, StartAttempt):  # not by pattern, as all that every attempt costs
                facts.append(command)
                self._starts.append(command)
                if not command.ahead:
                    self._is_urgent = True
                continue
            if isinstance(command, _TOLD):
                self._record(command)
                continue
            match command:
                case Inspect(task, instances):
                    self._inspect(task, instances)
                case SetTimer(timer, at):
                    heapq.heappush(self._timers, (at, timer))
                case StopAttempt():
                    stops.append(command)
                case PauseAttempt() | ContinueAttempt():
                    self._pause(command)
                case Mention(text, task):
                    self._audience.remark(text, task)
                case TakeItems(task, items):
                    self._parts.products.take_items(task, items)  # now: what follows may be looked at in this batch
                    facts.append(command)
                case AddItems(task, _, items):
                    self._parts.products.add_items(task, items)
                    facts.append(command)
                case ReopenTask() | ExplainTask():
                    facts.append(command)
                case _:
                    assert_never(command)
        # Of attempts that take microseconds, the queue ahead is used up long before a commit is due.
        is_starving = len(self._starts) > self._under_way
        if facts and (self._is_urgent or is_starving or stops or self._monotonic() >= self._commit_due):
            self._commit()
        # After all facts of the batch: a receipt's offset may not become durable before the outcome that it tells.
        for stop in stops:
            self._stop(*stop)

    def _record(self, fact: Told) -> None:
        """It becomes durable with the next commit, and then observers are told."""
        self._facts.append(fact)
        self._tell.append(fact)
        if isinstance(fact, CloseAttempt):
            self._parts.orders.ended(fact.nonce)
        if self._streams is not None and not isinstance(fact, BeginAttempt):
            self._streams.noted(fact)

    def _steer(self, streams: Streams) -> None:
        """Tell makers how far they may go, consumers how far they can."""
        from weft.runtime.feeds import EndInput, Stop  # late, with the next: few plans have streams
        from weft.runtime.lingering import LINGER_SECONDS, Linger, Release
        from weft.runtime.streams import Allow, Announce, Remember

        for order in streams.orders():
            match order:
                case Allow(task, nonce, items):
                    self._stream_executor(task).allow(nonce, items)
                case Announce(task, nonce, bind, items, state, path):
                    self._stream_executor(task).announce(nonce, bind, items, state, path)
                case EndInput(task, nonce, length):
                    self._stream_executor(task).end_input(nonce, length)
                case Remember(task):
                    self._parts.inspector.remember(task)
                case Stop(key, cause):
                    self._executor_of(key.task).stop((key,), "terminate", cause)
                case Linger(task, since):
                    now = self._monotonic()
                    seconds = LINGER_SECONDS if since is None else max(LINGER_SECONDS, now - since)
                    heapq.heappush(self._timers, (now + seconds, STREAM_TIMER - task))
                case Release(key, text):
                    self._audience.remark(text, key.task)
                    self._executor_of(key.task).stop((key,), "terminate", INTERRUPTED)
                case _:
                    assert_never(order)

    def _stream_executor(self, task: int) -> StreamExecutor:
        return cast(StreamExecutor, self._executor_of(task))

    def _inspect(self, task: int, instances: Sequence[int] | None) -> None:
        """Where nothing is run, nothing need be there; only the items of a mapped task come from the world."""
        foreach = self._scheduler.plan.graph.tasks[task].policy.foreach
        if id(self._executor_of(task)) in self._dry and foreach is None:
            self._parts.requests.put(Inspected(task))
        else:
            self._parts.inspector.ask(task, self._force, instances)

    def _stop(self, key: AttemptKey, how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
        waiting = self._parts.preparation.withdraw(key)
        if waiting is None:
            self._executor_of(key.task).stop((key,), how, cause)
        else:
            self._parts.requests.put(AttemptEnded(key, waiting.nonce, _not_ready(cause)))

    def _pause(self, command: PauseAttempt | ContinueAttempt) -> None:
        executor = self._executor_of(command.key.task)
        if not isinstance(executor, PausingExecutor):
            return
        if isinstance(command, PauseAttempt):
            executor.pause(command.key)
        else:
            executor.go_on(command.key)

    def _executor_of(self, task: int) -> Executor:
        return self._named.get(task, self._default) if self._named else self._default

    def _commit(self) -> None:
        """Make all waiting facts durable, then let out what depended on it."""
        if not self._facts and not self._offsets:
            return
        facts, self._facts = self._facts, []
        offsets, self._offsets = self._offsets, {}
        hit(COMMIT_BEFORE)
        self._ledger.record(facts, offsets)
        self._remember()
        self._make_durable(self._ledger.commit)
        hit(COMMIT_AFTER)
        self._commit_due = self._monotonic() + COMMIT_SECONDS
        self._is_urgent = False
        if self._starts:
            starts, self._starts = self._starts, []
            self._submit(starts)
        if self._tell:
            told, self._tell = self._tell, []
            self._audience.inform(told)

    def _remember(self) -> bool:
        begun = self._parts.inspector.begun()  # first: see there
        results, files = self._parts.inspector.take()
        has_news = bool(results or files or begun)
        if has_news:
            self._ledger.remember(results, files, begun)
        return has_news

    def _make_durable(self, write: Callable[[], None]) -> None:
        """Commit; on a full or failing disk wait for it, because running attempts go on and their receipts pile up."""
        deadline = self._monotonic() + DISK_GRACE_SECONDS  # a lock that is waited for counts, too
        has_said = False
        interrupts = self._parts.interrupts
        while True:
            try:
                write()
                return
            except StoreError as error:
                if not has_said:
                    has_said = True
                    self._audience.remark(f"nothing new starts: {error}", None)
                if not error.is_passing or self._monotonic() >= deadline or interrupts.level > 1:
                    raise
                # The first Ctrl-C keeps its bell ringing until the loop takes it, so it is no bell to wait for any more.
                self._parts.waiter.wait(() if interrupts.level else interrupts.bells(), DISK_LOOK_SECONDS)

    def _submit(self, starts: Sequence[StartAttempt]) -> None:
        """Send orders, each executor's in one batch. An order that cannot be written ends its attempt at once."""
        if id(self._default) in self._dry and not self._named:
            cast(DryExecutor, self._default).submit(starts)
            return
        batches: dict[int, tuple[Executor, list[Order]]] = {}
        write = self._parts.orders.write
        for start in starts:
            if start.ahead and not self._scheduler.is_ahead(start.nonce):
                start = start._replace(ahead=False)  # an attempt of its lane ended while its intent was not durable yet
            executor = self._executor_of(start.key.task)
            if id(executor) in self._dry:
                cast(DryExecutor, executor).submit((start,))
                continue
            if self._parts.preparation.holds(start):
                continue
            try:
                order = write(start)
            except OrderError as error:
                self._refuse(start, error.cause, str(error))
                continue
            except ProductError as error:
                self._refuse(start, SETUP, str(error))
                continue
            if self._streams is not None:
                self._streams.submitted(start.key, start.nonce, start.ahead)
            batch = batches.get(id(executor))
            if batch is None:
                batches[id(executor)] = (executor, [order])
            else:
                batch[1].append(order)
        for executor, orders in batches.values():
            self._under_way += len(orders)
            executor.submit(orders)

    def _refuse(self, start: StartAttempt, cause: str, detail: str) -> None:
        outcome = Outcome(False, cause, detail=detail)
        self._parts.requests.put(AttemptEnded(start.key, start.nonce, outcome))

    # --- the end -------------------------------------------------------------------------------------------------------

    def _finish_inspection(self) -> None:
        """Wait until the contents of the last outputs are known, so that a next run finds them; not when told to hurry."""
        if self._parts.interrupts.level < 2:
            self._parts.inspector.drain()
        if self._remember():
            self._make_durable(self._ledger.commit)

    def _end(self, run: str, seconds: float) -> RunEnding:
        counts = self._scheduler.counts()
        level_code = self._parts.interrupts.exit_code
        bad = counts.get("failed", 0) + counts.get("skipped", 0) + counts.get("cancelled", 0)
        state: RunState
        if level_code is not None:
            state, code = "interrupted", level_code
        elif bad:
            state, code = ("failed" if counts.get("failed") or counts.get("skipped") else "cancelled"), 1
        else:
            state, code = "ok", 0
        ended = self._parts.clock.wall()
        self._make_durable(lambda: self._ledger.finish(state, code, ended))
        ended_by = self._parts.interrupts.ended_by or ("timeout" if self._is_overdue else None)
        ending = RunEnding(run, state, code, seconds, ended_by=ended_by)
        self._audience.close(ending)
        return ending


def _not_ready(cause: str) -> Outcome:
    return Outcome(False, cause, detail="its environment was not ready yet", charged=False)
