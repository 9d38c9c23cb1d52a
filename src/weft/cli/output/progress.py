"""What a live view shows of a run, as numbers: kinds of tasks, what runs, what is held, how long it may still take."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Final

from weft.ports import RunOpening
from weft.scheduling.commands import SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.spec.resources import CORES
from weft.spec.tasks import Task

KINDS_SHOWN: Final = 8
OTHERS: Final = "others"
_DIGITS: Final = "0123456789"
_JOINTS: Final = "-_. :#[(/"


def kind_of_task(task: Task) -> str:
    """What a task is one of: its template, its category, else the common beginning of its name."""
    policy = task.policy
    if policy.template is not None:
        return policy.template
    if policy.attributes:
        category = policy.attributes.get("category")
        if isinstance(category, str) and category:
            return category
    name = task.name
    for joint in ":[/":
        head, sign, _ = name.partition(joint)
        if sign and head:
            return head.rstrip(_DIGITS).rstrip(_JOINTS) or head
    return name.rstrip(_DIGITS).rstrip(_JOINTS) or name


class Kind:
    """Counts of one kind of tasks. seconds, timed: sum and number of measured durations."""

    __slots__ = ("cached", "cancelled", "failed", "name", "ok", "running", "seconds", "skipped", "timed", "total")

    def __init__(self, name: str):
        self.name = name
        self.total = self.running = self.ok = self.cached = self.failed = self.skipped = self.cancelled = self.timed = 0
        self.seconds = 0.0

    @property
    def done(self) -> int:
        """Tasks that have ended, however."""
        return self.ok + self.failed + self.skipped + self.cancelled

    def mean(self, usual: float) -> float:
        """Seconds that one took, on average; `usual` while none was measured."""
        return self.seconds / self.timed if self.timed else usual


class Progress:
    """Numbers of a run that is under way. Times are of one monotonic clock."""

    def __init__(self, opening: RunOpening, now: float):
        self.opening = opening
        self.started = now
        self.live: dict[AttemptKey, float] = {}  # oldest first
        self._busy = 0.0
        self._mapped: dict[int, None] = {}  # mapped tasks that are under way
        self._instance_seconds, self._instances_timed = 0.0, 0
        self.kinds, self._kind_by_task = _group(opening.plan.graph.tasks, opening.selected)

    @property
    def total(self) -> int:
        """Tasks that this engine has to bring to their end."""
        return len(self.opening.selected) - self.opening.resumed

    @property
    def done(self) -> int:
        """Tasks that have ended."""
        return sum(kind.done for kind in self.kinds)

    def begin(self, key: AttemptKey, now: float) -> None:
        """An attempt has begun."""
        self.live[key] = now
        self._kind(key.task).running += 1
        if key.instance != WHOLE:
            self._mapped[key.task] = None

    def end(self, key: AttemptKey, now: float) -> None:
        """An attempt has ended."""
        began = self.live.pop(key, None)
        if began is not None:
            self._busy += now - began
            self._kind(key.task).running -= 1
            if key.instance != WHOLE:
                self._instance_seconds += now - began
                self._instances_timed += 1

    def settle(self, settled: SettleTask) -> None:
        """A task has ended."""
        kind = self._kind(settled.task)
        self._mapped.pop(settled.task, None)
        if settled.state == "ok":
            kind.ok += 1
            if settled.cause == "cached":
                kind.cached += 1
            elif settled.attempts:
                kind.timed += 1
                kind.seconds += settled.usage.seconds
        elif settled.state == "failed":
            kind.failed += 1
        elif settled.state == "skipped":
            kind.skipped += 1
        else:
            kind.cancelled += 1

    def seconds_left(self, now: float) -> float | None:
        """An estimate: the work that is left by the measured means of each kind, at the parallelism seen so far.

        None while nothing has been measured.
        """
        timed, instances = sum(kind.timed for kind in self.kinds), self._instances_timed
        elapsed = now - self.started
        if not (timed or instances) or elapsed <= 0:
            return None
        per_instance = self._instance_seconds / instances if instances else 0.0
        mean = sum(kind.seconds for kind in self.kinds) / timed if timed else per_instance
        work = running = 0.0
        for kind in self.kinds:
            work += kind.mean(mean) * (kind.total - kind.done)
        for task, (ended, known) in self._parts():
            work += (per_instance or mean) * (known - ended) - self._kind(task).mean(mean)
        for key, began in list(self.live.items()):
            usual = self._kind(key.task).mean(mean) if key.instance == WHOLE else per_instance or mean
            spent = now - began
            running += spent
            work -= min(spent, usual)
            work += max(0.0, spent - usual) / 2  # whoever took longer than usual may go on for a while
        parallel = (self._busy + running) / elapsed
        return max(work, 0.0) / max(parallel, 0.05)

    def instances(self) -> dict[str, tuple[int, int]]:
        """(ended, known) instances of the mapped tasks under way, by the name of their kind."""
        found: dict[str, tuple[int, int]] = {}
        for task, (ended, known) in self._parts():
            name = self._kind(task).name
            before = found.get(name, (0, 0))
            found[name] = (before[0] + ended, before[1] + known)
        return found

    def _parts(self) -> list[tuple[int, tuple[int, int]]]:
        """(ended, known) instances of each mapped task under way."""
        if not self._mapped:
            return []
        parts_of = self.opening.gauge().parts_of
        return [(task, parts_of(task) or (0, 0)) for task in list(self._mapped)]

    def oldest(self, number: int) -> list[tuple[AttemptKey, float]]:
        """The attempts that run longest, and when they began."""
        return list(self.live.items())[:number]

    def cores(self) -> tuple[int, int | None]:
        """Millicores held, and the budget."""
        return self.opening.gauge().held.get(CORES, 0), self.opening.capacity.get(CORES)

    def _kind(self, task: int) -> Kind:
        return self.kinds[self._kind_by_task[task]]


def _group(tasks: tuple[Task, ...], selected: Iterable[int]) -> tuple[list[Kind], array[int]]:
    """Kinds in order of first appearance, at most KINDS_SHOWN; the smallest ones share the last."""
    index_by_name: dict[str, int] = {}
    kind_by_task = array("i", bytes(4 * len(tasks)))
    totals: list[int] = []
    chosen = list(selected)
    for task in chosen:
        name = kind_of_task(tasks[task])
        index = index_by_name.get(name)
        if index is None:
            index = index_by_name[name] = len(totals)
            totals.append(0)
        totals[index] += 1
        kind_by_task[task] = index
    shown = _shown(totals)
    kinds: list[Kind] = []
    moved: dict[int, int] = {}
    for name, index in index_by_name.items():
        if index in shown:
            moved[index] = len(kinds)
            kinds.append(Kind(name))
            kinds[-1].total = totals[index]
    rest = sum(totals) - sum(kind.total for kind in kinds)
    if rest or not kinds:
        kinds.append(Kind(OTHERS))
        kinds[-1].total = rest
    last = len(kinds) - 1
    for task in chosen:
        kind_by_task[task] = moved.get(kind_by_task[task], last)
    return kinds, kind_by_task


def _shown(totals: list[int]) -> frozenset[int]:
    if len(totals) <= KINDS_SHOWN:
        return frozenset(range(len(totals)))
    by_size = sorted(range(len(totals)), key=lambda index: (-totals[index], index))
    return frozenset(by_size[: KINDS_SHOWN - 1])


def memory_in_use(meminfo: str) -> tuple[int, int] | None:
    """Bytes in use and in all of the host, from the text of `/proc/meminfo` (proc(5)); None when it does not say."""
    split = (line.partition(":") for line in meminfo.splitlines())
    fields: Mapping[str, str] = {name: rest for name, sign, rest in split if sign}
    try:
        total, available = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (KeyError, ValueError, IndexError):
        return None
    return total - available, total
