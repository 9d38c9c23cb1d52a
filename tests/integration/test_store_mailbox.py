"""Requests of other processes, the bell, and what earlier runs handed on."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.errors import StoreError
from weft.ports import NewRun
from weft.scheduling.commands import CloseAttempt, SettleTask, StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome, Request, Usage
from weft.store.archive import SqliteArchive
from weft.store.history import Episode, episodes
from weft.store.mailbox import Inbox, Mailbox, ring
from weft.store.products import RecordedProducts
from weft.store.sqlite import SqliteStore

RUN = "a" * 32
NEW = NewRun(RUN, "plan", "name", "/", 1.0, {}, b"{}", ["t", "caf\udce9"], [0, 1])
LIMIT = 30.0  # seconds after which a bell that does not ring has failed


@pytest.fixture
def state(tmp_path: Path) -> Iterator[str]:
    folder = str(tmp_path / ".weft")
    store = SqliteStore(folder, "process")
    store.open_run(NEW).close()
    store.close()
    yield folder


def rings(inbox: Inbox) -> bool:
    return bool(select.select([inbox], [], [], LIMIT)[0])


def test_a_request_of_another_process_rings_and_is_taken_once(state: str) -> None:
    inbox = Inbox(state, RUN)
    assert inbox.take() == []
    code = (
        "import sys; from weft.store.mailbox import Mailbox\n"
        "Mailbox(sys.argv[1]).post(sys.argv[2], 'cancel', {'tasks': ['t']})"
    )
    subprocess.run([sys.executable, "-c", code, state, RUN], check=True)
    assert rings(inbox)
    (asked,) = inbox.take()
    assert (asked.kind, asked.payload) == ("cancel", {"tasks": ["t"]})
    assert inbox.take() == []
    inbox.close()


def test_the_same_id_counts_once_even_after_it_was_taken(state: str) -> None:
    inbox = Inbox(state, RUN)
    with Mailbox(state) as mailbox:
        for _ in range(2):
            mailbox.post(RUN, "cancel", {}, id="one")
        assert [asked.id for asked in inbox.take()] == ["one"]
        mailbox.post(RUN, "cancel", {}, id="one")
        given = mailbox.post(RUN, "limit", {"name": "memory", "units": 5})
    assert rings(inbox)
    assert [asked.id for asked in inbox.take()] == [given]
    inbox.close()


def test_requests_come_in_order_and_only_those_of_the_run(state: str) -> None:
    mailbox = Mailbox(state)
    for number in range(5):
        mailbox.post(RUN, "pause", {"number": number})
        mailbox.post("b" * 32, "pause", {})
    inbox = Inbox(state, RUN)
    assert [asked.payload["number"] for asked in inbox.take()] == list(range(5))
    inbox.close()


def test_what_was_asked_of_a_dead_engine_is_void_for_the_next(state: str) -> None:
    Mailbox(state).post(RUN, "cancel", {})
    store = SqliteStore(state)
    ledger, _ = store.reopen_run(RUN)
    inbox = Inbox(state, RUN)
    assert inbox.take() == []
    inbox.close()
    ledger.close()
    store.close()


def test_a_bell_works_in_a_folder_deeper_than_a_socket_path_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 200) / ("y" * 200) / ".weft"
    deep.parent.mkdir(parents=True)
    store = SqliteStore(str(deep), "process")
    store.open_run(NEW).close()
    store.close()
    inbox = Inbox(str(deep), RUN)
    Mailbox(str(deep)).post(RUN, "cancel", {})
    assert rings(inbox)
    assert len(inbox.take()) == 1
    inbox.close()


def test_a_bell_that_is_not_answered_never_blocks_who_rings(state: str) -> None:
    inbox = Inbox(state, RUN)
    assert all(ring(state, RUN) for _ in range(2000))
    inbox.close()
    assert not ring(state, RUN)
    assert not ring(state, "f" * 32)


def test_the_socket_is_private_and_gone_with_its_inbox(state: str) -> None:
    path = Path(state) / "runs" / RUN / "engine.sock"
    first = Inbox(state, RUN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    second = Inbox(state, RUN)  # the first belonged to an engine that died
    first.close()
    assert path.exists()
    second.close()
    second.close()
    assert not path.exists()


def test_something_else_in_the_sockets_place_is_left_alone(state: str) -> None:
    path = Path(state) / "runs" / RUN / "engine.sock"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(StoreError, match="is no socket"):
        Inbox(state, RUN)
    assert path.read_text() == "mine"


def record(state: str, run: str, task: int, ended: float, **outcome: object) -> None:
    """A run in which one task was tried once."""
    store = SqliteStore(state, "process")
    ledger = store.open_run(NEW._replace(run=run, started=ended - 1))
    key = AttemptKey(task, WHOLE, 1)
    end = Outcome(**{"ok": True, **outcome})  # type: ignore[arg-type]
    ledger.record([StartAttempt(key, 1, Request(()), 0), CloseAttempt(key, 1, end, None)], {})
    ledger.record([SettleTask(task, "ok" if end.ok else "failed", end.cause, None, 1, usage=Usage(2.5, 1.0, 4096))], {})
    ledger.finish("ok", 0, ended)
    ledger.close()
    store.close()


def test_the_newest_good_attempt_of_an_earlier_run_gives_the_product(state: str) -> None:
    record(state, "1" * 32, 0, 10.0, product="first")
    record(state, "2" * 32, 0, 20.0, product="seco\udcffnd")
    record(state, "3" * 32, 0, 30.0, ok=False, cause="exit:1", product="bad")
    assert RecordedProducts(state).last("plan", "", "t") == "seco\udcffnd"
    assert RecordedProducts(state).last("plan", "", "t", before="2" * 32) == "first"
    assert RecordedProducts(state).last("plan", "", "unknown") is None
    assert RecordedProducts(state).last("other plan", "", "t") is None
    assert RecordedProducts(os.path.join(state, "nowhere")).last("plan", "", "t") is None


def test_a_product_that_lies_in_the_output_is_read_from_there(state: str) -> None:
    record(state, "1" * 32, 1, 10.0, stdout=LogRegion("s0.out", 2, 7))
    assert RecordedProducts(state).last("plan", "", "caf\udce9") is None
    logs = Path(state) / "logs" / ("1" * 32)
    logs.mkdir(parents=True)
    (logs / "s0.out").write_bytes(b"..h\xffllo\n\nrest")
    assert RecordedProducts(state).last("plan", "", "caf\udce9") == "h\ufffdllo\n"


def test_episodes_tell_how_a_task_fared_in_each_run_newest_first(state: str) -> None:
    record(state, "1" * 32, 0, 10.0)
    record(state, "2" * 32, 0, 20.0, ok=False, cause="exit:3")
    with SqliteArchive(state) as archive:
        told = episodes(archive, "plan", "t")
        assert told == [
            Episode("2" * 32, 19.0, "failed", "exit:3", 1, 2.5, 4096),
            Episode("1" * 32, 9.0, "ok", None, 1, 2.5, 4096),
            Episode(RUN, 1.0, "pending", None, None, None, None),
        ]
        assert episodes(archive, "plan", "t", limit=1) == told[:1]
