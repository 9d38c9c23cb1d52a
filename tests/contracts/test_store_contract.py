"""One suite for every store: the SQLite one and the public one in memory mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from weft.errors import InternalError, OwnedError, StoreError
from weft.ports import Archive, BegunRow, FileRow, NewRun, ResultRow, Store
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    Retry,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Outcome, Request, Usage
from weft.scheduling.reasons import Reason
from weft.store.archive import SqliteArchive
from weft.store.sqlite import SqliteStore
from weft.testing.memory_store import MemoryStore

NONCE = 2**64 - 3  # above what a signed 64-bit number can hold
REQUEST = Request((("cores", 1000), ("memory", 4096)), 60.0, None)
MORE = Request((("cores", 1000), ("memory", 6144)), 60.0, "long")
RUN = "0" * 31 + "1"
OTHER = "0" * 31 + "2"


@dataclass
class World:
    """A kind of store. again: a second store over the same state. fill: the disk is full, or (False) has room again."""

    store: Any
    again: Callable[[], Any]
    archive: Callable[[], Any]
    fence: Callable[[str], None]
    fill: Callable[[bool], None]
    crash: Callable[[], None]


@pytest.fixture(params=["sqlite", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[World]:
    if request.param == "memory":
        memory = MemoryStore()
        yield World(memory, lambda: memory, lambda: memory, memory.fence, memory.fill, memory.crash)
        return
    folder = str(tmp_path / ".weft")
    stores: list[SqliteStore] = []
    archives: list[SqliteArchive] = []

    def store() -> SqliteStore:
        stores.append(SqliteStore(folder, "process", busy_seconds=0.2))
        return stores[-1]

    def archive() -> SqliteArchive:
        archives.append(SqliteArchive(folder))
        return archives[-1]

    def fence(plan_key: str) -> None:
        stores[-1].connection.execute("UPDATE leases SET epoch = epoch + 1 WHERE plan_key = ?", (plan_key,))

    def fill(full: bool) -> None:
        for opened in stores:
            pages = opened.connection.execute("PRAGMA page_count").get
            opened.connection.execute(f"PRAGMA max_page_count = {pages if full else 2**30}").fetchall()

    def crash() -> None:
        """The process dies: the kernel takes its locks away; nothing else is cleaned up."""
        for ledger in ledgers:
            ledger.close()
        ledgers.clear()

    ledgers: list[Any] = []
    first = store()
    opening, reopening = SqliteStore.open_run, SqliteStore.reopen_run

    def open_run(self: SqliteStore, new: NewRun) -> Any:
        ledgers.append(opening(self, new))
        return ledgers[-1]

    def reopen_run(self: SqliteStore, run: str) -> Any:
        ledger, opened = reopening(self, run)
        ledgers.append(ledger)
        return ledger, opened

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteStore, "open_run", open_run)
        patch.setattr(SqliteStore, "reopen_run", reopen_run)
        yield World(first, store, archive, fence, fill, crash)
    for ledger in ledgers:
        ledger.close()
    for reader in archives:
        reader.close()
    for opened in stores:
        opened.close()


def new_run(run: str = RUN, plan_key: str = "plan", names: tuple[str, ...] = ("a", "b", "c"), **changes: Any) -> NewRun:
    plain = NewRun(run, plan_key, "the plan", "/root", 1000.25, {"jobs": 2}, b"{}", names, range(len(names)))
    return plain._replace(**changes)


def key(task: int = 0, attempt: int = 1, instance: int = WHOLE) -> AttemptKey:
    return AttemptKey(task, instance, attempt)


def start(
    task: int = 0, attempt: int = 1, nonce: int = NONCE, instance: int = WHOLE, request: Request = REQUEST
) -> Any:
    return StartAttempt(key(task, attempt, instance), nonce, request, 0)


def close(task: int = 0, attempt: int = 1, nonce: int = NONCE, retry: Retry | None = None, **outcome: Any) -> Any:
    return CloseAttempt(key(task, attempt), nonce, Outcome(**{"ok": True, **outcome}), retry)


def settle(task: int = 0, state: Any = "ok", cause: str | None = None, attempts: int = 1, **more: Any) -> Any:
    return SettleTask(task, state, cause, more.pop("detail", None), attempts, **more)


def test_the_parts_of_a_store_fulfil_the_ports(world: World) -> None:
    store: Store = world.store
    ledger = store.open_run(new_run())
    archive: Archive = world.archive()
    assert archive.snapshot(RUN) == b"{}"
    ledger.close()


def test_a_new_run_is_shown_as_it_was_given(world: World) -> None:
    world.store.open_run(new_run(snapshot=b"\x00plan" * 5000))
    row = world.archive().runs()[0]
    assert row.run == RUN and row.plan_key == "plan" and row.plan_name == "the plan" and row.root == "/root"
    assert (row.state, row.started, row.ended, row.exit_code) == ("running", 1000.25, None, None)
    assert (row.epoch, row.settings, row.tasks) == (1, {"jobs": 2}, 3)
    assert world.archive().snapshot(RUN) == b"\x00plan" * 5000
    assert [(task.task, task.name, task.state) for task in world.archive().tasks(RUN)] == [
        (0, "a", "pending"),
        (1, "b", "pending"),
        (2, "c", "pending"),
    ]


def test_only_selected_tasks_are_shown(world: World) -> None:
    world.store.open_run(new_run(selected=[0, 2]))
    assert [(row.task, row.name) for row in world.archive().tasks(RUN)] == [(0, "a"), (2, "c")]
    assert world.archive().runs()[0].tasks == 2


def test_runs_come_oldest_first_and_by_plan(world: World) -> None:
    for number, plan_key in enumerate(["x", "y", "x"]):
        world.store.open_run(new_run(str(number), plan_key)).close()
    assert [row.run for row in world.archive().runs()] == ["0", "1", "2"]
    assert [row.run for row in world.archive().runs("x")] == ["0", "2"]


def test_nothing_is_shown_before_the_commit(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start()], {"receipts": 10})
    assert world.archive().attempts(RUN) == []
    ledger.commit()
    assert [row.state for row in world.archive().attempts(RUN)] == ["queued"]


def test_an_attempt_goes_from_queued_to_running_to_its_end(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start()], {})
    ledger.commit()
    assert world.archive().tasks(RUN)[0].state == "running"
    ledger.record([BeginAttempt(key(), NONCE, 5.5, LogRegion("o", 0, -1), LogRegion("e", 0, -1))], {})
    ledger.commit()
    (row,) = world.archive().attempts(RUN)
    assert (row.state, row.started, row.stdout) == ("running", 5.5, LogRegion("o", 0, -1))
    usage = Usage(1.5, 0.25, 8192)
    region = LogRegion("o", 7, 30)
    ledger.record(
        [
            close(ok=False, cause="exit:3", exit_code=3, detail="bad", usage=usage, stdout=region, product="text"),
            settle(0, "failed", "exit:3", detail="bad", usage=usage),
        ],
        {},
    )
    ledger.commit()
    (row,) = world.archive().attempts(RUN)
    assert (row.key, row.nonce, row.state, row.cause, row.detail, row.exit_code) == (
        key(),
        NONCE,
        "failed",
        "exit:3",
        "bad",
        3,
    )
    assert (row.usage, row.request, row.stdout, row.stderr) == (usage, REQUEST, region, NO_OUTPUT)
    assert (row.product, row.retry, row.charged, row.next_request) == ("text", None, True, None)
    task = world.archive().tasks(RUN)[0]
    assert (task.state, task.cause, task.detail, task.attempts) == ("failed", "exit:3", "bad", 1)
    assert (task.seconds, task.cpu_seconds, task.memory) == (1.5, 0.25, 8192)


@pytest.mark.parametrize(
    ("cause", "state"),
    [("lost", "lost"), ("interrupted", "cancelled"), ("cancelled", "cancelled"), ("signal:KILL", "failed")],
)
def test_the_state_of_an_ended_attempt_follows_its_cause(world: World, cause: str, state: str) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), close(ok=False, cause=cause)], {})
    ledger.commit()
    assert world.archive().attempts(RUN)[0].state == state


def test_a_retry_is_recorded_with_the_request_that_follows(world: World) -> None:
    ledger = world.store.open_run(new_run())
    retry = Retry("memory", 2.0, MORE, "memory 4K -> 6K")
    ledger.record([start(), close(ok=False, cause="memory", charged=False, alone=True, retry=retry)], {})
    ledger.record([start(attempt=2, nonce=7, request=MORE)], {})
    ledger.commit()
    first, second = world.archive().attempts(RUN, 0)
    assert (first.retry, first.next_request, first.charged) == ("memory 4K -> 6K", MORE, False)
    assert (second.request, second.state) == (MORE, "queued")
    task = world.archive().tasks(RUN)[0]
    assert (task.state, task.attempts) == ("running", 2)


def test_a_task_that_waits_for_its_retry_is_pending(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), close(ok=False, cause="exit:1", retry=Retry("exit:1", 60.0, REQUEST, None))], {})
    ledger.commit()
    task = world.archive().tasks(RUN)[0]
    assert (task.state, task.attempts) == ("pending", 1)
    assert world.archive().attempts(RUN)[0].retry == "exit:1"


def test_a_task_can_end_without_an_attempt(world: World) -> None:
    ledger = world.store.open_run(new_run())
    digest = "0123456789abcdef" * 4
    ledger.record([settle(0, "ok", "cached", 0, fingerprint=digest), settle(1, "skipped", "dependency:a", 0)], {})
    ledger.commit()
    rows = world.archive().tasks(RUN)
    assert [(row.state, row.cause, row.fingerprint, row.attempts) for row in rows] == [
        ("ok", "cached", digest, 0),
        ("skipped", "dependency:a", None, 0),
        ("pending", None, None, 0),
    ]


@pytest.mark.parametrize("odd", ["0123456789abcdef" * 4, "AB" * 32, "no hex", None])
def test_hundreds_of_tasks_that_were_cached_are_shown_each_with_its_fingerprint(world: World, odd: str | None) -> None:
    names = tuple(f"t{number}" for number in range(120))
    ledger = world.store.open_run(new_run(names=names))
    digests = [f"{number:064x}" for number in range(118)]
    digests[50:50] = [odd]
    ledger.record([settle(task, "ok", "cached", 0, fingerprint=digest) for task, digest in enumerate(digests)], {})
    ledger.commit()
    rows = world.archive().tasks(RUN)
    assert [(row.state, row.cause, row.fingerprint) for row in rows[:119]] == [
        ("ok", "cached", each) for each in digests
    ]
    assert (rows[119].state, rows[119].fingerprint) == ("pending", None)
    ledger.close()
    assert [row.fingerprint for row in world.again().reopen_run(RUN)[1].tasks[:119]] == digests


def test_items_of_a_mapped_task_end_one_by_one(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([TakeItems(1, ("x", "y", "z"))], {})
    ledger.record([start(1, instance=2)], {})
    ledger.record([SettleInstance(1, 0, "ok", None, None), SettleInstance(1, 1, "failed", "exit:1", "no")], {})
    ledger.commit()
    expected = {1: [("x", "ok", None), ("y", "failed", "exit:1"), ("z", "pending", None)]}
    assert world.archive().items(RUN) == expected
    assert world.archive().items(RUN, 1) == expected
    assert world.archive().items(RUN, 0) == {}
    assert world.archive().tasks(RUN)[1].instances == 3


def test_items_that_come_while_a_run_goes_on_are_added_at_the_end(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([AddItems(1, 0, ()), AddItems(1, 0, ("x", "y"))], {})
    ledger.record([SettleInstance(1, 0, "ok", None, None), AddItems(1, 2, ("z",))], {})
    ledger.record([SettleInstance(1, 2, "failed", "exit:1", None)], {})
    ledger.commit()
    expected = {1: [("x", "ok", None), ("y", "pending", None), ("z", "failed", "exit:1")]}
    assert world.archive().items(RUN) == expected
    ledger.close()
    ledger, opened = world.again().reopen_run(RUN)
    assert opened.items == expected
    ledger.record([AddItems(1, 3, ("w",))], {})
    ledger.commit()
    assert world.archive().tasks(RUN)[1].instances == 4
    ledger.record([AddItems(1, 3, ("v",))], {})
    with pytest.raises(InternalError):
        ledger.commit()


def test_names_and_texts_that_are_no_utf8_survive(world: World) -> None:
    odd = "caf\udce9\n\x00 \U0001f600"
    ledger = world.store.open_run(new_run(names=("a", odd, "c"), plan_key=odd, plan_name=odd, root=odd))
    ledger.record(
        [TakeItems(0, (odd,)), start(1), close(1, ok=False, cause="setup", detail=odd, product=odd)], {odd: 5}
    )
    ledger.record([settle(1, "failed", f"unmet:file:{odd}", detail=odd), SettleInstance(0, 0, "failed", odd, odd)], {})
    ledger.commit()
    archive = world.archive()
    assert archive.tasks(RUN)[1].name == odd
    assert archive.tasks(RUN)[1].cause == f"unmet:file:{odd}"
    assert archive.attempts(RUN)[0].product == odd
    assert archive.items(RUN)[0] == [(odd, "failed", odd)]
    ledger.close()
    again, opened = world.again().reopen_run(RUN)
    assert opened.offsets == {odd: 5}
    assert (opened.row.plan_key, opened.row.plan_name, opened.row.root) == (odd, odd, odd)
    assert [row.run for row in archive.runs(odd)] == [RUN]
    again.remember([result("aa", plan_key=odd)], [])
    again.commit()
    assert archive.results(odd) == {("a", ""): result("aa", plan_key=odd)}
    again.close()
    assert world.again().open_attempts(odd) == []


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param([close(nonce=NONCE - 1)], id="another nonce"),
        pytest.param([close(attempt=2)], id="an attempt that never started"),
        pytest.param([close(), close()], id="an end told twice"),
        pytest.param([start()], id="an attempt number used twice"),
        pytest.param([BeginAttempt(key(), NONCE - 1, 1.0)], id="the beginning of another"),
        pytest.param([settle(2)], id="a task that ended before"),
        pytest.param([settle(2, "ok", "cached", 0, fingerprint="ab" * 32)], id="a cached task that ended before"),
        pytest.param([TakeItems(1, ("x",))], id="items taken before"),
        pytest.param([SettleInstance(1, 5, "ok", None, None)], id="an instance that is not there"),
        pytest.param(
            [SettleInstance(1, 0, "ok", None, None), SettleInstance(1, 0, "ok", None, None)], id="instance twice"
        ),
    ],
)
def test_a_stale_fact_is_refused_and_its_whole_transaction_changes_nothing(world: World, stale: list[Any]) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), settle(2), TakeItems(1, ("x",))], {"receipts": 1})
    ledger.commit()
    before = (world.archive().attempts(RUN), world.archive().tasks(RUN), world.archive().items(RUN))
    ledger.record([settle(1, "skipped", "dependency:a", 0), *stale], {"receipts": 2})
    with pytest.raises(InternalError):
        ledger.commit()
    assert (world.archive().attempts(RUN), world.archive().tasks(RUN), world.archive().items(RUN)) == before
    ledger.close()
    assert world.again().reopen_run(RUN)[1].offsets == {"receipts": 1}


def test_a_fenced_owner_changes_nothing(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start()], {})
    world.fence("plan")
    with pytest.raises(StoreError, match="another owner took over") as caught:
        ledger.commit()
    assert caught.value.exit_code == 3 and not caught.value.is_passing
    assert world.archive().attempts(RUN) == []


def test_a_plan_has_one_owner_and_two_plans_have_two(world: World) -> None:
    first = world.store.open_run(new_run())
    with pytest.raises(OwnedError) as caught:
        world.again().open_run(new_run(OTHER))
    assert caught.value.exit_code == 4 and caught.value.hint
    with pytest.raises(OwnedError):
        world.again().reopen_run(RUN)
    second = world.again().open_run(new_run(OTHER, "another plan"))
    for ledger in (first, second):
        ledger.record([start()], {})
        ledger.commit()
        ledger.close()
    assert [row.run for row in world.archive().runs()] == [RUN, OTHER]


def test_a_closed_ledger_gives_the_plan_up_and_takes_no_more(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.close()
    ledger.close()
    ledger.record([start()], {})
    with pytest.raises(StoreError):
        ledger.commit()
    world.again().open_run(new_run(OTHER))


def test_each_owner_of_a_plan_gets_a_greater_epoch(world: World) -> None:
    first = world.store.open_run(new_run())
    first.close()
    second, opened = world.again().reopen_run(RUN)
    second.close()
    third = world.again().open_run(new_run(OTHER))
    assert (first.epoch, second.epoch, third.epoch) == (1, 2, 3)
    assert opened.row.epoch == 2


def test_the_end_of_a_run_is_recorded(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([settle(0)], {})
    ledger.finish("failed", 1, 2000.5)
    row = world.archive().runs()[0]
    assert (row.state, row.exit_code, row.ended) == ("failed", 1, 2000.5)
    assert world.archive().tasks(RUN)[0].state == "ok"


def test_a_reopened_run_shows_all_that_was_committed(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), close(), settle(), TakeItems(1, ("x",)), start(1, instance=0, nonce=4)], {"w1.log": 9})
    ledger.commit()
    ledger.record([settle(2)], {"w1.log": 99})
    world.crash()
    _, opened = world.again().reopen_run(RUN)
    assert opened.row.state == "running" and opened.row.run == RUN
    assert [row.state for row in opened.tasks] == ["ok", "running", "pending"]
    assert [(row.key, row.state) for row in opened.attempts] == [
        (key(0), "ok"),
        (key(1, instance=0), "queued"),
    ]
    assert opened.items == {1: [("x", "pending", None)]}
    assert opened.offsets == {"w1.log": 9}


def test_a_finished_run_can_be_taken_up_again(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.finish("interrupted", 130, 1.0)
    ledger.close()
    again, opened = world.again().reopen_run(RUN)
    assert (opened.row.state, opened.row.ended, opened.row.exit_code) == ("running", None, None)
    again.finish("ok", 0, 2.0)
    assert world.archive().runs()[0].state == "ok"


def test_a_run_that_is_not_there_cannot_be_reopened(world: World) -> None:
    with pytest.raises(StoreError, match="no run"):
        world.store.reopen_run("f" * 32)


def test_a_task_that_is_taken_up_again_can_end_once_more(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), close(ok=False, cause="exit:1"), settle(0, "failed", "exit:1")], {})
    ledger.record([TakeItems(1, ("x", "y"))], {})
    ledger.record([SettleInstance(1, 0, "ok", None, None), SettleInstance(1, 1, "failed", "exit:1", None)], {})
    ledger.record([settle(1, "failed", "exit:1")], {})
    ledger.commit()
    ledger.record([ReopenTask(0), ReopenTask(1)], {})
    ledger.commit()
    assert [row.state for row in world.archive().tasks(RUN)] == ["pending", "pending", "pending"]
    assert world.archive().items(RUN)[1] == [("x", "ok", None), ("y", "pending", None)]
    ledger.record([start(attempt=2, nonce=8), close(attempt=2, nonce=8), settle(0, attempts=2)], {})
    ledger.commit()
    assert world.archive().tasks(RUN)[0].state == "ok"
    assert [row.state for row in world.archive().attempts(RUN, 0)] == ["failed", "ok"]


def test_a_task_that_is_taken_up_anew_takes_its_items_again(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([TakeItems(1, ("x",)), SettleInstance(1, 0, "ok", None, None), settle(1)], {})
    ledger.record([ReopenTask(1, anew=True), TakeItems(1, ("p", "q"))], {})
    ledger.commit()
    assert world.archive().items(RUN) == {1: [("p", "pending", None), ("q", "pending", None)]}


def test_reasons_are_kept_and_the_latest_count(world: World) -> None:
    ledger = world.store.open_run(new_run())
    first = Reason("part_changed", "the code changed", "code", "1", "2")
    second = Reason("no_result", "it never ran")
    ledger.record([ExplainTask(0, (first,)), ExplainTask(1, (first, second))], {})
    ledger.record([ExplainTask(0, (second,))], {})
    ledger.commit()
    archive = world.archive()
    assert [archive.reasons(RUN, task) for task in range(3)] == [(second,), (first, second), ()]


def test_a_changed_plan_takes_along_what_stays(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(0), close(0), settle(0), start(1, nonce=5), settle(2), TakeItems(2, ("x",))], {})
    ledger.record([ExplainTask(2, (Reason("a", "b"),))], {})
    ledger.commit()
    ledger.replan(b"changed", ["c", "new", "a"], [0, 1, 2], {0: 2, 2: 0})
    ledger.record([start(1, nonce=6)], {})
    opened = ledger.opened()
    assert [(row.task, row.name, row.state) for row in opened.tasks] == [
        (0, "c", "ok"),
        (1, "new", "running"),
        (2, "a", "ok"),
    ]
    assert [(row.key, row.nonce) for row in opened.attempts] == [(key(1), 6), (key(2), NONCE)]
    assert opened.items == {0: [("x", "pending", None)]}
    assert world.archive().snapshot(RUN) == b"changed"
    assert world.archive().reasons(RUN, 0) == (Reason("a", "b"),)
    ledger.close()
    _, again = world.again().reopen_run(RUN)
    assert again.tasks == opened.tasks and again.attempts == opened.attempts
    assert world.again().warnings == []


def test_a_changed_plan_in_which_no_task_has_another_place_forgets_those_beyond(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(0), close(0), settle(0), start(2, nonce=5), TakeItems(2, ("x",))], {})
    ledger.commit()
    ledger.replan(b"changed", ["a", "other"], [0, 1], {0: 0, 1: 1})
    opened = ledger.opened()
    assert [(row.task, row.name, row.state) for row in opened.tasks] == [(0, "a", "ok"), (1, "other", "pending")]
    assert [row.key for row in opened.attempts] == [key(0)]
    assert opened.items == {}
    ledger.close()
    _, again = world.again().reopen_run(RUN)
    assert again.tasks == opened.tasks and again.attempts == opened.attempts
    assert world.again().warnings == []


def test_attempts_that_a_dead_engine_left_open_are_told_and_the_plan_is_kept(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(0), start(1, nonce=9), close(1, nonce=9)], {})
    ledger.commit()
    world.crash()
    second = world.again()
    ((row, attempts),) = second.open_attempts("plan")
    assert row.run == RUN
    assert [(attempt.key, attempt.nonce) for attempt in attempts] == [(key(0), NONCE)]
    second.open_run(new_run(OTHER))
    assert [run.state for run in world.archive().runs()] == ["interrupted", "running"]


def test_a_run_that_ended_left_nothing_open(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.record([start(), close(), settle()], {})
    ledger.finish("ok", 0, 1.0)
    ledger.close()
    assert world.again().open_attempts("plan") == []
    assert world.store.open_attempts("never seen") == []


def result(fingerprint: str, name: str = "a", run: str = RUN, plan_key: str = "plan", instance: str = "") -> ResultRow:
    outputs = (("out/x", 5, 1_700_000_000_000_000_000, 77, "ab" * 16),)
    return ResultRow(plan_key, name, instance, fingerprint, {"code": "11", "input": "22"}, outputs, "cd" * 16, run)


def test_the_latest_result_stands_for_a_task_and_older_ones_are_found_by_fingerprint(world: World) -> None:
    ledger = world.store.open_run(new_run())
    old, new, other = result("aa" * 32), result("bb" * 32), result("aa" * 32, "b", instance="it\udce9m")
    ledger.remember([old], [])
    ledger.commit()
    ledger.remember([new, other, result("ee" * 32, plan_key="another")], [])
    ledger.commit()
    archive = world.archive()
    assert archive.results("plan") == {("a", ""): new, ("b", "it\udce9m"): other}
    assert archive.results("unknown") == {}
    assert archive.by_fingerprint(["bb" * 32, "aa" * 32, "00"]) == {"bb" * 32: new, "aa" * 32: other}
    assert archive.by_fingerprint(["ee" * 32], "plan") == {}
    ledger.remember([old], [])
    ledger.commit()
    assert archive.results("plan")[("a", "")] == old


def test_digests_of_files_are_remembered_and_replaced(world: World) -> None:
    ledger = world.store.open_run(new_run())
    first = FileRow("/data/\udcff.bin", 10, 5, 2**40, "ab" * 32)
    ledger.remember([], [first, FileRow("/b", 1, 2, 3, "no hex")])
    ledger.remember([], [first._replace(size=11)])
    ledger.commit()
    archive = world.archive()
    assert archive.files(["/data/\udcff.bin", "/none"]) == {first.path: first._replace(size=11)}
    assert sorted(archive.files()) == ["/b", "/data/\udcff.bin"]


PARTS = {"code": "11", "inputs:\udce9": "22"}


def begun(task: int = 0, instance: int = WHOLE, **more: Any) -> BegunRow:
    return BegunRow(task, instance, **{"parts": PARTS, "fingerprint": "ab" * 32, **more})


def test_what_attempts_were_begun_with_is_known_until_what_they_made_is_remembered(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.remember([], [], [begun(0), begun(1), begun(2)])
    ledger.record([start(0), start(1), start(2)], {})
    ledger.commit()
    done = CloseAttempt(key(1), NONCE, Outcome(True, usage=Usage(2.5)), None)
    ledger.record([BeginAttempt(key(1), NONCE, 1000.5, NO_OUTPUT, NO_OUTPUT), done, close(2)], {})
    ledger.remember([result("aa", "c")], [], [begun(2, is_over=True, parts={})])
    ledger.commit()
    world.crash()
    _, opened = world.again().reopen_run(RUN)
    assert list(opened.begun) == [begun(0), begun(1, ended=1003.0)]


def test_what_a_task_was_last_found_with_counts(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.remember([], [], [begun(0), begun(0, is_over=True, parts={}), begun(0, parts={"code": "12"})])
    ledger.record([start(0)], {})
    ledger.commit()
    world.crash()
    _, opened = world.again().reopen_run(RUN)
    assert list(opened.begun) == [begun(0, parts={"code": "12"})]


def test_an_attempt_that_did_not_end_well_leaves_nothing_for_the_next_one(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.remember([], [], [begun(0)])
    ledger.record([start(0), close(0, ok=False, cause="exit:1")], {})
    ledger.commit()
    world.crash()
    again, opened = world.again().reopen_run(RUN)
    assert list(opened.begun) == []
    again.record([start(0, attempt=2, nonce=7)], {})
    again.commit()
    world.crash()
    assert list(world.again().reopen_run(RUN)[1].begun) == []


def test_instances_are_begun_with_parts_of_their_own_and_keep_them_in_a_plan_that_has_changed(world: World) -> None:
    ledger = world.store.open_run(new_run())
    rows = [begun(1), begun(1, 0, parts={}, own=("item", "33")), begun(1, 4, parts={}, own=("item", "44"))]
    ledger.remember([], [], rows)
    ledger.record([TakeItems(1, ("x",)), start(1, instance=0)], {})
    ledger.commit()
    ledger.replan(b"{1}", ("b", "c"), range(2), {1: 0, 2: 1})
    ledger.commit()
    world.crash()
    _, opened = world.again().reopen_run(RUN)
    assert list(opened.begun) == [row._replace(task=0) for row in rows[:2]], "the fifth was never started"


def test_a_run_that_is_over_keeps_nothing_of_what_its_attempts_were_begun_with(world: World) -> None:
    ledger = world.store.open_run(new_run())
    ledger.remember([], [], [begun(0), begun(1)])
    ledger.record([start(0), start(1), close(0, ok=False, cause="exit:1"), close(1, ok=False, cause="exit:1")], {})
    ledger.finish("failed", 1, 1.0)
    ledger.close()
    assert list(world.again().reopen_run(RUN)[1].begun) == []


def test_a_commit_on_a_full_disk_can_be_called_again_once_there_is_room(world: World) -> None:
    ledger = world.store.open_run(new_run())
    world.fill(True)
    names = tuple(f"item {number} {'x' * 200}" for number in range(2000))
    ledger.record([TakeItems(0, names), start(1)], {"receipts": 3})
    ledger.remember([result("aa")], [])
    for _ in range(2):
        with pytest.raises(StoreError, match="room") as caught:
            ledger.commit()
        assert caught.value.is_passing
    assert world.archive().attempts(RUN) == []
    world.fill(False)
    ledger.record([close(1)], {})
    ledger.commit()
    assert [row.state for row in world.archive().attempts(RUN)] == ["ok"]
    assert len(world.archive().items(RUN)[0]) == 2000
    assert ("a", "") in world.archive().results("plan")
