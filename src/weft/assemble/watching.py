"""`weft watch`: a run each time that files which the plan requires are new or have changed (docs/decisions/0040).

A round is an ordinary run of the plan, with two differences. Everything that went well is remembered, as with `cache: always`, so
that each file is worked on once, also after a restart. And it is shown the files as they were when it began, as far as they are
whole: what is still being written, and what has failed and not changed since, waits for a later round.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from weft.assemble.run_settings import RunSettings, state_folder
from weft.assemble.runs import resume, run
from weft.assemble.selecting import select_tasks
from weft.errors import UsageError, cut
from weft.files.changes import Changes, FileEvents, Polling, has_events
from weft.files.search import Place
from weft.files.watched import Outputs, Settling, Stamp, required_files, requires_files, stamp_of, watched_folders
from weft.ports import Observer, RunEnding, RunRow
from weft.runtime.interrupts import Interrupts
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.tasks import Policy, Task
from weft.store.archive import SqliteArchive
from weft.store.database import path_of

SETTLE_SECONDS: Final = 1.0  # a file that has not changed for so long is whole
REST_SECONDS: Final = 1.0  # how long a look at a task waits, at most, to see whether what has just come rests
FOLDER: Final = "watch"  # in the state folder: what was tried, by plan
NAME_BYTES: Final = 16

Tried = dict[str, dict[str, Stamp]]
"""Files that are not to be taken again, as they were then, by task and item."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How to watch. poll: seconds between two looks; None: by events of the system where there are any."""

    poll: float | None = None
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True, slots=True)
class RoundSieve:
    """The files of one round. given: whole ones when it began; unsettled: what was being written then. own: what tasks make.

    rest: seconds that what has come since must not have changed.
    """

    given: Mapping[str, Stamp]
    unsettled: frozenset[str]
    tried: Mapping[str, Mapping[str, Stamp]]
    place: Place
    own: Outputs | frozenset[str] = frozenset()
    rest: float = REST_SECONDS

    def shows(self, task: Task, path: str) -> bool:
        """A file counts when it is as it was; what came since only for a task that follows others, which may have made it."""
        given, now = self.given.get(path), stamp_of(path)
        if given is not None and given == now:
            return True
        if not task.dependencies or path in self.unsettled:
            return False
        return now is not None and (path in self.own or self._rests(path, now))

    def _rests(self, path: str, stamp: Stamp) -> bool:
        """Whether nobody writes it: others may, while the tasks before this one ran. Waits to see it, once for all of an age."""
        age = time.time() - stamp.mtime_ns / 1e9
        if not 0.0 <= age < self.rest:
            return True
        time.sleep(self.rest - age)
        return stamp_of(path) == stamp

    def admits(self, task: Task, item: str) -> bool:
        """A file that was tried waits until it has changed."""
        stamp = self.tried.get(task.name, {}).get(item)
        return stamp is None or stamp_of(self.place.absolute(item)) != stamp


