"""Runs, retries and resumes put together from the real parts, in this process."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from weft import assemble
from weft.assemble import RunSettings
from weft.assemble.products import RecordedProducts, StoredProducts, has_product
from weft.errors import PlanError, UsageError
from weft.formats.load import load
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.spec.plan import Plan


class Heard:
    """An observer that counts what began."""

    def __init__(self) -> None:
        self.run = ""
        self.began: Counter[tuple[int, int]] = Counter()
        self.said: list[str] = []

    def run_started(self, opening: RunOpening) -> None:
        self.run = opening.run

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        self.began[key.task, key.instance] += 1

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None: ...

    def task_ended(self, settled: SettleTask) -> None: ...

    def remarked(self, text: str, task: int | None) -> None:
        self.said.append(text)

    def run_ended(self, ending: RunEnding) -> None: ...


class Folder:
    """A plan on disk and what is asked of it."""

    def __init__(self, path: Path):
        self.path = path
        self.state = str(path / ".weft")

    def write(self, tasks: dict[str, Any]) -> Plan:
        (self.path / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
        return load([str(self.path / "plan.json")]).plan

    def run(self, plan: Plan, **settings: Any) -> Heard:
        heard = Heard()
        assemble.run(plan, RunSettings(**settings), (heard,))
        return heard

    def resume(self, plan: Plan | None, **settings: Any) -> Heard:
        heard = Heard()
        assemble.resume(None, plan, RunSettings(state=self.state, **settings), (heard,))
        return heard

    def retry(self, plan: Plan, *tasks: str, failed: bool = False) -> Heard:
        heard = Heard()
        assemble.retry(None, plan, tasks or None, failed, RunSettings(state=self.state), (heard,))
        return heard

    def states(self) -> dict[str, tuple[str, str | None]]:
        with assemble.archive(self.state) as archive:
            return {row.name: (row.state, row.cause) for row in archive.tasks(archive.find().run)}

    def text(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def lines(self, name: str) -> list[str]:
        return self.text(name).splitlines() if (self.path / name).exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def mapped(script: str, **more: Any) -> dict[str, Any]:
    return {"shell": script, "foreach": {"values": ["p", "q", "r"], "as": "item"}, **more}


def test_a_retry_of_a_mapped_task_runs_only_its_failed_instances(folder: Folder) -> None:
    plan = folder.write(
        {
            "m": mapped("echo $item >> ran; [ $item != q ] || [ -e fixed ]"),
            "n": {"shell": "echo n >> ran", "dependencies": ["m"]},
        }
    )
    folder.run(plan, jobs=1)
    assert folder.states() == {"m": ("failed", "exit:1"), "n": ("skipped", "dependency:m")}
    (folder.path / "fixed").touch()
    heard = folder.retry(plan, failed=True)
    assert folder.states() == {"m": ("ok", None), "n": ("ok", None)}
    assert folder.lines("ran") == ["p", "q", "r", "q", "n"]
    assert heard.began == {(0, 1): 1, (1, -1): 1}


def test_a_retry_of_a_mapped_task_that_was_ok_runs_all_of_it_anew(folder: Folder) -> None:
    plan = folder.write({"m": mapped("echo $item >> ran")})
    folder.run(plan, jobs=1)
    folder.retry(plan, "m")
    assert sorted(folder.lines("ran")) == ["p", "p", "q", "q", "r", "r"]
    with assemble.archive(folder.state) as archive:
        run = archive.find().run
        assert len(archive.runs()) == 1
        assert [row.key.attempt for row in archive.attempts(run)] == [1, 2] * 3


def test_a_resume_takes_up_what_failed_and_leaves_what_is_ok(folder: Folder) -> None:
    plan = folder.write(
        {"m": mapped("echo $item >> ran; [ $item != q ] || [ -e fixed ]"), "k": {"shell": "echo k >> ran"}}
    )
    folder.run(plan, jobs=1)
    (folder.path / "fixed").touch()
    folder.resume(None)
    assert Counter(folder.lines("ran")) == {"p": 1, "q": 2, "r": 1, "k": 1}
    assert set(folder.states().values()) == {("ok", None)}


def test_what_does_not_take_part_cannot_be_retried(folder: Folder) -> None:
    plan = folder.write({"a": {"command": ["true"]}, "b": {"command": ["true"]}})
    folder.run(plan, select=("a",))
    with pytest.raises(UsageError, match="takes no part"):
        folder.retry(plan, "b")
    with pytest.raises(UsageError, match="no task 'c'"):
        folder.retry(plan, "c")


def test_a_selection_is_kept_by_a_resume_and_new_tasks_join_only_a_whole_run(folder: Folder) -> None:
    plan = folder.write({"a": {"command": ["false"]}, "b": {"command": ["true"]}})
    folder.run(plan, select=("a",))
    grown = folder.write({"a": {"command": ["true"]}, "b": {"command": ["true"]}, "c": {"command": ["true"]}})
    heard = folder.resume(grown)
    assert folder.states() == {"a": ("ok", None)}
    assert any("added: c" in text for text in heard.said) and any("changed: a (action)" in text for text in heard.said)
    folder.run(plan)
    folder.resume(grown)
    assert set(folder.states()) == {"a", "b", "c"}


def test_a_resume_with_a_changed_plan_keeps_what_is_ok_where_it_stands_now(folder: Folder) -> None:
    plan = folder.write(
        {"a": {"shell": "echo a >> ran"}, "b": {"shell": "echo b >> ran; false", "dependencies": ["a"]}}
    )
    folder.run(plan)
    other = folder.write(
        {
            "new": {"shell": "echo new >> ran"},
            "b": {"shell": "echo b2 >> ran", "dependencies": ["a"]},
            "a": {"shell": "echo a >> ran"},
        }
    )
    folder.resume(other)
    assert Counter(folder.lines("ran")) == {"a": 1, "b": 1, "new": 1, "b2": 1}
    assert set(folder.states().values()) == {("ok", None)}


def test_a_resume_on_another_executor_runs_nothing_for_real(folder: Folder) -> None:
    plan = folder.write({"a": {"shell": "echo a >> ran; false"}, "b": {"shell": "echo b >> ran", "executor": "local"}})
    folder.run(plan, jobs=1)
    folder.resume(plan, executor="noop")
    assert folder.states() == {"a": ("ok", None), "b": ("ok", None)}
    assert sorted(folder.lines("ran")) == ["a", "b"]


# --- products across runs ----------------------------------------------------------------------------------------------------

CHAIN = {
    "a": {"command": ["cat", "in"], "requires": {"files": ["in"]}, "product": "stdout", "cache": "always"},
    "b": {"shell": 'printf "%s\\n" {x} >> out; [ ! -e bad ]', "dependencies": [{"name": "a", "as": "x"}]},
}


def test_a_cached_product_is_that_of_the_run_that_made_it_not_of_the_latest(folder: Folder) -> None:
    plan = folder.write(CHAIN)
    for text, cache in (("one", True), ("two", False), ("one", True)):
        (folder.path / "in").write_text(text + "\n")
        folder.run(plan, use_cache=cache)
    assert folder.states()["a"] == ("ok", "cached")
    assert folder.lines("out") == ["one", "two", "one"]


def test_a_resumed_run_still_has_the_product_of_what_was_cached(folder: Folder) -> None:
    plan = folder.write(CHAIN)
    (folder.path / "in").write_text("one\n")
    folder.run(plan)
    (folder.path / "bad").touch()
    folder.run(plan)
    assert folder.states() == {"a": ("ok", "cached"), "b": ("failed", "exit:1")}
    (folder.path / "bad").unlink()
    folder.resume(plan)
    assert folder.lines("out") == ["one"] * 3


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_product_of_any_length_loses_one_newline_and_reaches_its_follower(folder: Folder, size: int) -> None:
    script = f"import sys; sys.stdout.write('x' * {size} + chr(10) * 2)"
    plan = folder.write(
        {
            "a": {"command": ["python3", "-c", script], "product": "stdout"},
            "b": {"python": "open('out', 'w').write(x)", "dependencies": [{"name": "a", "as": "x"}]},
        }
    )
    folder.run(plan)
    assert folder.states()["b"] == ("ok", None)
    assert folder.text("out") == "x" * size + "\n"


def test_instances_that_are_cached_hand_on_what_they_made_before(folder: Folder) -> None:
    def plan(values: list[str]) -> Plan:
        maker = {
            "shell": "echo $item >> ran; echo made $item", "foreach": {"values": values, "as": "item"},
            "product": "stdout", "cache": "always",
        }  # fmt: skip
        user = {"python": "open('out', 'w').write(repr(xs))", "dependencies": [{"name": "m", "as": "xs"}]}
        return folder.write({"m": maker, "u": user})

    folder.run(plan(["p", "q"]))
    folder.run(plan(["p", "q", "r"]))
    assert Counter(folder.lines("ran")) == {"p": 1, "q": 1, "r": 1}
    assert folder.states()["u"] == ("ok", None)
    assert folder.text("out") == "['made p', 'made q', 'made r']"
    alone = plan(["p", "q", "r"])
    folder.run(alone, select=("u",))
    assert folder.text("out") == "['made p', 'made q', 'made r']", "of a run in which it took no part, too"


def test_a_product_that_was_never_made_is_told_before_the_start(folder: Folder) -> None:
    plan = folder.write(CHAIN)
    with pytest.raises(PlanError, match="never made"):
        folder.run(plan, select=("b",))
    assert not has_product(folder.state, plan, 0)


def test_products_lie_in_logs_of_ours_and_can_be_synced(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = folder.write(
        {"a": {"command": ["echo", "hi"], "product": "stdout"}, "b": {"command": ["touch", "o"], "outputs": ["o"]}}
    )
    heard = folder.run(plan)
    with assemble.archive(folder.state) as archive:
        region = archive.attempts(heard.run, 0)[0].stdout
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    files = StoredProducts(plan, folder.state, heard.run, is_durable=True)
    assert files.read(region) == b"hi\n"
    files.sync(region)
    path = f"{folder.state}/logs/{heard.run}/{region.file}"
    above = [f"{folder.state}/logs", folder.state]
    assert synced == [os.path.dirname(path), path, *above], "its name, and those of the folders that it lies in"
    files.sync(region)
    assert synced[4:] == [os.path.dirname(path), path], "which are made once"
    before = len(synced)
    with pytest.raises(LookupError):
        files.sync(LogRegion("../../weft.db", 0, 1))
    careless = StoredProducts(plan, folder.state, heard.run, is_durable=False)
    careless.sync(region)
    assert len(synced) == before
    assert RecordedProducts(folder.state).text(heard.run, "a") == "hi"
    assert RecordedProducts(folder.state).text(heard.run, "nobody") is None
    os.unlink(path)
    assert RecordedProducts(folder.state).text(heard.run, "a") == "hi", "short ones are kept with the outcome"
