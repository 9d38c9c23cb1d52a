"""What stats alone tell: that a task is up to date, because nothing that it reads or made has changed since it was last seen so.

The short way of `Examiner.look`, for the most frequent run of all, in which nothing has changed. It is taken on the loop, so what
stands here is written out flat: a task costs its stats and little more.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from weft.errors import StoreError
from weft.files import sheets
from weft.files.contents import DIGEST_BYTES, Contents
from weft.files.fingerprints import Fingerprints, bound, read_files
from weft.files.remains import Remains
from weft.files.search import Place
from weft.ports import ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.freshness import UP_TO_DATE
from weft.spec.actions import Command, Shell
from weft.spec.plan import Plan

READ_NOTHING_ELSE: Final = (Command, Shell)
"""Actions that read nothing that is not required."""

WORTH_A_SHEET: Final = 500
"""Tasks: reading the results of so many takes some 5 ms."""

NO_ITEMS: Final[frozenset[int]] = frozenset()
REASONS: Final = UP_TO_DATE.reasons


class Glances:
    """Answers for the tasks of one plan. recorded: finished work by (task name, item), asked for at the first need.

    plan_digest: of the plan. Finished work that was last seen up to date with this very plan is that of a task which is
    cached, and was made from what the plan says; so only the world can have changed.
    token: of the recorded results, see `sheets`; None without any sheet.
    """

    def __init__(
        self,
        plan: Plan,
        place: Place,
        contents: Contents,
        fingerprints: Fingerprints,
        remains: Remains,
        recorded: Callable[[], Mapping[tuple[str, str], ResultRow]],
        plan_digest: str,
        token: Callable[[], str] | None,
    ):
        self._plan = plan
        self._graph = plan.graph
        self._place = place
        self._contents = contents
        self._fingerprints = fingerprints
        self._remains = remains
        self._load = recorded
        self._recorded: Mapping[tuple[str, str], ResultRow] | None = None
        self._plan_digest = plan_digest
        self._token = token if place.state_folder is not None else None
        self._made_from: str | None = None  # the token, asked for before anything is read that it stands for
        self._sheet: sheets.Sheet | None = None
        self._listed: dict[int, None] = {}  # answered from the sheet, in the order of asking
        self._seen: list[int] = []  # answered from results, and a sheet might have done

    def at(self, task: int) -> Inspected | None:
        """The answer of `Examiner.look` when the task is up to date; None when that has to be looked at closely."""
        if self._made_from is None:
            self._open()
        given = self._graph.tasks[task]
        if self._sheet is not None:
            fingerprint = self._sheet.fingerprint(task, given, self._place.root)
            if fingerprint is not None and (not given.dependencies or all(map(self._is_listed, self._upstream(task)))):
                self._listed[task] = None
                return Inspected(task, None, None, None, True, fingerprint, NO_ITEMS, REASONS)
        row = self._standing(task)
        if row is None:
            return None
        self._fingerprints.confirm(task, row)
        if type(given.action) in READ_NOTHING_ELSE:
            self._seen.append(task)
        return Inspected(task, None, None, None, True, row.fingerprint, NO_ITEMS, REASONS)

    def _standing(self, task: int) -> ResultRow | None:
        """The finished work of a task that is up to date, as recorded results and digests of files tell."""
        if self._recorded is None:
            self._recorded = self._load()
        given = self._graph.tasks[task]
        row = self._recorded.get((given.name, ""))
        if row is None or row.plan != self._plan_digest:
            return None
        files, folders, match, shared_memory, parameters, signal = given.requires
        if folders or match or shared_memory or parameters or signal:
            return None
        policy = given.policy
        if policy.foreach is not None:
            return None
        product = policy.product
        if product is not None and product.source != "outputs" and row.product is None:
            return None
        looks_like, absolute, parts = self._contents.looks_like, self._place.absolute, row.parts
        for output in row.outputs:
            if not looks_like(absolute(output[0]), output[4]):
                return None
        for path, bind in files if type(given.action) in READ_NOTHING_ELSE else read_files(given):
            content = parts.get(f"inputs:{path}")
            if bind is not None:
                content = self._unbound(absolute(path), bind, content)
            if content is None or not looks_like(absolute(path), content):
                return None
        if given.dependencies:
            self._confirm_listed(task)
            if not self._fingerprints.delivers_the_same(task, parts):
                return None
        return row if row.held is None or self._remains.is_held(row.held) else None

    def _unbound(self, path: str, bind: str, part: str | None) -> str | None:
        """The digest of a file that makes this part together with the parameter that receives it; None when it does not."""
        content = self._contents.known_digest(path)
        return content if content is not None and bound(content, bind) == part else None

    # --- sheets ----------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._token is None:
            self._made_from = ""
            return
        self._made_from = self._token()
        found = sheets.read(self._path(), self._plan_digest, len(self._graph))
        if found is not None and found[1] == self._made_from:
            self._sheet = found[0]

    def _path(self) -> str:
        """One for all versions of a plan: only the last one's is of use."""
        assert self._place.state_folder is not None
        name = blake2b(self._plan.key.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()
        return os.path.join(self._place.state_folder, sheets.FOLDER, name)

    def _upstream(self, task: int) -> array[int]:
        return self._graph.upstream_indexes(task)

    def _is_listed(self, task: int) -> bool:
        return task in self._listed

    def _confirm_listed(self, task: int) -> None:
        """What was answered from the sheet was not read: a task that depends on it and is not in the sheet needs it."""
        for dependency in filter(self._is_listed, self._upstream(task)):
            assert self._recorded is not None
            row = self._recorded.get((self._graph.tasks[dependency].name, ""))
            if row is not None:
                self._fingerprints.confirm(dependency, row)

    def keep(self) -> None:
        """At the end of a run, when all results are stored: a sheet for the next one, if none were, and it would gain by it."""
        if self._token is None or self._made_from is None or not self._seen:
            return
        lines = self._lines()
        if len(lines) < WORTH_A_SHEET:
            return
        try:
            if self._token() == self._made_from:
                sheets.write(self._path(), self._plan_digest, self._made_from, len(self._graph), lines.values())
        except (OSError, StoreError):
            return  # the next run reads what this one has read

    def _lines(self) -> Mapping[int, sheets.Line]:
        """All that can be told, by task; empty when that is what the sheet says already.

        Dependencies of a task in it are in it as well, so that nothing else has to be read for any of them.
        """
        lines: dict[int, sheets.Line] = {}
        if self._sheet is not None:
            lines = {task: self._sheet.line(task) for task in self._sheet.tasks}
        has_news = False
        for task in self._seen:
            line = self._line(task) if all(before in lines for before in self._upstream(task)) else None
            if line is not None:
                lines[task] = line
                has_news = True
        return lines if has_news else {}

    def _line(self, task: int) -> sheets.Line | None:
        """None for a task of which not all stands in its outputs and in files that it requires."""
        given = self._graph.tasks[task]
        assert self._recorded is not None
        row = self._recorded[given.name, ""]
        product = given.policy.product
        if row.held is not None or (product is not None and product.source != "outputs"):
            return None
        if type(given.action) not in READ_NOTHING_ELSE or tuple(output[0] for output in row.outputs) != given.outputs:
            return None
        wanted = [(path, digest) for path, _, _, _, digest in row.outputs]
        for path, bind in given.requires.files:
            if bind is not None:
                return None
            wanted.append((path, row.parts[f"inputs:{path}"]))
        looks = [self._contents.look_of(self._place.absolute(path), digest) for path, digest in wanted]
        return sheets.Line(task, row.fingerprint, [look for look in looks if look is not None]) if all(looks) else None
