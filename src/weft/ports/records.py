"""Runs, tasks, attempts, results and files as the store shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Request, RunState, TaskState, Usage


class TaskRow(NamedTuple):
    """A task of a run as the store shows it. seconds and memory are those of the attempt that ended it."""

    task: int
    name: str
    state: TaskState
    cause: str | None
    detail: str | None
    attempts: int
    seconds: float | None
    memory: int | None
    cpu_seconds: float | None
    fingerprint: str | None
    instances: int


class AttemptRow(NamedTuple):
    """An attempt of a run as the store shows it. state: queued, running, ok, failed, cancelled, lost.

    next_request: what the attempt after this one is to ask for, once a retry was decided; else None.
    """

    key: AttemptKey
    nonce: int
    state: str
    cause: str | None
    detail: str | None
    exit_code: int | None
    started: float | None
    usage: Usage
    request: Request
    stdout: LogRegion
    stderr: LogRegion
    product: str | None
    retry: str | None
    charged: bool
    next_request: Request | None = None


class RunRow(NamedTuple):
    """A run as the store shows it. plan: snapshot that `formats` reads back. settings: what it was started with."""

    run: str
    plan_key: str
    plan_name: str | None
    root: str
    state: RunState
    started: float
    ended: float | None
    exit_code: int | None
    epoch: int
    settings: Mapping[str, Any]
    tasks: int


class NewRun(NamedTuple):
    """A run that is about to be recorded. names: of all tasks of the plan, in plan order; selected: indexes that take part."""

    run: str
    plan_key: str
    plan_name: str | None
    root: str
    started: float
    settings: Mapping[str, Any]
    snapshot: bytes
    names: Sequence[str]
    selected: Sequence[int]


class OpenRun(NamedTuple):
    """What is recorded of a run that is taken up again. offsets: receipts file -> bytes already counted."""

    row: RunRow
    tasks: Sequence[TaskRow]
    items: Mapping[int, Sequence[tuple[str, str, str | None]]]
    attempts: Sequence[AttemptRow]
    offsets: Mapping[str, int]
    begun: Sequence[BegunRow] = ()


class BegunRow(NamedTuple):
    """What an attempt was begun with, for who has to say it when the engine that looked is dead.

    instance: WHOLE for a task that is not mapped, and for what the instances of one share. parts: of the fingerprint; empty:
    the shared ones. own: the part that tells an instance from the others. fingerprint: of the task (hex), None where it is
    not known. is_over: nothing need be known any more. Read back, `ended` is set once the attempt has ended well: wall clock
    seconds, 0 where that is not known.
    """

    task: int
    instance: int
    parts: Mapping[str, str]
    own: tuple[str, str] | None = None
    fingerprint: str | None = None
    is_over: bool = False
    ended: float | None = None


class Held(NamedTuple):
    """A product that is kept with the result: its text (`weft.values`), and its file as it was, if it has one."""

    text: str
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0


class ResultRow(NamedTuple):
    """Finished work that may stand in for a task: fingerprint (hex), its named parts, and the outputs as they were then.

    instance: of a mapped task its item, `#` and the item's digest where items come from another task's product; else empty.
    outputs: (path, size, mtime_ns, inode, digest hex) of each. product: digest (hex) of what the task hands on.
    plan: digest of the snapshot it was last seen up to date with; equal ones need no new fingerprint of what the plan says.
    held: the product, when it is in a file or the attempt that made it cannot be found by its item; else its run has it.
    """

    plan_key: str
    name: str
    instance: str
    fingerprint: str
    parts: Mapping[str, str]
    outputs: tuple[tuple[str, int, int, int, str], ...]
    product: str | None
    run: str
    plan: str = ""
    held: Held | None = None


class FileRow(NamedTuple):
    """A file whose content was hashed: as long as size, mtime and inode are these, its digest is this."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str
