"""Streams of a run: who makes items, who takes them, how far each has come, and how far ahead a maker may be.

The items lie in the item log of the maker's attempt; here are only counts, digests and positions. Everything is pure: facts
go in by methods, and what the executors are to be told is taken out by `orders`.

**Credit.** A maker may be `WINDOW_ITEMS` items or `WINDOW_BYTES` ahead of its slowest live consumer, and is free when none is
live: its log is on disk, and with one slot nobody could ever take what it makes. Credit is politeness, never a limit of
correctness, so whatever it could lock up it gives away. Two ways to lock up are known:
- A network may need more than the window: of two ways from one maker, one drops most items and the other is held back by who
  zips them (Parks 1995, section 4: artificial deadlock). Every circle of waiting has one maker that is held back by one of its
  consumers while another of them has taken all there is. Such a maker gets another window.
- A consumer may hold its maker back while it waits for another maker that needs the slot which the first one holds. So a
  consumer that waits, directly or through others, for a maker with no live attempt, counts as if it were not live.

**A maker that is tried again** makes its items anew. As far as somebody has been given them they must be the same, digest by
digest, else the attempt is ended; where nobody has, it is free to make others. Consumers stay where they are, and go over to
the new log once it has more than they know of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from weft.ports import Flow, OpenRun, StreamGauge, Taken, Yielded
from weft.runtime.feeds import EndInput, Feeds, Stop
from weft.runtime.lingering import Linger, Lingering, Release
from weft.scheduling.commands import CloseAttempt, SettleInstance, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import DEPENDENCY, EXCEPTION, Outcome, kind
from weft.scheduling.streams import GROWS, ITERATES, is_stream, ties
from weft.spec.plan import Plan
from weft.spec.tasks import Task

WINDOW_ITEMS: Final = 1_000
WINDOW_BYTES: Final = 64 << 20
FREE: Final = 1 << 53
"""Credit without end; exact in JSON everywhere."""

DIGEST_BYTES: Final = 16
"""Of each item's digest that are kept to compare a second attempt with: 16 MB for a million items."""

CROWD: Final = 64
"""Live attempts with streams; beyond, one that was started may have to wait for a worker that another one holds."""

StreamState = Literal["open", "complete", "failed"]


class Allow(NamedTuple):
    """Order: a maker may have made so many items in all."""

    task: int
    nonce: int
    items: int


class Announce(NamedTuple):
    """Order: tell a consumer what its flow has. path: of the log, when it is another than the consumer reads; else empty."""

    task: int
    nonce: int
    bind: str
    items: int
    state: StreamState
    path: str


class Remember(NamedTuple):
    """Order: a task that took streams while they were made is ok, and they are complete."""

    task: int


StreamOrder = Allow | Announce | EndInput | Linger | Release | Remember | Stop


