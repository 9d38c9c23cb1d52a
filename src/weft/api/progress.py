"""How far a run has come: its tasks, and what has gone over its edges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.ports import StreamGauge
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Task

if TYPE_CHECKING:
    from weft.ports import Gauge
    from weft.spec.graph import Graph


class Progress:
    """Measures what goes over the edges. Told by the engine's thread, read by any.

    began: monotonic seconds of the first attempt of each task that takes or makes many parts; sizes: bytes of products.
    """

    def __init__(
        self,
        graph: Graph,
        clock: Callable[[], float] = time.monotonic,
        measure: Callable[[int], tuple[int, int] | None] = lambda _: None,
    ) -> None:
        """measure: items and bytes of a stream that is there already, None where nobody knows."""
        self._graph = graph
        self._clock = clock
        self._measure = measure
        self._found: dict[int, tuple[int, int] | None] = {}
        self._began: dict[int, float] = {}
        self._sizes: dict[int, int] = {}
        self._bound = frozenset(
            graph.index[edge.name] for task in graph.tasks for edge in task.dependencies if edge.bind is not None
        )

    def started(self, key: AttemptKey) -> None:
        """An attempt has begun."""
        if key.task not in self._began:
            self._began[key.task] = self._clock()

    def made(self, key: AttemptKey, outcome: Outcome) -> None:
        """An attempt has ended well."""
        if key.task in self._bound:
            product = self._graph.tasks[key.task].policy.product
            self._sizes[key.task] = self._sizes.get(key.task, 0) + _size(product, outcome)

    # --- read --------------------------------------------------------------------------------------------------------------

    def tasks(self, selected: Sequence[int], gauge: Gauge) -> Mapping[str, Mapping[str, Any]]:
        """State of each task, and how much of it is done: instances, items of a stream, else the task itself."""
        return {self._graph.tasks[task].name: self._task(task, gauge) for task in selected}

    def _task(self, task: int, gauge: Gauge) -> Mapping[str, Any]:
        state = gauge.state_of(task)
        stream = self._stream(task, gauge)
        parts = gauge.parts_of(task)
        done: int
        total: int | None
        if parts is not None:
            done, total = parts
        elif stream is not None and (stream.made or (stream.total is not None and self._is_counted(task))):
            done, total = stream.made, stream.total
        else:
            done, total = int(state == "ok"), 1
        return {"state": state, "done": done, "total": total}

    def _stream(self, task: int, gauge: Gauge) -> StreamGauge | None:
        """How a stream stands; one that finished work stands in for has been made as a whole."""
        stream = gauge.streams.get(task)
        if stream is None or stream.made or stream.total is None or gauge.state_of(task) != "ok" or task in self._began:
            return stream
        if task not in self._found:
            self._found[task] = self._measure(task)
        found = self._found[task]
        return stream if found is None else stream._replace(made=found[0], bytes=found[1], total=found[0])

    def _is_counted(self, task: int) -> bool:
        return task in self._began or self._found.get(task) is not None

    def edges(self, selected: Sequence[int], gauge: Gauge) -> Sequence[Mapping[str, Any]]:
        """What each edge between selected tasks has delivered."""
        return list(self._edges(frozenset(selected), selected, gauge))

    def _edges(self, takes_part: frozenset[int], selected: Sequence[int], gauge: Gauge) -> Iterator[Mapping[str, Any]]:
        tasks, index = self._graph.tasks, self._graph.index
        for follower in selected:
            for edge in tasks[follower].dependencies:
                maker = index[edge.name]
                if maker in takes_part:
                    items, size, left = self._edge(edge, maker, follower, gauge)
                    yield {
                        "from": edge.name,
                        "to": tasks[follower].name,
                        "items": items,
                        "bytes": size,
                        "seconds_left": left,
                    }

    def _edge(self, edge: Dependency, maker: int, follower: int, gauge: Gauge) -> tuple[int, int, float | None]:
        """Items and bytes delivered; seconds until the last one is, None where nothing tells."""
        stream = self._stream(maker, gauge)
        if stream is not None and follower in stream.taken:
            return self._flow(stream, follower, gauge)
        if edge.bind is None and not _maps_over(self._graph.tasks[follower], edge):
            left = 0.0 if gauge.state_of(maker) == "ok" else self._left_of(maker, gauge)
            return 0, 0, left
        if stream is not None and stream.total and gauge.state_of(follower) == "ok":
            return stream.total, stream.bytes, 0.0  # taken when it was complete
        size = self._sizes.get(maker, 0)
        parts = gauge.parts_of(maker)
        if parts is not None:
            return parts[0], size, self._left_of(maker, gauge)
        if gauge.state_of(maker) != "ok":
            return 0, 0, None
        taken = gauge.parts_of(follower) if edge.each else None
        if taken is None:
            return 1, size, 0.0
        done, total = taken
        return done, size * done // total if total else size, self._left_of(follower, gauge)

    def _flow(self, stream: StreamGauge, follower: int, gauge: Gauge) -> tuple[int, int, float | None]:
        done, _ = gauge.parts_of(follower) or (
            0,
            0,
        )  # instances that finished work stands in for took nothing themselves
        taken = min(max(stream.taken[follower], done), stream.made)
        size = stream.bytes * taken // stream.made if stream.made else 0
        if gauge.state_of(follower) not in ("pending", "running"):
            return taken, size, 0.0
        return taken, size, None if stream.total is None else self._at_rate(follower, taken, stream.total)

    def _left_of(self, task: int, gauge: Gauge) -> float | None:
        """Seconds until the rest of a mapped task is done, at the rate so far."""
        parts = gauge.parts_of(task)
        if parts is None:
            return None
        if gauge.state_of(task) not in ("pending", "running"):
            return 0.0
        return self._at_rate(task, *parts)

    def _at_rate(self, task: int, done: int, total: int) -> float | None:
        if done >= total:
            return 0.0
        began = self._began.get(task)
        if not done or began is None:
            return None
        return round((total - done) * (self._clock() - began) / done, 3)


def _maps_over(task: Task, edge: Dependency) -> bool:
    foreach = task.policy.foreach
    return foreach is not None and foreach.stream == edge.name


def _size(product: Product | None, outcome: Outcome) -> int:
    """Bytes of what an attempt handed on."""
    text = outcome.product
    if text is None:
        return outcome.stdout.length if product is not None and product.source in ("stdout", "json") else 0
    if text.startswith("@") and (product is None or product.source == "return"):
        return int(text.split(" ", 3)[2])
    return len(text.encode("utf-8"))
