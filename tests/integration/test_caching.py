"""What is kept is listed, given up and verified; what a run may need stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft.assemble import caching
from weft.assemble.caching import Collected
from weft.ports import Held, NewRun, ResultRow
from weft.scheduling.commands import BeginAttempt, CloseAttempt, StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, Outcome, Request, RunState
from weft.store.ledger import SqliteLedger
from weft.store.sqlite import SqliteStore
from weft.values import encoding
from weft.values.encoding import encode
from weft.values.items import ItemWriter

DAY = 86_400.0


class State:
    """A state folder, filled as runs do."""

    def __init__(self, folder: Path):
        self.folder = str(folder / ".weft")
        self.store = SqliteStore(self.folder, "process")
        self.products = os.path.join(self.folder, "products")
        self.count = 0

    def begin(self, key: str = "plan", age: float = 0.0) -> tuple[str, SqliteLedger]:
        """A run at work: (id, its ledger)."""
        self.count += 1
        run = f"{self.count:032x}"
        new = NewRun(run, key, None, "/", time.time() - age, {}, b"{}", ["a", "b"], [0, 1])
        return run, self.store.open_run(new)

    def run(
        self,
        value: Any,
        *,
        key: str = "plan",
        name: str = "a",
        age: float = 0.0,
        state: RunState = "ok",
        fingerprint: str = "f1",
    ) -> str:
        """A run that made a value and ended; the text of its product."""
        run, ledger = self.begin(key, age)
        text = self.finish(run, ledger, value, key, name, fingerprint)
        ledger.finish(state, 0 if state == "ok" else 1, time.time())
        ledger.close()
        return text

    def finish(
        self, run: str, ledger: SqliteLedger, value: Any, key: str = "plan", name: str = "a", fingerprint: str = "f1"
    ) -> str:
        text = value if isinstance(value, str) and value.startswith("@") else encode(value, self.products)
        attempt = AttemptKey(0, WHOLE, 1)
        start = StartAttempt(attempt, 7, Request(()), 0, False, False)
        ended = CloseAttempt(attempt, 7, Outcome(True, product=text), None)
        ledger.record([start, BeginAttempt(attempt, 7, 0.0, NO_OUTPUT, NO_OUTPUT), ended], {})
        reference = encoding.parse(text)
        held = None
        if reference is not None and reference.inline is None:
            found = os.stat(self.path(text))
            held = Held(text, found.st_size, found.st_mtime_ns, found.st_ino)
        row = ResultRow(key, name, "", fingerprint, {}, (), encoding.digest_of(text), run, "", held)
        ledger.remember([row], [])
        ledger.commit()
        return text

    def path(self, text: str) -> str:
        reference = encoding.parse(text)
        assert reference is not None
        return encoding.path_of(self.products, reference)

    def files(self) -> list[str]:
        return [path for path, _ in caching._files(self.products)]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path)
    yield made
    made.store.close()


def long(letter: str) -> bytes:
    return letter.encode() * 100_000


# --- listing -----------------------------------------------------------------------------------------------------------


def test_the_list_names_what_is_kept_and_what_it_takes(state: State) -> None:
    state.run({"n": 1}, name="a", key="small", age=DAY)
    text = state.run(long("x"), name="b", key="large")
    small, large = caching.list_kept(state.folder).entries
    assert (small.task, small.format, small.size, small.path) == ("a", "text", 8, None)
    assert (large.task, large.format, large.size, large.path) == ("b", "bytes", 100_000, state.path(text))
    assert small.made is not None and large.made is not None and large.made - small.made > DAY / 2


def test_environments_are_listed_with_their_size(state: State) -> None:
    place = Path(state.folder, "environments", "abc")
    place.mkdir(parents=True)
    (place / "weft-ready").write_bytes(b"")
    (place / "data").write_bytes(b"x" * 1000)
    (place.parent / "half-made").mkdir()
    (found,) = caching.list_kept(state.folder).environments
    assert (found.path, found.size) == (str(place), 1000)


# --- clearing ----------------------------------------------------------------------------------------------------------


def test_nothing_that_can_be_used_or_shown_goes(state: State) -> None:
    texts = [state.run(long(letter), fingerprint=f"f{letter}") for letter in "ab"]
    done = caching.collect(state.folder)
    assert done == Collected(0, 0, 0, 2, 2, 200_000, [])
    assert sorted(state.files()) == sorted(map(state.path, texts))


def test_files_that_nothing_refers_to_go(state: State) -> None:
    kept = state.run(long("a"))
    orphan = encode(long("b"), state.products)
    aside = Path(state.path(kept) + ".damaged")
    aside.write_bytes(b"zz")
    Path(state.products, ".12-34-0").write_bytes(b"half")
    assert caching.list_kept(state.folder).unreferenced == 3
    assert caching.collect(state.folder, is_dry=True).files == 3
    assert os.path.exists(state.path(orphan)), "a dry run removes nothing"
    done = caching.collect(state.folder)
    assert (done.results, done.files, done.bytes, done.kept_files) == (0, 3, 100_006, 1)
    assert state.files() == [state.path(kept)]


def test_the_key_stays_whatever_goes(state: State) -> None:
    state.run({1: "x" * 100_000})
    caching.collect(state.folder, is_all=True)
    assert os.listdir(state.products) == ["key"]


def test_work_whose_product_is_gone_or_cut_is_given_up(state: State) -> None:
    for letter, harm in (("a", os.unlink), ("b", lambda path: os.truncate(path, 3))):
        harm(state.path(state.run(long(letter), name=letter)))
    assert caching.collect(state.folder).results == 2
    assert caching.list_kept(state.folder).entries == []


def test_old_work_goes_by_the_age_of_its_run(state: State) -> None:
    old = state.run(long("a"), fingerprint="f1", age=10 * DAY)
    new = state.run(long("b"), fingerprint="f2", age=1 * DAY)
    assert caching.collect(state.folder, older=5 * DAY).results == 1
    assert state.files() == [state.path(new)]
    assert not os.path.exists(state.path(old))


def test_the_newest_of_each_task_stay(state: State) -> None:
    texts = [state.run(long(letter), fingerprint=f"f{letter}", name=name) for letter, name in ["aa", "bb", "ca", "da"]]
    assert caching.collect(state.folder, keep=1).results == 2
    assert sorted(state.files()) == sorted(state.path(texts[place]) for place in (1, 3))
    assert [entry.task for entry in caching.list_kept(state.folder).entries] == ["b", "a"]


def test_the_newest_run_of_a_plan_can_be_shown_though_its_work_was_given_up(state: State) -> None:
    text = state.run(long("a"), age=10 * DAY)
    assert caching.collect(state.folder, older=DAY).results == 1
    assert state.files() == [state.path(text)]
    assert caching.collect(state.folder, is_all=True).files == 1


def test_items_of_a_kept_log_stay(state: State) -> None:
    writer = ItemWriter(os.path.join(state.folder, "streams", "1"), state.products)
    writer.add(1)
    writer.add(long("i"))
    text = writer.close()
    state.run(text)
    assert len(state.files()) == 2
    assert caching.collect(state.folder).files == 0
    assert caching.collect(state.folder, is_all=True).files == 2


def test_what_a_run_at_work_may_need_stays(state: State) -> None:
    mine = state.run(long("a"), key="registry:m:x", name="a")
    other = state.run(long("b"), key="other")
    run, ledger = state.begin("registry:m:x")
    own = state.finish(run, ledger, long("c"), "registry:m", name="c")
    row = ResultRow("registry:m", "d", "", "f9", {}, (), None, run)
    ledger.remember([row], [])
    ledger.commit()
    young = encode(long("d"), state.products)
    done = caching.collect(state.folder, is_all=True)
    assert done.live == [run]
    assert {entry.task for entry in caching.list_kept(state.folder).entries} == {"a", "c", "d"}
    assert os.path.exists(state.path(mine)) and os.path.exists(state.path(own))
    assert os.path.exists(state.path(young)), "a worker may have written it just now"
    os.utime(state.path(other), (1, 1))
    os.utime(state.path(young), (1, 1))
    assert caching.collect(state.folder, is_all=True).files == 2
    ledger.finish("ok", 0, 0.0)
    ledger.close()
    assert caching.collect(state.folder, is_all=True).kept_results == 0
    assert state.files() == []


@pytest.mark.parametrize(("ended", "stays"), [("ok", False), ("failed", True)])
def test_passing_products_stay_as_long_as_their_run_can_be_taken_up(state: State, ended: RunState, stays: bool) -> None:
    run, ledger = state.begin()
    text = encode(long("a"), os.path.join(state.products, f"~{run}"))
    assert caching.collect(state.folder, is_all=True).files == 0
    ledger.finish(ended, 0, 0.0)
    ledger.close()
    assert caching.collect(state.folder).files == (0 if stays else 1)
    assert os.path.exists(state.path(text)) is stays
    caching.collect(state.folder, is_all=True)
    assert state.files() == []


# --- verifying ---------------------------------------------------------------------------------------------------------


def test_damage_is_named_and_set_aside(state: State) -> None:
    whole = state.run(long("a"), name="a")
    path = state.path(state.run(long("b"), name="b"))
    gone = state.path(state.run({1: long("c")}, name="c"))
    Path(path).write_bytes(long("z"))
    os.unlink(gone)
    found = caching.verify_kept(state.folder)
    assert (found.files, found.bytes) == (2, 200_000)
    assert found.problems == [
        (path, "its content is not what was written", path + ".damaged"),
        (gone, "it is not there", None),
    ]
    assert sorted(state.files()) == sorted([state.path(whole), path + ".damaged"])
    assert [problem[0] for problem in caching.verify_kept(state.folder).problems] == sorted([path, gone])
    assert caching.collect(state.folder).results == 2
    assert caching.verify_kept(state.folder).problems == []
