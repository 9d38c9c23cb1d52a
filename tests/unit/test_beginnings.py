"""What attempts were begun with: kept, told to the store, and taken over from an engine that died."""

from __future__ import annotations

import os
from pathlib import Path

from weft.files.beginnings import SLACK_SECONDS, Beginning, Beginnings, changed_since
from weft.ports import BegunRow
from weft.scheduling.keys import WHOLE

PARTS = {"code": "11"}
LATER = {"code": "12"}
OWN = ("item", "33")


def news(beginnings: Beginnings) -> list[BegunRow]:
    found = list(beginnings.news)
    beginnings.news.clear()
    return found


def over(task: int, instance: int = WHOLE) -> BegunRow:
    return BegunRow(task, instance, {}, is_over=True)


def test_a_task_is_told_when_it_is_looked_at_and_when_it_is_over() -> None:
    beginnings = Beginnings()
    beginnings.begin(3, PARTS, "ff")
    assert news(beginnings) == [BegunRow(3, WHOLE, PARTS, None, "ff")]
    assert beginnings.take(3, WHOLE) == Beginning(PARTS)
    assert news(beginnings) == []
    beginnings.over(3, WHOLE)
    assert news(beginnings) == [over(3)]
    assert beginnings.take(3, WHOLE) is None


def test_instances_tell_what_they_share_once_unless_they_were_looked_at_later() -> None:
    beginnings = Beginnings()
    beginnings.begin(0, PARTS)
    beginnings.begin_item(0, 0, PARTS, OWN)
    beginnings.begin_item(0, 1, LATER, OWN)
    assert news(beginnings)[1:] == [BegunRow(0, 0, {}, OWN), BegunRow(0, 1, LATER, OWN)]
    assert beginnings.take(0, 0) == Beginning({**PARTS, "item": "33"})
    assert beginnings.take(0, 1) == Beginning({**LATER, "item": "33"})


def test_an_input_that_cannot_be_read_any_more_leaves_nothing_to_claim() -> None:
    beginnings = Beginnings()
    beginnings.begin(0, PARTS)
    beginnings.begin_item(0, 2, PARTS, OWN)
    news(beginnings)
    beginnings.forget(0, range(4))
    assert news(beginnings) == [over(0, 2), over(0)]
    assert beginnings.take(0, 2) is None
    beginnings.forget(0, range(4))
    assert news(beginnings) == []


def test_what_an_earlier_engine_began_is_taken_over_and_what_it_did_is_due() -> None:
    beginnings = Beginnings()
    rows = [BegunRow(0, WHOLE, PARTS, None, "ff"), BegunRow(1, WHOLE, PARTS, ended=9.0), over(2)]
    assert beginnings.recover(rows) == [(1, WHOLE)]
    assert news(beginnings) == [over(2)]
    assert beginnings.take(0, WHOLE) == Beginning(PARTS, True)
    assert beginnings.take(1, WHOLE) == Beginning(PARTS, True, 9.0)
    assert beginnings.take(2, WHOLE) is None


def test_instances_that_are_taken_over_keep_their_parts_whatever_others_are_begun_with() -> None:
    beginnings = Beginnings()
    beginnings.recover([BegunRow(0, WHOLE, PARTS, None, "ff"), BegunRow(0, 5, {}, OWN), BegunRow(0, 6, LATER, OWN)])
    assert news(beginnings) == [BegunRow(0, 5, PARTS, OWN), BegunRow(0, 6, LATER, OWN)]
    assert beginnings.shared(0) is None, "what is looked at from now on shares something else"
    beginnings.begin(0, LATER)
    beginnings.begin_item(0, 7, LATER, OWN)
    assert beginnings.take(0, 5) == Beginning({**PARTS, "item": "33"}, True)
    assert beginnings.take(0, 7) == Beginning({**LATER, "item": "33"})


def test_a_unit_that_is_looked_at_anew_is_no_longer_that_of_the_earlier_engine() -> None:
    beginnings = Beginnings()
    beginnings.recover([BegunRow(0, WHOLE, PARTS), BegunRow(1, WHOLE, PARTS), BegunRow(1, 0, {}, OWN)])
    beginnings.begin(0, LATER)
    beginnings.begin_item(1, 0, LATER, OWN)
    beginnings.ended_earlier(0, WHOLE, 5.0)
    assert beginnings.take(0, WHOLE) == Beginning(LATER)
    assert beginnings.take(1, 0) == Beginning({**LATER, "item": "33"})


def test_an_instance_that_is_tried_again_is_begun_with_what_the_new_look_found() -> None:
    beginnings = Beginnings()
    beginnings.recover([BegunRow(0, WHOLE, PARTS), BegunRow(0, 0, {}, OWN)])
    assert beginnings.is_taken_over(0, 0)
    beginnings.begin_anew(0, 0, LATER)
    beginnings.begin_anew(0, 1, LATER)
    assert not beginnings.is_taken_over(0, 0)
    assert beginnings.take(0, 0) == Beginning({**LATER, "item": "33"})
    assert beginnings.take(0, 1) is None


def test_when_an_attempt_had_ended_is_known_before_it_is_taken() -> None:
    beginnings = Beginnings()
    beginnings.recover([BegunRow(0, WHOLE, PARTS)])
    beginnings.ended_earlier(0, WHOLE, 5.0)
    beginnings.ended_earlier(1, WHOLE, 5.0)
    assert beginnings.take(0, WHOLE) == Beginning(PARTS, True, 5.0)


def test_files_and_whatever_is_in_a_folder_are_asked_when_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    for path in (inner / "file", inner, inner.parent, folder):
        os.utime(path, (100.0, 100.0))
    assert not changed_since(str(folder), 100.0)
    assert not changed_since(str(inner / "file"), 100.0 - SLACK_SECONDS)
    assert changed_since(str(folder), 99.0)
    os.utime(inner / "file", (200.0, 200.0))
    assert changed_since(str(folder), 150.0)
    assert changed_since(str(inner / "file"), 150.0)
    assert changed_since(str(tmp_path / "nothing"), 1e12), "what cannot be told is not claimed"
