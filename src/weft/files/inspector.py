"""Looks at the world for tasks that are about to start, and at what they left behind, in threads beside the loop.

The loop hands over jobs and takes answers; it never waits. One thread, the leader, does the jobs in their order, because many
short looks are fastest one after another. Before it begins what may take long (a large file, a search) it hands over what it
knows and another thread becomes the leader, so that nobody waits behind a slow disk; when the long job is done its thread ends.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread, current_thread
from typing import Final, NamedTuple, TypeVar

from weft.errors import InternalError
from weft.files.examination import Examiner
from weft.files.given import History as History
from weft.files.given import NoProducts, Products
from weft.files.requirements import SHARED_MEMORY_FOLDER
from weft.files.search import Place
from weft.files.watched import Sieve
from weft.ports import BegunRow, FileRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.freshness import Forecast
from weft.scheduling.keys import WHOLE
from weft.spec.plan import Plan

Value = TypeVar("Value")

PUBLISH_SECONDS: Final = 0.002  # answers wait for others at most so long, because each batch wakes the loop once
LONG_JOBS: Final = 4  # at once, beside the leader; more would only compete for the disk
CLOSE_SECONDS: Final = 5.0


class Ask(NamedTuple):
    """Job: look whether and how a task is to start."""

    task: int
    is_forced: bool
    instances: frozenset[int] | None = None


class Keep(NamedTuple):
    """Job: an attempt did its work; remember what it made. is_late: it began before it could be said what it was given."""

    task: int
    instance: int
    is_late: bool = False


Job = Ask | Keep | Event | None


class FileInspector:
    """Fulfils `ports.Inspector`.

    run: of the rows that it makes. products: what tasks of this run handed on. is_caching: whether finished work may stand in
    and is remembered (`--no-cache` says no). on_unmet: hears, in any thread, that a requirement did not hold.
    """

    def __init__(
        self,
        plan: Plan,
        state_folder: str | None,
        history: History,
        run: str,
        products: Products | None = None,
        *,
        is_caching: bool = True,
        shared_memory: str = SHARED_MEMORY_FOLDER,
        plan_digest: str = "",
        sieve: Sieve | None = None,
        on_unmet: Callable[[], None] | None = None,
    ):
        self._examiner = Examiner(
            plan,
            Place(os.path.abspath(plan.root), state_folder and os.path.realpath(state_folder)),
            history,
            run,
            products or NoProducts(),
            is_caching=is_caching,
            before_long=self._step_aside,
            is_stopped=lambda: self._is_closed,
            shared_memory=shared_memory,
            plan_digest=plan_digest,
            sieve=sieve,
        )
        self._on_unmet = on_unmet
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._unpublished: list[Inspected] = []
        self._publish_at = 0.0
        self._answers: deque[Inspected] = deque()
        self._failure: BaseException | None = None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_ringing = False
        self._is_closed = False
        self._leader: Thread | None = None
        self._aside: list[Thread] = []

    # --- the loop's side -------------------------------------------------------------------------------------------------

    def ask(self, task: int, force: bool, instances: Sequence[int] | None = None) -> None:
        """See `ports.Inspector`."""
        answer = None if force else self._examiner.glance(task)
        if answer is None:
            if self.needs_look(task):
                self._begin(Ask(task, force, None if instances is None else frozenset(instances)))
                return
            answer = Inspected(task)
        self._answers.append(answer)
        self._ring()

    def needs_look(self, task: int) -> bool:
        """Whether there is anything to look at before the task starts."""
        return self._examiner.needs_look(task)

    def answers(self) -> Sequence[Inspected]:
        """What has been found since; never waits."""
        # The bell is emptied first and the flag cleared second: an answer that comes in between is taken below.
        if self._is_ringing:
            try:
                os.eventfd_read(self._bell)
            except BlockingIOError:
                pass
            self._is_ringing = False
        self._check_failure()
        return _taken(self._answers)

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return (self._bell,)

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """After an attempt that did its work: (cause, detail) when a declared output is missing, else None.

        What it made is remembered behind the loop's back; `take` gives it.
        """
        missing = self._examiner.missing_outputs(task, instance)
        if missing is None:
            self._begin(Keep(task, instance))
        return missing

    def remember(self, task: int) -> None:
        """See `ports.Inspector`."""
        self._begin(Keep(task, WHOLE, is_late=True))

    def begun(self) -> Sequence[BegunRow]:
        """See `ports.Inspector`."""
        return _taken(self._examiner.beginnings.news)

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """Results and digests that are known since the last call, to be stored."""
        return _taken(self._examiner.results), _taken(self._examiner.contents.news)

    def drain(self, limit: float | None = None) -> None:
        """Wait until everything that was begun is known, at most `limit` seconds. Raises TimeoutError."""
        if self._leader is None:
            return
        mark = Event()
        self._jobs.put(mark)
        if not mark.wait(limit):
            raise TimeoutError("the inspector is still reading files")
        self._check_failure()

    def recover_items(self, task: int, items: Sequence[str]) -> None:
        """Resume: a mapped task keeps these items. Before the first `ask`."""
        self._examiner.recover_items(task, items)

    def recover_fingerprints(self, found: Mapping[int, str]) -> None:
        """Resume: of tasks that are ok already. Before the first `ask`."""
        self._examiner.recover_fingerprints(found)

    def recover_begun(self, rows: Sequence[BegunRow]) -> None:
        """Resume: what attempts were begun with, when items and products are known again. Before the first `ask`."""
        for task, instance in self._examiner.recover_begun(rows):
            self._begin(Keep(task, instance))

    def ended_earlier(self, task: int, instance: int, wall: float) -> None:
        """Resume: an attempt had done its work by then. Before its `finished`."""
        self._examiner.beginnings.ended_earlier(task, instance, wall)

    def items(self, task: int) -> tuple[str, ...]:
        """The items of a mapped task; empty before they are known."""
        return self._examiner.items(task)

    def item(self, task: int, instance: int) -> str:
        """The item of an instance."""
        return self._examiner.item(task, instance)

    def recorded(self, task: int, instance: int = WHOLE) -> ResultRow | None:
        """The finished work that stands in for a task or instance that is up to date. After its answer only."""
        return self._examiner.recorded(task, instance)

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, str | list[str] | None]:
        """Parameter -> path, or sorted paths, of what requirements bind, as the last look found it; see `Examiner.bound`."""
        return self._examiner.bound(task, instance)

    def outputs(self, task: int, instance: int = WHOLE) -> tuple[str, ...]:
        """Paths that the task or instance is to make, slots filled."""
        return self._examiner.outputs(task, instance)

    def outputs_with(self, task: int, items: Sequence[str]) -> Sequence[Sequence[str]]:
        """Likewise of every instance, if a mapped task has these items. Instead of a run, not during one."""
        assert self._leader is None
        return self._examiner.outputs_with(task, items)

    def preview(self, selected: Sequence[int], force: bool = False) -> dict[int, Forecast]:
        """What would happen now to each of the selected tasks; starts nothing. Instead of a run, not during one."""
        from weft.files.forecast import preview  # late: a run does not need it

        assert self._leader is None
        return preview(self._examiner, selected, force)

    def close(self) -> None:
        """Stop looking; what is being read is given up."""
        if self._is_closed:
            return
        self._is_closed = True
        deadline = time.monotonic() + CLOSE_SECONDS
        self._jobs.put(None)
        while running := [
            thread for thread in (self._leader, *self._aside) if thread is not None and thread.is_alive()
        ]:
            running[0].join(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                return  # a thread that hangs in the system may ring once more: its bell stays open until the process ends
        os.close(self._bell)
        self._examiner.close()

    def _begin(self, job: Job) -> None:
        if self._leader is None:
            self._lead()
        self._jobs.put(job)

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise InternalError(f"the inspector has failed: {self._failure!r}") from self._failure

    def _ring(self) -> None:
        if not self._is_ringing:
            self._is_ringing = True
            os.eventfd_write(self._bell, 1)

    # --- the threads' side -------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Another thread becomes the leader."""
        self._leader = Thread(target=self._work, name="weft-inspector", daemon=True)
        self._leader.start()

    def _step_aside(self) -> None:
        """Called in the midst of a job that will take long: hand over what is known, and the lead."""
        me = current_thread()
        if me is not self._leader:
            return
        self._publish()
        self._aside = [thread for thread in self._aside if thread.is_alive()]
        if len(self._aside) < LONG_JOBS and not self._is_closed:
            self._aside.append(me)
            self._lead()

    def _work(self) -> None:
        try:
            while self._work_one():
                pass
        except BaseException as error:  # noqa: BLE001 - handed to the loop, which ends the run with it
            self._failure = error
            self._ring()
            while current_thread() is self._leader and (job := self._jobs.get()) is not None:
                if isinstance(job, Event):
                    job.set()

    def _work_one(self) -> bool:
        """Do one job; False when this thread has nothing more to do."""
        if self._unpublished and (self._jobs.empty() or time.monotonic() > self._publish_at):
            self._publish()
        try:
            job = self._jobs.get(timeout=self._examiner.contents.settle() if self._jobs.empty() else None)
        except Empty:
            return True
        if isinstance(job, Ask):
            answer = self._examiner.look(job.task, job.is_forced, job.instances)
            if answer.unmet is not None and self._on_unmet is not None:
                self._on_unmet()
            self._answer(answer)
        elif isinstance(job, Keep):
            self._examiner.keep(job.task, job.instance, is_late=job.is_late)
        elif isinstance(job, Event):
            self._publish()
            for thread in self._aside:
                thread.join()
            job.set()
        return job is not None and current_thread() is self._leader

    def _answer(self, answer: Inspected) -> None:
        if current_thread() is not self._leader:
            self._answers.append(answer)
            self._ring()
            return
        if not self._unpublished:
            self._publish_at = time.monotonic() + PUBLISH_SECONDS
        self._unpublished.append(answer)

    def _publish(self) -> None:
        """Hand over what is known so far."""
        if self._unpublished:
            self._answers.extend(self._unpublished)
            self._unpublished.clear()
            self._ring()


def _taken(queue: deque[Value]) -> list[Value]:
    taken: list[Value] = []
    while queue:
        taken.append(queue.popleft())
    return taken
