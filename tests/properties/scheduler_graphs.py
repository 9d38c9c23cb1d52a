"""Random plans for the scheduler's world: families of graphs, tasks of mixed demands, some of which hand on streams."""

from __future__ import annotations

from random import Random

from weft.spec.retries import Retries
from weft.spec.tasks import Task
from weft.testing.scenario import task

FAMILIES = ("chain", "fan", "layers", "diamonds", "forest", "random", "streamed")


def edges(random: Random, family: str, count: int) -> list[list[int]]:
    """Dependencies of each of `count` tasks; always on earlier ones."""
    after: list[list[int]] = [[] for _ in range(count)]
    width = max(1, round(count**0.5))
    for i in range(1, count):
        if family == "chain":
            after[i] = [i - 1]
        elif family == "fan":
            after[i] = [0] if i < count - 1 else list(range(1, i)) or [0]
        elif family == "layers":
            layer = i // width
            before = range((layer - 1) * width, layer * width)
            after[i] = sorted(random.sample(before, min(2, len(before)))) if layer else []
        elif family == "diamonds":
            after[i] = [[i - 1], [i - 2], [i - 2, i - 1]][i % 3 - 1] if i >= 3 else [0]
        elif family == "forest":
            after[i] = [random.randrange(i)] if random.random() < 0.8 else []
        else:
            after[i] = sorted(random.sample(range(i), min(i, random.randrange(4))))
    return after


class Flows:
    """How the tasks of the family `streamed` take what those before them make: some as streams, some item by item."""

    def __init__(self, random: Random):
        self.random = random
        self.streams: set[int] = set()
        self.mapped: set[int] = set()

    def of(self, i: int, before: list[int]) -> dict[str, object]:
        """Arguments of `task` for the task number i."""
        random = self.random
        after, reads, of = [], [], None
        for j in before:
            if j in self.streams and random.random() < 0.75:
                reads.append(f"t{j}")
            elif j in self.streams | self.mapped and of is None and random.random() < 0.7:
                of = f"t{j}"
            else:
                after.append(f"t{j}")
        is_mapped = of is not None or random.random() < 0.1
        is_stream = not is_mapped and random.random() < 0.8
        (self.mapped if is_mapped else self.streams if is_stream else set()).add(i)
        each = range(random.randrange(4)) if is_mapped and of is None else None
        return {"after": after, "reads": reads, "of": of, "each": each, "streams": is_stream}


def make_tasks(random: Random, family: str, count: int) -> list[Task]:
    """Tasks of mixed demands, retries, requirements, durations; some mapped. Written in any order."""
    tasks = []
    flows = Flows(random) if family == "streamed" else None
    shape = random.choice(FAMILIES[:-1]) if flows else family
    for i, before in enumerate(edges(random, shape, count)):
        resources: dict[str, float] = {"cores": random.choice([0, 1, 1, 1, 2, 3])}
        if random.random() < 0.3:
            resources["memory"] = random.choice([1000, 2000, 3000])
        if random.random() < 0.1:
            resources["gpu"] = 1
        ties = flows.of(i, before) if flows else {"after": [f"t{j}" for j in before]}
        tasks.append(
            task(
                f"t{i}",
                resources=resources,
                needs=["f"] if random.random() < (0.3 if flows else 0.15) else (),
                outputs=["o"] if random.random() < 0.2 else (),
                retries=Retries(random.choice([2, 3, 4] if flows else [1, 1, 2, 3]), delay=random.choice([0, 0, 1.5])),
                duration=random.choice([None, None, 1.0, 7.0]),
                timeout=random.choice([None, 10.0]),
                priority=random.choice([0, 0, 0, 1]),
                interruptible=random.random() < 0.8,
                **(ties if flows or random.random() < 0.9 else ties | {"each": range(random.randrange(5))}),
            )
        )
    if random.random() < 0.5:
        random.shuffle(tasks)
    return tasks
