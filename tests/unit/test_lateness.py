"""Limits that are looked at late: a moment for those who may have stood still themselves, and then the end."""

from __future__ import annotations

from pathlib import Path

from weft.executors.supervisor.lateness import LATE_SECONDS, MOMENT_SECONDS, is_late
from weft.executors.supervisor.watches import DUE, DUE_OFFSET, Watches


def cell(folder: Path, due: float) -> str:
    path = folder / "cell"
    path.write_bytes(bytes(DUE_OFFSET) + DUE.pack(due))
    return str(path)


def watched(folder: Path) -> Watches:
    watches = Watches()
    watches.add(7, cell(folder, 100.0), 10.0, 90.0)
    return watches


def test_a_look_is_late_only_when_something_stood_still() -> None:
    assert not is_late(100.0, 100.0 + LATE_SECONDS)
    assert is_late(100.0, 100.1 + LATE_SECONDS)


def test_a_call_that_is_looked_at_in_time_ends_with_its_limit(tmp_path: Path) -> None:
    assert watched(tmp_path).look(100.01) == [7]


def test_a_call_that_is_looked_at_late_gets_one_moment_and_no_second(tmp_path: Path) -> None:
    watches = watched(tmp_path)
    assert watches.look(160.0) == []
    assert watches.due == 160.0 + MOMENT_SECONDS
    assert watches.look(300.0) == [7]


def test_a_call_that_ends_in_its_moment_was_never_late(tmp_path: Path) -> None:
    watches = watched(tmp_path)
    assert watches.look(160.0) == []
    cell(tmp_path, 0.0)
    assert watches.look(161.0) == []
    cell(tmp_path, 180.0)
    assert watches.look(171.0) == []
    assert watches.look(180.0) == [7], "the next one's limit is its own"
