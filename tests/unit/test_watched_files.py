"""Which files are whole, which are new, and where they are looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from weft.files.changes import Polling
from weft.files.search import Place
from weft.files.watched import PRESENT, Settling, Stamp, required_files, watched_folders
from weft.spec.actions import Command
from weft.spec.requirements import FileNeed, FolderNeed, MatchNeed, Requirements
from weft.spec.tasks import Task

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


def test_the_nearest_folders_that_exist_are_watched(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    task = plan_of(folders=(FolderNeed("in"), FolderNeed("in/deep/not/yet")), files=(FileNeed("/no/such/folder/file"),))
    assert watched_folders([task], Place(str(tmp_path), None)) == ["/"]
    task = plan_of(folders=(FolderNeed("in"), FolderNeed("in/deep/not/yet")))
    assert watched_folders([task], Place(str(tmp_path), None)) == [f"{tmp_path}/in"]


def test_polling_pauses_longer_where_looking_takes_long() -> None:
    slept: list[float] = []
    polling = Polling(1.0, slept.append)
    polling.wait(None)
    polling.wait(0.25)
    polling.looked(0.5)
    polling.wait(0.25)
    assert slept == [1.0, 0.25, 5.0]
