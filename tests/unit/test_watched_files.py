"""Which files are whole, which are new, and where they are looked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from weft.files.changes import FileEvents, Polling
from weft.files.search import Place
from weft.files.watched import PRESENT, Outputs, Settling, Stamp, required_files, watched_folders
from weft.spec.actions import Command
from weft.spec.requirements import FileNeed, FolderNeed, Foreach, MatchNeed, Requirements
from weft.spec.tasks import Policy, Task

NOW = 1_000_000.0


def written(seconds_ago: float, size: int = 1) -> Stamp:
    return Stamp(size, int((NOW - seconds_ago) * 1e9), 7)


def look(settling: Settling, now: float, found: Mapping[str, Stamp]) -> list[str]:
    settling.look(found, now, NOW + now)
    return sorted(settling.settled)


def test_a_file_that_grows_is_not_whole_until_it_rests() -> None:
    settling = Settling(1.0)
    assert look(settling, 0.0, {"a": written(0)}) == []
    assert settling.due(0.25) == 0.75
    assert look(settling, 0.5, {"a": written(-0.5, 2)}) == []
    assert look(settling, 1.4, {"a": written(-0.5, 2)}) == []
    assert settling.unsettled == {"a"}
    assert look(settling, 1.5, {"a": written(-0.5, 2)}) == ["a"]
    assert settling.due(1.5) is None


def test_what_was_written_before_it_came_is_whole_at_once() -> None:
    assert look(Settling(1.0), 0.0, {"renamed": written(60)}) == ["renamed"]


def test_a_date_of_a_clock_that_is_behind_does_not_make_a_file_whole() -> None:
    settling = Settling(1.0)
    assert look(settling, 0.0, {"a": written(20)}) == []
    assert look(settling, 0.5, {"a": written(19.5, 2)}) == []
    assert look(settling, 1.5, {"a": written(19.5, 2)}) == ["a"]


def test_a_file_with_a_date_of_the_future_is_whole_when_it_rests() -> None:
    settling = Settling(1.0)
    assert look(settling, 0.0, {"a": written(-3600)}) == []
    assert look(settling, 1.0, {"a": written(-3600)}) == ["a"]


def test_news_are_files_that_came_or_changed() -> None:
    settling = Settling(1.0)
    look(settling, 0.0, {"a": written(60), "b": written(60)})
    known = dict(settling.settled)
    assert settling.news(known) == []
    look(settling, 5.0, {"b": written(50, 9), "c": written(60)})
    assert settling.news(known) == ["b", "c"]


def plan_of(**needs: tuple[object, ...]) -> Task:
    return Task("a", Command(("true",)), requires=Requirements(**needs), outputs=("in/made", "out"))  # type: ignore[arg-type]


def test_all_that_is_required_is_found_but_not_what_is_made(tmp_path: Path) -> None:
    for name in ("one.txt", "in/x", "in/made", "in/.hidden", "deep/er/y.csv", "out/z.csv", "go"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1", encoding="utf-8")
    task = plan_of(
        files=(FileNeed("one.txt"), FileNeed("two.txt")),
        folders=(FolderNeed("in"), FolderNeed("no_such")),
        match=(MatchNeed("**/*.csv", "glob"), MatchNeed("[")),
        signal=("go",),
    )
    found = required_files([task], Place(str(tmp_path), None))
    assert {os.path.relpath(path, tmp_path) for path in found} == {"one.txt", "in/x", "deep/er/y.csv", "go"}
    assert found[f"{tmp_path}/go"] == PRESENT


def test_what_instances_make_of_files_that_are_there_is_their_own(tmp_path: Path) -> None:
    for name in (
        "in/a.csv",
        "in/deep/b.csv",
        "in/out/a.csv",
        "made/in/a.csv.xz",
        "made/in/gone.csv.xz",
        "made/five/x",
        "n2",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1", encoding="utf-8")
    place = Place(str(tmp_path), None)
    per_file = Task(
        "pack",
        Command(("true",)),
        parameters={"suffix": "xz"},
        requires=Requirements(match=(MatchNeed("in/**/*.csv", "glob", bind="path"),)),
        policy=Policy(foreach=Foreach(files=True)),
        outputs=("made/{path}.{suffix}", "in/{path}", "{folder}/{path}", "made/{unknown}/y"),
    )
    per_value = Task(
        "n", Command(("true",)), policy=Policy(foreach=Foreach(values=(1, 2), bind="n")), outputs=("n{n}",)
    )
    own = Outputs([per_file, per_value], place, {"folder": "made/five"})
    assert f"{tmp_path}/made/in/a.csv.xz" in own and f"{tmp_path}/made/in/a.csv.xz/part" in own
    assert f"{tmp_path}/n2" in own and f"{tmp_path}/n3" not in own
    assert f"{tmp_path}/made/five/in/a.csv" in own
    for other in ("in/a.csv", "in/deep/b.csv", "made/in/gone.csv.xz", "made/in/a.csv", "made/five/x", "made/z/y"):
        assert f"{tmp_path}/{other}" not in own, other


def test_the_nearest_folders_that_exist_are_watched(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    task = plan_of(folders=(FolderNeed("in"), FolderNeed("in/deep/not/yet")), files=(FileNeed("/no/such/folder/file"),))
    assert watched_folders([task], Place(str(tmp_path), None)) == ["/"]
    task = plan_of(folders=(FolderNeed("in"), FolderNeed("in/deep/not/yet")))
    assert watched_folders([task], Place(str(tmp_path), None)) == [f"{tmp_path}/in"]


LIMIT_SECONDS = 30.0


def waits_until(changes: FileEvents, is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < limit
        changes.wait(0.1)


def test_a_name_that_events_cannot_tell_makes_them_looks(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    told: list[str] = []
    changes = FileEvents([str(tmp_path)], None, told.append)
    try:
        assert changes.wait(0.0)
        (tmp_path / os.fsdecode(b"\xff")).touch()
        waits_until(changes, lambda: bool(told))
        assert changes.wait(0.0) and len(told) == 1
    finally:
        changes.close()


def test_a_folder_that_was_replaced_is_watched_again(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    folder = tmp_path / "in"
    folder.mkdir()
    changes = FileEvents([str(folder)], None)
    try:
        changes.wait(0.0)
        os.rename(folder, tmp_path / "old")
        waits_until(changes, lambda: changes.is_watching(str(tmp_path)))
        folder.mkdir()
        waits_until(changes, lambda: changes.is_watching(str(folder)))
        (folder / "a").touch()
        assert changes.wait(LIMIT_SECONDS)
    finally:
        changes.close()


def test_the_whole_machine_is_not_watched() -> None:
    told: list[str] = []
    changes = FileEvents(["/no such folder/at all"], None, told.append)
    assert changes.wait(0.0)
    assert told[0].endswith("the nearest folder that exists is /")


def test_polling_pauses_longer_where_looking_takes_long() -> None:
    slept: list[float] = []
    polling = Polling(1.0, slept.append)
    polling.wait(None)
    polling.wait(0.25)
    polling.looked(0.5)
    polling.wait(0.25)
    assert slept == [1.0, 0.25, 5.0]
