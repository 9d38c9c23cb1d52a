"""Becoming the owner of a recorded workflow, also while another process carries it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from weft.errors import OwnedError, StoreError, WorkflowNotResumable
from weft.ports import RunRow
from weft.store.archive import SqliteArchive
from weft.store.mailbox import Mailbox
from weft.store.sqlite import SqliteStore

ASKED_AGAIN_SECONDS: Final = 1.0
"""A request that arrives before an engine has begun is void; so it is made again."""

LOOK_SECONDS: Final = 0.02
"""Between two tries of a lock, for which nobody rings."""


RECORDING_SECONDS: Final = 1.0
"""Between taking the lock of a workflow and having recorded it."""


class Claim(NamedTuple):
    """What is wanted of a plan key. patience: seconds that a live owner has to let go, None: it is not asked. ends_live: whether
    it is to end what runs.

    check: (archive, recorded run, whether its owner lives) raises what forbids to take it up. gives_up: whether nobody waits
    for it any more.
    """

    key: str
    label: str
    patience: float | None
    ends_live: bool
    check: Callable[[SqliteArchive, RunRow, bool], None]
    gives_up: Callable[[], bool] = bool


def claim(store: SqliteStore, wanted: Claim) -> RunRow | None:
    """The recorded run that is to be taken up, None when there is none; `store` holds the lock from now on.

    A live owner is asked to let go. Raises WorkflowNotResumable when it does not, OwnedError when it is not to be asked, and
    what `check` raises.
    """
    asked: list[str] = []
    try:
        return _claim(store, wanted, asked)
    except BaseException:
        if asked:
            _withdraw(store.folder, asked)
        raise


def _claim(store: SqliteStore, wanted: Claim, asked: list[str]) -> RunRow | None:
    """asked: gets the ids of what the owner is asked."""
    begun = time.monotonic()
    deadline = begun + (wanted.patience or 0.0)
    next_ask = 0.0
    while True:
        try:
            store.open_attempts(wanted.key)
        except OwnedError as owned:
            row = _checked(store.folder, wanted, is_live=True)
            now = time.monotonic()
            if wanted.patience is None:
                if row is not None or now >= begun + RECORDING_SECONDS:
                    raise
                time.sleep(LOOK_SECONDS)  # somebody is about to record it
                continue
            if wanted.gives_up():
                raise WorkflowNotResumable(f"{wanted.label}: given up while it waited for its owner") from owned
            if now >= deadline:
                raise WorkflowNotResumable(
                    f"{wanted.label} is still owned after {wanted.patience:g} s: {owned}"
                ) from owned
            if row is not None and now >= next_ask:
                asked += _ask(store.folder, row.run, wanted.ends_live, min(ASKED_AGAIN_SECONDS, deadline - now))
                next_ask = now + ASKED_AGAIN_SECONDS
            time.sleep(min(LOOK_SECONDS, deadline - now))
            continue
        return _checked(store.folder, wanted, is_live=False)


def _checked(folder: str, wanted: Claim, *, is_live: bool) -> RunRow | None:
    with SqliteArchive(folder) as archive:
        found = archive.runs(wanted.key)
        if not found:
            return None
        wanted.check(archive, found[-1], is_live)
        return found[-1]


def _ask(folder: str, run: str, ends_live: bool, busy_seconds: float) -> list[str]:
    """Ask the owner to let go; the ids of what it was asked.

    One that stands still in the middle of writing keeps the mailbox, too: it is asked again later.
    """
    with Mailbox(folder, busy_seconds) as mailbox:
        try:
            if ends_live:
                return [mailbox.post(run, "stop", {})]
            return [mailbox.post(run, "release", {"to": f"process {os.getpid()} on {os.uname().nodename}"})]
        except StoreError as error:
            if not error.is_passing:
                raise
            return []


def _withdraw(folder: str, asked: Sequence[str]) -> None:
    """An owner that hears of it only now would let go for nobody."""
    with Mailbox(folder, ASKED_AGAIN_SECONDS) as mailbox:
        try:
            mailbox.withdraw(asked)
        except StoreError as error:  # it stands still in the middle of writing, and may yet hear of it
            if not error.is_passing:
                raise
