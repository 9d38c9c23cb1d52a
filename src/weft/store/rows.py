"""Rows of the tables as the values of the port."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import repeat
from typing import Any, Final

import apsw

from weft.collector import collector_paused
from weft.ports import AttemptRow, BegunRow, FileRow, Held, OpenRun, ResultRow, RunRow, TaskRow
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Request, TaskState, Usage
from weft.store import codec
from weft.store.sql import statements
from weft.store.tables import (
    ATTEMPT_STATES,
    TASK_STATES,
    pack_digest,
    pack_text,
    unpack_text,
    unwrap_nonce,
)

_COMPRESSED_BYTES: Final = 4096  # below that, a snapshot is kept as it is: easier to look at, nothing to gain
_RAW, _DEFLATED = b"\x00", b"\x01"

_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what `raw_decode` calls


# --- plans ---------------------------------------------------------------------------------------------------------------


def plan_digest(names: str, snapshot: bytes) -> bytes:
    """Identity of a recorded plan, and its checksum."""
    digest = blake2b(digest_size=16)
    digest.update(len(names).to_bytes(8, "big"))
    digest.update(names.encode("ascii"))
    digest.update(snapshot)
    return digest.digest()


def dump_names(names: Sequence[str]) -> str:
    """Names as JSON in ASCII."""
    return _dumps(list(names))


def dump_selected(selected: Sequence[int], count: int) -> str | None:
    """Indexes as stretches `[[first, count], ...]`; None for all of them."""
    if len(selected) == count:
        return None
    stretches: list[list[int]] = []
    for index in sorted(selected):
        if stretches and sum(stretches[-1]) == index:
            stretches[-1][1] += 1
        else:
            stretches.append([index, 1])
    return _dumps(stretches)


def load_selected(text: str | None, count: int) -> Iterable[int]:
    """What `dump_selected` was given, in order."""
    if text is None:
        return range(count)
    return [index for first, length in json.loads(text) for index in range(first, first + length)]


def pack_snapshot(snapshot: bytes) -> bytes:
    """As it is stored: large ones deflated at the fastest level."""
    if len(snapshot) < _COMPRESSED_BYTES:
        return _RAW + snapshot
    return _DEFLATED + zlib.compress(snapshot, 1)


def unpack_snapshot(stored: bytes) -> bytes:
    """What `pack_snapshot` was given. Raises ValueError."""
    if stored[:1] == _RAW:
        return bytes(stored[1:])
    try:
        return zlib.decompress(memoryview(stored)[1:])
    except zlib.error as error:
        raise ValueError(str(error)) from error


# --- runs, tasks, attempts -------------------------------------------------------------------------------------------------


def run_row(row: Sequence[Any]) -> RunRow:
    """From the columns of `runs` in archive.sql."""
    _, run, plan_key, plan_name, root, state, started, ended, exit_code, epoch, settings, tasks = row
    return RunRow(
        run=run,
        plan_key=unpack_text(plan_key),
        plan_name=unpack_text(plan_name),
        root=unpack_text(root),
        state=state,
        started=started,
        ended=ended,
        exit_code=exit_code,
        epoch=epoch,
        settings=json.loads(settings),
        tasks=tasks,
    )


@collector_paused()
def task_rows(connection: apsw.Connection, number: int) -> list[TaskRow]:
    """The selected tasks of a run in plan order."""
    sql = statements("archive")
    found = connection.execute(sql["names"], (number,)).fetchone()
    if found is None:
        return []
    names = json.loads(found[0])
    selected = load_selected(found[1], len(names))
    settled = {row[0]: row for row in connection.execute(sql["settled"], (number,))}
    instances: dict[int, int] = dict(connection.execute(sql["instances"], (number,)))
    tried: dict[int, tuple[int, int]] = {}
    unsettled = [task for task in selected if task not in settled]
    if unsettled:
        rows_tried = connection.execute(sql["unsettled"], (number, _dumps(unsettled)))
        tried = {task: (attempts, is_live) for task, attempts, is_live in rows_tried}
    rows: list[TaskRow] = []
    for task in selected:
        row = settled.get(task)
        if row is None:
            rows.append(_unsettled_row(task, names[task], tried.get(task, (0, 0)), instances.get(task, 0)))
        elif row[2] is None and row[3] is None and row[8] is None:  # the usual end; all below in one go, in C
            end = (names[task], TASK_STATES[row[1]], None, None, *row[4:8], None, instances.get(task, 0))
            rows.append(tuple.__new__(TaskRow, (task, *end)))
        else:
            rows.append(_settled_row(row, names[task], instances.get(task, 0)))
    return rows


def task_row(connection: apsw.Connection, number: int, task: int, name: str) -> TaskRow:
    """One of them, whose name is known."""
    sql = statements("archive")
    instances = connection.execute(sql["instances_of_task"], (number, task)).get
    settled = connection.execute(sql["settled_task"], (number, task)).fetchone()
    if settled is not None:
        return _settled_row(settled, name, instances)
    tried: Any = connection.execute(sql["unsettled_task"], (number, task)).fetchone()
    return _unsettled_row(task, name, tried or (0, 0), instances)


def _unsettled_row(task: int, name: str, tried: tuple[int, int], instances: int) -> TaskRow:
    """tried: how many attempts, whether one is open."""
    attempts, is_live = tried
    state: TaskState = "running" if is_live else "pending"
    return TaskRow(task, name, state, None, None, attempts, None, None, None, None, instances)


def _settled_row(row: Sequence[Any], name: str, instances: int) -> TaskRow:
    task, state, cause, detail, attempts, seconds, memory, cpu_seconds, fingerprint = row
    if cause.__class__ is bytes or detail.__class__ is bytes:
        cause, detail = unpack_text(cause), unpack_text(detail)
    if fingerprint.__class__ is bytes:
        fingerprint = fingerprint.hex()
    return TaskRow(
        task, name, TASK_STATES[state], cause, detail, attempts, seconds, memory, cpu_seconds, fingerprint, instances
    )


def demands(connection: apsw.Connection, number: int) -> Mapping[int, Request]:
    """The requests of a run by their number."""
    rows = connection.execute(statements("ledger")["demands"], (number,))
    return {demand: codec.load_request(body) for demand, body in rows}


@collector_paused()
def attempt_rows(connection: apsw.Connection, number: int, which: str, *more: int | str) -> list[AttemptRow]:
    """The attempts that a statement of archive.sql finds."""
    requests = demands(connection, number)
    rows = connection.execute(statements("archive")[which], (number, *more))
    return [_attempt_row(row, requests) for row in rows]


def _attempt_row(row: Sequence[Any], requests: Mapping[int, Request]) -> AttemptRow:
    (
        task, instance, attempt, nonce, state, cause, detail, exit_code, started, seconds, cpu_seconds, memory, demand,
        out_file, out_offset, out_length, err_file, err_offset, err_length, product, retry, flags,
    ) = row  # fmt: skip
    again = codec.load_retry(retry) if retry else None
    return AttemptRow(
        AttemptKey(task, instance, attempt),
        unwrap_nonce(nonce),
        ATTEMPT_STATES[state],
        unpack_text(cause),
        unpack_text(detail),
        exit_code,
        started,
        Usage(seconds or 0.0, cpu_seconds, memory),
        requests[demand],
        _region(out_file, out_offset, out_length, state),
        _region(err_file, err_offset, err_length, state),
        unpack_text(product),
        None if again is None else again.change or again.reason,
        not (flags or 0) & codec.NOT_CHARGED,
        None if again is None else again.request,
    )


def _region(file: Any, offset: int, length: int, state: int) -> LogRegion:
    """Where output is.

    An end without a region keeps that of the beginning, open to the end of a file that others write after it: only of a lost
    attempt, whose end nobody saw, does it tell more than that nothing was written.
    """
    if file is None or (length < 0 and ATTEMPT_STATES[state] in ("ok", "failed", "cancelled")):
        return NO_OUTPUT
    return LogRegion(unpack_text(file), offset, length)


def item_rows(rows: Iterable[Sequence[Any]]) -> dict[int, list[tuple[str, str, str | None]]]:
    """(task, item, state, cause) rows by task."""
    found: dict[int, list[tuple[str, str, str | None]]] = {}
    for task, item, state, cause in rows:
        found.setdefault(task, []).append((unpack_text(item), TASK_STATES[state], unpack_text(cause)))
    return found


def offsets(connection: apsw.Connection, number: int) -> dict[str, int]:
    """Bytes counted of each receipts file of a run."""
    return {
        unpack_text(file): offset for file, offset in connection.execute(statements("archive")["offsets"], (number,))
    }


def open_run(connection: apsw.Connection, number: int, *, only_left: bool = False) -> OpenRun:
    """All that is recorded of a run. only_left: without the attempts of tasks that are ok."""
    sql = statements("archive")
    tasks = task_rows(connection, number)
    return OpenRun(
        row=run_row(connection.execute(sql["run_by_number"], (number,)).fetchall()[0]),
        tasks=tasks,
        items=item_rows(connection.execute(sql["items"], (number,))),
        attempts=_attempts(connection, number, tasks, only_left),
        offsets=offsets(connection, number),
        begun=begun_rows(connection, number),
    )


def _attempts(connection: apsw.Connection, number: int, tasks: Sequence[TaskRow], only_left: bool) -> list[AttemptRow]:
    if not only_left:
        return attempt_rows(connection, number, "attempts")
    left = [row.task for row in tasks if row.state != "ok"]
    return attempt_rows(connection, number, "attempts_left", _dumps(left))


def reread_attempts(connection: apsw.Connection, number: int, opened: OpenRun, *, only_left: bool = False) -> OpenRun:
    """`opened` after attempts of tasks that have not ended were closed, and nothing else was changed."""
    tasks = [
        task_row(connection, number, row.task, row.name) if row.state == "running" else row for row in opened.tasks
    ]
    attempts = _attempts(connection, number, tasks, only_left)
    return opened._replace(tasks=tasks, attempts=attempts, begun=begun_rows(connection, number))


# --- what attempts were begun with -----------------------------------------------------------------------------------------


def dump_begun(row: BegunRow) -> tuple[int, int, str]:
    """Bindings of `add_begun` behind the run."""
    parts = row.parts if type(row.parts) is dict else dict(row.parts)
    return row.task, row.instance, _dumps([parts, row.own, row.fingerprint])


def begun_rows(connection: apsw.Connection, number: int) -> list[BegunRow]:
    """Of units whose last attempt is open or ended well, and of what instances share."""
    found: list[BegunRow] = []
    for task, instance, body, is_ok, ended in connection.execute(statements("ledger")["begun"], (number,)):
        parts, own, fingerprint = _parse(body)
        over = (ended or 0.0) if is_ok else None
        found.append(
            BegunRow(task, instance, parts, None if own is None else (own[0], own[1]), fingerprint, ended=over)
        )
    return found


# --- results and files -----------------------------------------------------------------------------------------------------


def dump_result(row: ResultRow) -> tuple[Any, ...]:
    """Bindings of `add_result`."""
    body = _dumps([dict(row.parts), row.outputs, row.product, *(() if row.held is None else (row.held,))])
    return (
        pack_text(row.plan_key),
        pack_text(row.name),
        pack_text(row.instance),
        pack_digest(row.fingerprint),
        row.run,
        body,
        pack_digest(row.plan),
    )


@collector_paused()
def load_results(rows: Iterable[Sequence[Any]]) -> list[ResultRow]:
    """From (plan key, name, instance, fingerprint, run, body, plan) columns."""
    results: list[ResultRow] = []
    for plan_key, name, instance, fingerprint, run, body, plan in rows:
        parts, outputs, product, *held = _parse(body)
        if not (name.__class__ is instance.__class__ is plan_key.__class__ is str):
            plan_key, name, instance = unpack_text(plan_key), unpack_text(name), unpack_text(instance)
        if fingerprint.__class__ is bytes:
            fingerprint = fingerprint.hex()
        if plan.__class__ is bytes:
            plan = plan.hex()
        then = (tuple(outputs[0]),) if len(outputs) == 1 else tuple(map(tuple, outputs))
        kept = Held(*held[0]) if held else None
        results.append(ResultRow(plan_key, name, instance, fingerprint, parts, then, product, run, plan, kept))
    return results


def _parse(text: str) -> Any:
    """JSON of our own: without the search for blanks around it, which costs as much as a short text. Raises ValueError."""
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError("there is no JSON") from error
    if end != len(text):
        raise ValueError("there is more than one JSON value")
    return value


def dump_file(row: FileRow) -> tuple[Any, ...]:
    """Bindings of `add_file`."""
    return (pack_text(row.path), row.size, row.mtime_ns, row.inode, pack_digest(row.digest))


def load_files(rows: Sequence[Sequence[Any]]) -> dict[str, FileRow]:
    """From the columns of `file` in archive.sql, by path. All in one go: there may be as many as files in a project."""
    paths = [row[0] for row in rows]
    if not {str}.issuperset(map(type, paths)):
        paths = [unpack_text(path) for path in paths]
        rows = [(path, *row[1:]) for path, row in zip(paths, rows, strict=True)]
    made: Iterator[FileRow] = map(tuple.__new__, repeat(FileRow), rows)  # `_make`, in C
    return dict(zip(paths, made, strict=True))