class _Maker:
    """A stream and its present attempt. nonce: of that attempt, 0 while there is none; count: its items.

    digests: of all items that were ever told. handed: how many of them another attempt must make again. since: monotonic
    second at which the attempt began. is_partial: it was ended since nobody took more, and is ok.
    """

    def __init__(self, task: int) -> None:
        self.task = task
        self.key: AttemptKey | None = None
        self.nonce = 0
        self.path = ""
        self.count = 0
        self.bytes = 0
        self.allowed = WINDOW_ITEMS
        self.digests = bytearray()
        self.handed = 0
        self.state: StreamState = "open"
        self.refusal: str | None = None
        self.failure = ""
        self.is_adopted = False
        self.is_partial = False
        self.since: float | None = None
        self.readers: list[_Reader] = []
        self.mapped: list[_Mapped] = []
        self.taken: dict[int, int] = {}
        self.has_news = False

    @property
    def window(self) -> int:
        if self.bytes <= WINDOW_BYTES // WINDOW_ITEMS * self.count:
            return WINDOW_ITEMS
        return max(1, min(WINDOW_ITEMS, WINDOW_BYTES * self.count // self.bytes))


class _Reader:
    """One flow of a live attempt: it iterates a maker's items. announced: how many it knows of.

    is_sure: it holds a slot. is_live: it has said that it listens.
    """

    def __init__(self, key: AttemptKey, nonce: int, bind: str, maker: _Maker, is_sure: bool):
        self.key = key
        self.nonce = nonce
        self.bind = bind
        self.maker = maker
        self.path = maker.path
        self.announced = 0
        self.position = 0
        self.is_sure = is_sure
        self.is_live = False
        self.told: StreamState = "open"

    @property
    def is_starving(self) -> bool:
        """Whether it has taken all that its maker has made, and there may be more."""
        return self.maker.state == "open" and self.position >= self.maker.count


class _Mapped:
    """A mapped follower: it takes an item when an instance has ended. live: instances that run."""

    def __init__(self, task: int):
        self.task = task
        self.live: set[int] = set()
        self.settled = 0


class ItemsRead(NamedTuple):
    """Items that were found in a log. See `Yielded`."""

    shown: tuple[str, ...]
    digests: tuple[str, ...]
    bytes: int


ReadLog = Callable[[str, int], ItemsRead]


class Streams:
    """All streams of a run. selected: tasks that take part (None: all). folder: where item logs lie, by attempt's nonce.

    read_log: the items of a log from an index on, none when there is no log; for what nobody told. feeds: streams of bytes.
    """

    def __init__(
        self, plan: Plan, selected: Iterable[int] | None, folder: str, read_log: ReadLog, feeds: Feeds | None = None
    ):
        self._plan = plan
        self._folder = folder
        self._read_log = read_log
        self._feeds = feeds
        self._makers: dict[int, _Maker] = {}
        self._by_nonce: dict[int, _Maker] = {}
        self._mapped: dict[int, _Mapped] = {}
        self._readers: dict[int, list[_Reader]] = {}
        self._flows: dict[int, list[tuple[str, _Maker]]] = {}
        self._flowed: dict[int, bool] = {}  # tasks that took streams while they were made -> whether they are ok
        self._orders: list[StreamOrder] = []
        self._lingering = Lingering()
        self._is_dirty = False
        self._connect(plan, range(len(plan.graph.tasks)) if selected is None else selected)

    def _connect(self, plan: Plan, selected: Iterable[int]) -> None:
        tasks = plan.graph.tasks
        self._makers = {number: _Maker(number) for number, task in enumerate(tasks) if is_stream(task)}
        if not self._makers:
            return
        for maker in self._makers.values():
            maker.state = "complete"  # unless it takes part
        followers = list(selected)
        for number in followers:
            if number in self._makers:
                self._makers[number].state = "open"
        by_name = {tasks[number].name: tasks[number] for number in self._makers}
        for number in followers:
            if tasks[number].dependencies:
                self._connect_follower(number, tasks[number], by_name)

    def _connect_follower(self, number: int, task: Task, by_name: Mapping[str, Task]) -> None:
        for name, how in ties(task, by_name).items():
            maker = self._makers[self._plan.graph.index[name]]
            self._lingering.connect(maker.task, number)
            if how == GROWS:
                mapped = self._mapped[number] = _Mapped(number)
                maker.mapped.append(mapped)
            elif how == ITERATES:
                binds = [edge.bind for edge in task.dependencies if edge.name == name and edge.bind is not None]
                self._flows.setdefault(number, []).extend((bind, maker) for bind in binds)

    def path_of(self, nonce: int) -> str:
        """The item log of an attempt."""
        return f"{self._folder}/{nonce:016x}.items"

    def is_open(self, maker: int) -> bool:
        """Whether it is a stream of this run that is not complete."""
        stream = self._makers.get(maker)
        return stream is not None and stream.state != "complete"

    def flow(self, maker: int, bind: str) -> Flow:
        """What an attempt that iterates a stream is given. Only for streams that are not complete."""
        stream = self._makers[maker]
        return Flow(stream.nonce, stream.path, bind)

    def log_of(self, maker: int) -> str | None:
        """The log that has every item handed on so far; None before there is one."""
        return self._makers[maker].path or None

    # --- attempts ------------------------------------------------------------------------------------------------------

    def submitted(self, key: AttemptKey, nonce: int, ahead: bool) -> None:
        """An order is about to leave. ahead: it holds no slot yet, so it may hold nobody back."""
        if self._feeds is not None and self._feeds.submitted(key, nonce):
            self._flowed[key.task] = False
        maker = self._makers.get(key.task)
        if maker is not None:
            self._begin_log(maker, key, nonce)
        flows = self._flows.get(key.task)
        if flows is not None:
            self._readers[nonce] = readers = []
            self._flowed[key.task] = False  # also when all is complete by now: it was not when the task was looked at
            for bind, stream in flows:
                if stream.state == "complete" and not stream.nonce:
                    continue  # it reads the product itself
                reader = _Reader(key, nonce, bind, stream, not ahead)
                readers.append(reader)
                stream.readers.append(reader)
        mapped = self._mapped.get(key.task)
        if mapped is not None and not ahead:
            mapped.live.add(nonce)
        self._is_dirty = self._is_dirty or flows is not None or mapped is not None or maker is not None

    def _begin_log(self, maker: _Maker, key: AttemptKey, nonce: int) -> None:
        self._by_nonce.pop(maker.nonce, None)
        self._by_nonce[nonce] = maker
        maker.key, maker.nonce = key, nonce
        maker.path = self.path_of(nonce)
        maker.count = maker.bytes = 0
        maker.allowed = WINDOW_ITEMS
        maker.refusal = None
        maker.is_adopted = False
        maker.since = None
        maker.handed = max(maker.handed, max((reader.announced for reader in maker.readers), default=0))
        del maker.digests[maker.handed * DIGEST_BYTES :]

    def began(self, key: AttemptKey, nonce: int, now: float = 0.0) -> None:
        """An attempt has begun. now: monotonic seconds."""
        maker = self._by_nonce.get(nonce)
        if maker is not None:
            maker.since = now
            self._let_linger(maker)
        for reader in self._readers.get(nonce, ()):
            reader.is_sure = self._is_dirty = True
        mapped = self._mapped.get(key.task)
        if mapped is not None:
            mapped.live.add(nonce)
            self._is_dirty = True

    def adopt(self, key: AttemptKey, nonce: int) -> None:
        """An attempt of an earlier engine lives. What a maker makes is known at its end; iterators have no flow any more."""
        if self._feeds is not None:
            self._feeds.adopt(key, nonce)
        maker = self._makers.get(key.task)
        if maker is not None:
            self._begin_log(maker, key, nonce)
            maker.is_adopted = True
            self._let_linger(maker)
        mapped = self._mapped.get(key.task)
        if mapped is not None:
            mapped.live.add(nonce)

    def ended(self, key: AttemptKey, nonce: int, outcome: Outcome) -> Outcome:
        """An attempt has ended; the outcome as it counts, which tells of a failed maker or of items that differ."""
        if self._feeds is not None:
            outcome = self._feeds.ended(key, nonce, outcome)
        readers = self._readers.pop(nonce, None)
        if readers is not None:
            outcome = self._end_readers(readers, outcome)
        mapped = self._mapped.get(key.task)
        if mapped is not None:
            mapped.live.discard(nonce)
            self._is_dirty = True
        maker = self._by_nonce.get(nonce)
        if maker is None:
            return outcome
        self._is_dirty = True
        if maker.refusal is not None:
            outcome = outcome._replace(ok=False, cause=EXCEPTION, detail=maker.refusal, exit_code=None, product=None)
        elif outcome.ok and maker.count < maker.handed:
            text = f"it handed on {maker.handed} items before, and now only {maker.count}"
            outcome = outcome._replace(ok=False, cause=EXCEPTION, detail=text, product=None)
        elif self._lingering.is_idle(maker.task):
            count = None if maker.is_adopted else maker.count
            ending = self._lingering.ended(maker.task, nonce, outcome, count)
            maker.is_partial, outcome = ending.ok and not outcome.ok, ending
        if not outcome.ok:
            del self._by_nonce[nonce]
            maker.nonce = 0
        return outcome

    # --- streams that nobody takes any more ----------------------------------------------------------------------------

    def _let_linger(self, maker: _Maker) -> None:
        """Nobody may take what the attempt makes any more."""
        if maker.nonce and self._lingering.is_idle(maker.task):
            self._lingering.begin(maker.task, maker.bytes)
            self._orders.append(Linger(maker.task, maker.since))

    def lingered(self, task: int) -> None:
        """The time of a stream is over that nobody takes."""
        maker = self._makers[task]
        if maker.nonce and maker.key is not None and self._lingering.release(task, maker.nonce):
            name = self._plan.graph.tasks[task].name
            after = "" if maker.is_adopted else f" after {maker.count} items"
            text = f"{name!r} is ended{after}: nobody takes from it any more"
            self._orders.append(Release(maker.key, text))

    def _end_readers(self, readers: list[_Reader], outcome: Outcome) -> Outcome:
        for reader in readers:
            maker = reader.maker
            maker.readers.remove(reader)
            self._is_dirty = True
            if outcome.ok:
                maker.handed = max(maker.handed, reader.announced)
            elif reader.told == "failed" and outcome.charged and kind(outcome.cause or "") in (EXCEPTION, DEPENDENCY):
                outcome = outcome._replace(cause=maker.failure)
        return outcome

    def untold(self, key: AttemptKey, nonce: int) -> Yielded | None:
        """Items that a maker, which has just ended, has handed on while nobody listened: it was adopted, or cannot speak."""
        maker = self._by_nonce.get(nonce)
        if maker is None or (maker.count and not maker.is_adopted) or self._lingering.is_released(maker.task, nonce):
            return None
        found = self._read_log(maker.path, maker.count)
        return Yielded(key, nonce, maker.count, *found) if found.shown else None

    # --- items ---------------------------------------------------------------------------------------------------------

    def known(self, task: int) -> int:
        """How many items of the present attempt are known."""
        return self._makers[task].count

    def made(self, report: Yielded) -> bool:
        """A maker has handed on items; False when they do not count: of an attempt that is over, or other ones than before."""
        maker = self._by_nonce.get(report.nonce)
        if maker is None or maker.refusal is not None or report.first != maker.count:
            return False
        added = _packed(report.digests)
        place = maker.count * DIGEST_BYTES
        known = maker.digests[place : place + len(added)]
        if known != added[: len(known)]:
            self._refuse(maker, report, known, added)
            return False
        maker.digests += added[len(known) :]
        maker.count += len(report.digests)
        maker.bytes += report.bytes
        if maker.mapped:
            maker.handed = max(maker.handed, maker.count)
            self._lingering.taken(maker.task)
        if self._lingering.is_too_long(maker.task, maker.bytes):
            self.lingered(maker.task)
        self._news(maker)
        return True

    def _refuse(self, maker: _Maker, report: Yielded, known: bytearray, added: bytearray) -> None:
        step = DIGEST_BYTES
        places = range(0, len(known), step)
        differs = next(at for at in places if known[at : at + step] != added[at : at + step]) // step
        maker.refusal = (
            f"item {maker.count + differs} is another one than in the attempt before, and was handed on already: "
            "a stream that is tried again must make the same items"
        )
        self._orders.append(Stop(report.key, EXCEPTION))

    def took(self, report: Taken) -> None:
        """A consumer has come so far; the first time, that it listens."""
        for reader in self._readers.get(report.nonce, ()):
            if reader.bind == report.bind:
                if not reader.is_live:
                    reader.is_live = True
                    self._lingering.taken(reader.maker.task)
                    self._news(reader.maker)
                reader.position = max(reader.position, report.position)
                taken = reader.maker.taken
                taken[reader.key.task] = max(taken.get(reader.key.task, 0), report.position)
                self._is_dirty = True

    def becomes_instances(self, task: int) -> bool:
        """Whether some follower is mapped over the items of the stream."""
        return bool(self._makers[task].mapped)

    def noted(self, fact: CloseAttempt | SettleInstance | SettleTask) -> None:
        """What an end counts as. With a task's, consumers learn that its stream is complete, or will never be."""
        if isinstance(fact, SettleInstance):
            mapped = self._mapped.get(fact.task)
            if mapped is not None:
                mapped.settled += 1
                self._is_dirty = True
            return
        if self._feeds is not None:
            self._feeds.noted(fact)
        if isinstance(fact, SettleTask):
            self._settle(fact)

    def _settle(self, settled: SettleTask) -> None:
        if settled.task in self._flowed:
            self._flowed[settled.task] = settled.state == "ok"
        maker = self._makers.get(settled.task)
        if maker is not None:
            self._settle_maker(maker, settled)
        for idle in self._lingering.settled(settled.task, settled.state == "ok"):
            self._let_linger(self._makers[idle])
        for task in [task for task, is_ok in self._flowed.items() if is_ok]:
            self._remember(task)

    def _settle_maker(self, maker: _Maker, settled: SettleTask) -> None:
        if settled.state == "ok":
            maker.state = "failed" if maker.is_partial else "complete"
        else:
            maker.state = "failed"
            cause = settled.cause or ""
            name = self._plan.graph.tasks[settled.task].name
            maker.failure = cause if cause.startswith("dependency:") else f"dependency:{name}"
        self._by_nonce.pop(maker.nonce, None)
        maker.nonce = 0
        self._news(maker)

    def _remember(self, task: int) -> None:
        """Of a task that is ok: once all that it took is complete."""
        if self._feeds is not None and not self._feeds.is_whole(task):
            return
        if all(maker.state == "complete" for _, maker in self._flows.get(task, ())):
            del self._flowed[task]
            self._orders.append(Remember(task))

    def restore(self, opened: OpenRun) -> None:
        """Resume: what is complete; and items that became instances, which whoever makes them again must make the same."""
        if self._feeds is not None:
            self._feeds.restore(opened)
        for row in opened.tasks:
            if row.state != "ok":
                continue
            if row.task in self._makers:
                self._makers[row.task].state = "complete"
            self._lingering.settled(row.task, is_ok=True)
        for maker in self._makers.values():
            most = 0
            for mapped in maker.mapped:
                instances = opened.items.get(mapped.task, ())
                mapped.settled = sum(state == "ok" for _, state, _ in instances)
                most = max(most, len(instances))
            if most and maker.state == "open":
                self._restore_items(maker, most, [row.nonce for row in opened.attempts if row.key.task == maker.task])

    def _restore_items(self, maker: _Maker, items: int, nonces: Sequence[int]) -> None:
        """Of the logs of earlier attempts, the one that has most; what none has (a power cut) cannot be compared."""
        for nonce in nonces:
            path = self.path_of(nonce)
            digests = _packed(self._read_log(path, 0).digests[:items])
            if len(digests) > len(maker.digests):
                maker.path, maker.digests = path, digests
        maker.handed = len(maker.digests) // DIGEST_BYTES

    # --- orders out ----------------------------------------------------------------------------------------------------

    def _news(self, maker: _Maker) -> None:
        maker.has_news = True
        self._is_dirty = True

    def orders(self) -> Sequence[StreamOrder]:
        """What is to be told to the executors since the last call."""
        if self._feeds is not None:
            self._orders += self._feeds.orders()
        if not self._is_dirty and not self._orders:
            return ()
        self._is_dirty = False
        for maker in self._makers.values():
            if maker.has_news:
                maker.has_news = False
                for reader in maker.readers:
                    self._announce(reader, maker)
        for maker in self._by_nonce.values():
            if maker.count and not maker.is_adopted:  # before its first item it may not listen yet
                self._give_credit(maker)
        orders, self._orders = self._orders, []
        return orders

    def _announce(self, reader: _Reader, maker: _Maker) -> None:
        if not reader.is_live or (maker.count <= reader.announced and maker.state == reader.told):
            return
        path = ""
        if maker.count > reader.announced:
            if reader.path != maker.path:
                reader.path = path = maker.path
            reader.announced = maker.count
        reader.told = maker.state
        key = reader.key
        self._orders.append(Announce(key.task, reader.nonce, reader.bind, reader.announced, maker.state, path))

    def _give_credit(self, maker: _Maker) -> None:
        wanted = self._credit(maker)
        # Small changes are not worth a message: half a window lies between two.
        if wanted < maker.allowed or (wanted > maker.allowed and maker.allowed - maker.count <= maker.window // 2):
            maker.allowed = wanted
            assert maker.key is not None
            self._orders.append(Allow(maker.task, maker.nonce, wanted))

    def _credit(self, maker: _Maker) -> int:
        """How many items the maker may have made in all."""
        window = maker.window
        slowest = FREE
        has_starving = False
        is_crowded = len(self._readers) + len(self._by_nonce) > CROWD
        for reader in maker.readers:
            if not reader.is_sure or (is_crowded and not reader.is_live) or self._is_stuck(reader.nonce):
                continue
            slowest = min(slowest, reader.position)
            has_starving = has_starving or reader.is_starving
        for mapped in maker.mapped:
            if mapped.live:
                slowest = min(slowest, mapped.settled)
        if slowest == FREE:
            return FREE
        limit = slowest + window
        return maker.count + window if has_starving and limit <= maker.count else limit

    def _is_stuck(self, nonce: int) -> bool:
        """Whether a consumer waits, through any number of others, for a maker that does not run."""
        seen = {nonce}
        waiting = [nonce]
        while waiting:
            for reader in self._readers.get(waiting.pop(), ()):
                if not reader.is_live or not reader.is_starving:
                    continue
                maker = reader.maker
                if not maker.nonce:
                    return True
                if maker.nonce not in seen:
                    seen.add(maker.nonce)
                    waiting.append(maker.nonce)
        return False

    def gauge(self) -> Mapping[int, StreamGauge]:
        """By maker: how its stream stands. From any thread."""
        found = {}
        for task, maker in self._makers.items():
            taken = {**maker.taken, **{mapped.task: mapped.settled for mapped in maker.mapped}}
            found[task] = StreamGauge(
                maker.count, maker.bytes, maker.count if maker.state == "complete" else None, taken
            )
        return found


def _packed(digests: Iterable[str]) -> bytearray:
    return bytearray().join(bytes.fromhex(digest[: 2 * DIGEST_BYTES]) for digest in digests)
