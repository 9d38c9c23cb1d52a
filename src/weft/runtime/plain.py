"""A plan of mere programs: nothing is looked at before they start, and they hand nothing on.

Most runs of short programs are such. What stands here spares them the code that looks at files and keeps products, which takes
longer to load than many of them to run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from weft.ports import BegunRow, FileRow, ResultRow
from weft.runtime.orders import NOTHING_BOUND, Bindings
from weft.scheduling.events import Inspected
from weft.scheduling.outcomes import Outcome
from weft.spec.actions import Call
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS


def is_plain(plan: Plan) -> bool:
    """Whether no task requires, finds, makes or hands on anything, or may be cached."""
    return all(
        task.requires is NO_REQUIREMENTS
        and not task.outputs
        and task.policy.product is None
        and task.policy.foreach is None
        and task.policy.cache != "always"
        and not isinstance(task.action, Call)
        for task in plan.graph.tasks
    )


def bind_nothing(_task: int, _instance: int) -> Bindings:
    """What an attempt receives."""
    return NOTHING_BOUND


class NothingToInspect:
    """Fulfils `ports.Inspector`: every task may start."""

    def __init__(self) -> None:
        self._answers: deque[Inspected] = deque()

    def ask(self, task: int, force: bool, instances: Sequence[int] | None = None) -> None:  # noqa: ARG002
        """See `ports.Inspector`."""
        self._answers.append(Inspected(task))

    def answers(self) -> Sequence[Inspected]:
        """See `ports.Inspector`."""
        answers = tuple(self._answers)
        self._answers.clear()
        return answers

    def bells(self) -> Sequence[int]:
        """See `ports.Inspector`: answers are there before anybody waits for them."""
        return ()

    def finished(self, task: int, instance: int) -> None:
        """See `ports.Inspector`."""

    def remember(self, task: int) -> None:
        """See `ports.Inspector`."""

    def begun(self) -> Sequence[BegunRow]:
        """See `ports.Inspector`."""
        return ()

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """See `ports.Inspector`."""
        return (), ()

    def drain(self) -> None:
        """See `ports.Inspector`."""

    def close(self) -> None:
        """See `ports.Inspector`."""


class NothingHandedOn:
    """What `Products` is to the engine, where there are none."""

    def accept(self, task: int, instance: int, outcome: Outcome) -> Outcome:  # noqa: ARG002
        """The outcome, as it is."""
        return outcome

    def accept_outputs(self, task: int, instance: int, outcome: Outcome) -> Outcome:  # noqa: ARG002
        """The outcome, as it is."""
        return outcome

    def ended(self, task: int, *, is_ok: bool = True) -> None:
        """Nobody needed anything."""

    def take_items(self, task: int, items: Sequence[str]) -> None:
        """No task is mapped."""

    def add_items(self, task: int, items: Sequence[str]) -> None:
        """No task is mapped."""