class Watching:
    """A plan that is watched. told: hears what is going on. A context.

    Raises UsageError when nothing that takes part requires files.
    """

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        how: WatchSettings,
        told: Callable[[str], None],
        changes: Changes | None = None,
    ):
        self._plan = remembering(plan)
        self._settings = settings
        self._told = told
        self._selected = select_tasks(plan, settings)
        self._tasks = [plan.graph.tasks[index] for index in self._selected]
        self._watched = [task for task in self._tasks if requires_files(task)]
        if not self._watched:
            raise UsageError(
                "there is nothing to watch: no task that takes part requires files, folders, expressions or signals",
                "weft run runs the plan once",
            )
        self._folder = state_folder(plan.root, settings)
        self._place = Place(os.path.abspath(plan.root), os.path.realpath(self._folder))
        self._own = Outputs(self._tasks, self._place, plan.values)
        self._settling = Settling(how.settle)
        self._rest = min(how.settle, REST_SECONDS)
        self._changes = changes or self._open_changes(how)
        self._given: dict[str, Stamp] = {}
        self._rounds = 0
        self._left: RunRow | None = None

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()

    def wait(self) -> str:
        """Until there is something to do; what that is, for people."""
        self._rounds += 1
        self._left = self._unfinished() if self._rounds == 1 else None
        if self._left is not None:
            self._look()
            return f"round 1: takes up run {self._left.run[:12]}, which did not come to its end"
        self._look()
        while not (news := self._settling.news(self._given)):
            if self._rounds == 1 and any(not task.dependencies and not requires_files(task) for task in self._tasks):
                return "round 1"
            self._told("watching for files")
            self._pause()
        return f"round {self._rounds}: {self._shown(news)}"

    def run(self, observers: Sequence[Observer]) -> RunEnding:
        """Do it. Raises what `assemble.run` raises. A signal that came too late to end the run ends the watching all the same."""
        self._given = dict(self._settling.settled)
        tried = _read_tried(self._journal)
        sieve = RoundSieve(self._given, self._settling.unsettled, tried, self._place, self._own, self._rest)
        interrupts = Interrupts()
        force = self._settings.force and self._rounds == 1
        settings = replace(self._settings, sieve=sieve, force=force, interrupts=interrupts)
        left, self._left = self._left, None
        try:
            if left is not None:
                ending = resume(left.run, self._plan, settings, observers)
            else:
                ending = run(self._plan, settings, observers)
        finally:
            interrupts.restore()
        self._keep_tried(ending.run, tried, left)
        if left is not None:
            self._given = {}  # it kept the files that it had taken when it began: what came since is for the next round
        is_late = interrupts.ended_by == "signal" and ending.ended_by is None
        return ending._replace(exit_code=interrupts.exit_code) if is_late and interrupts.exit_code else ending

    # --- looking -------------------------------------------------------------------------------------------------------

    def _open_changes(self, how: WatchSettings) -> Changes:
        if how.poll is not None:
            return Polling(how.poll)
        if not has_events():
            return Polling()
        return FileEvents(watched_folders(self._watched, self._place), self._place.state_folder, self._told)

    def _pause(self) -> None:
        """Wait and look until something that was not there is whole."""
        while not self._settling.news(self._given):
            self._changes.wait(self._settling.due(time.monotonic()))
            self._look()

    def _look(self) -> None:
        began = time.monotonic()
        found = required_files(self._watched, self._place, self._own)
        now = time.monotonic()
        self._settling.look(found, now, time.time())
        if isinstance(self._changes, Polling | FileEvents):
            self._changes.looked(now - began)

    def _shown(self, news: Sequence[str]) -> str:
        first = os.path.relpath(news[0], self._place.root)
        is_new = news[0] not in self._given
        more = f" (and {len(news) - 1} more)" if len(news) > 1 else ""
        return f"{cut(first)} {'is new' if is_new else 'has changed'}{more}"

    # --- what is known of earlier rounds -------------------------------------------------------------------------------

    def _unfinished(self) -> RunRow | None:
        """The last run of the plan when its engine died."""
        if not os.path.exists(path_of(self._folder)):
            return None
        with SqliteArchive(self._folder) as archive:
            runs = archive.runs(self._plan.key)
        return runs[-1] if runs and runs[-1].ended is None else None

    @property
    def _journal(self) -> str:
        name = blake2b(self._plan.key.encode("utf-8", "surrogateescape"), digest_size=NAME_BYTES).hexdigest()
        return os.path.join(self._folder, FOLDER, f"{name}.json")

    def _keep_tried(self, run: str, tried: Tried, left: RunRow | None) -> None:
        """Remember files that would be taken again with every other one that comes. left: the run, if it was taken up.

        Those whose instance failed; and in a run that was taken up those that an attempt of the dead engine has done: nobody
        knows what that had read, so no result is kept of it.
        """
        mapped = {
            index: task
            for index, task in zip(self._selected, self._tasks, strict=True)
            if task.policy.foreach is not None and task.policy.foreach.files
        }
        if not mapped:
            return
        before = _shown(tried)
        with SqliteArchive(self._folder) as archive:
            items = archive.items(run)
            kept = archive.results(self._plan.results_key) if left is not None else {}
        for index, task in mapped.items():
            known = tried.setdefault(task.name, {})
            for item, state, _ in items.get(index, ()):
                is_done = left is not None and state == "ok" and (task.name, item) not in kept
                known.pop(item, None)
                if state != "failed" and not is_done:
                    continue
                path = self._place.absolute(item)
                stamp = self._given.get(path) if left is None else _stamp_of_older(path, left.started)
                if stamp is not None:
                    known[item] = stamp
        if _shown(tried) != before:
            _write_tried(self._journal, tried)


def remembering(plan: Plan) -> Plan:
    """The plan whose finished work is kept, whatever its tasks say: a file is worked on once."""
    made: dict[int, Policy] = {}

    def kept(task: Task) -> Task:
        policy = task.policy
        if id(policy) not in made:
            made[id(policy)] = policy if policy.cache == "always" else replace(policy, cache="always")
        return task if made[id(policy)] is policy else replace(task, policy=made[id(policy)])

    return replace(plan, graph=Graph([kept(task) for task in plan.graph.tasks]))


def _stamp_of_older(path: str, wall: float) -> Stamp | None:
    """Of a file that neither came nor changed since then; None for every other one: nobody knows what was read of it."""
    try:
        changed = os.stat(path).st_ctime
    except (OSError, ValueError):
        return None
    return stamp_of(path) if changed <= wall else None


def _read_tried(path: str) -> Tried:
    """What is remembered; nothing when there is nothing, or nothing that can be read: then those files are tried once more."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            found: Any = json.load(file)
        return {task: {item: Stamp(*stamp) for item, stamp in items.items()} for task, items in found["tried"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _shown(tried: Tried) -> dict[str, dict[str, Stamp]]:
    return {task: dict(items) for task, items in tried.items() if items}


def _write_tried(path: str, tried: Tried) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    text = json.dumps({"v": 1, "tried": _shown(tried)})
    beside = f"{path}.new"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise
