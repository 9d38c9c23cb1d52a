"""Need: the decision whether a task must run, and the reasons it gives."""

from __future__ import annotations

import pytest

from weft.scheduling.freshness import MISSING, UP_TO_DATE, Recorded, decide, part, shown
from weft.scheduling.reasons import Reason

PARTS = {"kind": "aa", "code": "bb", "parameters:k": "cc|2"}
RECORDED = Recorded(PARTS, {"out": "dd"})


def reasons(**changes: object) -> tuple[Reason, ...]:
    given = {"parts": PARTS, "recorded": RECORDED, "outputs": {"out": "dd"}, **changes}
    decision = decide(**given)  # type: ignore[arg-type]
    assert not decision.fresh
    return decision.reasons


def test_equal_parts_and_outputs_are_up_to_date() -> None:
    assert decide(dict(PARTS), RECORDED, {"out": "dd"}) is UP_TO_DATE


def test_what_never_ran_must_run() -> None:
    assert [reason.code for reason in reasons(recorded=None)] == ["never_ran"]


def test_force_wins_over_everything() -> None:
    assert [reason.code for reason in reasons(force=True)] == ["forced"]


def test_a_changed_parameter_is_told_with_both_values() -> None:
    (reason,) = reasons(parts={**PARTS, "parameters:k": "ee|4"})
    assert reason == Reason("part_changed", "parameter k changed from 2 to 4", "parameters:k", "2", "4")


def test_a_changed_part_without_a_shown_value_is_told_by_short_digests() -> None:
    (reason,) = reasons(parts={**PARTS, "code": "0123456789abcdef"})
    assert reason == Reason("part_changed", "code changed", "code", "bb", "01234567")


def test_values_that_look_alike_but_differ_in_type_are_still_a_change() -> None:
    (reason,) = reasons(parts={**PARTS, "parameters:k": "ff|2"})
    assert (reason.code, reason.text) == ("part_changed", "parameter k changed")


def test_added_and_removed_parts_are_told_apart() -> None:
    found = reasons(parts={"kind": "aa", "code": "bb", "inputs:x": "11"})
    assert [(reason.code, reason.part) for reason in found] == [
        ("part_added", "inputs:x"),
        ("part_removed", "parameters:k"),
    ]
    assert found[0].text == "input x is new"
    assert found[1].before == "2"


@pytest.mark.parametrize(
    ("now", "code"), [(MISSING, "output_missing"), ("ee", "output_changed")], ids=["missing", "changed"]
)
def test_an_output_that_is_not_as_it_was_left_must_be_made_again(now: str, code: str) -> None:
    (reason,) = reasons(outputs={"out": now})
    assert (reason.code, reason.part) == (code, "outputs:out")


def test_an_output_that_was_not_recorded_is_no_finished_work() -> None:
    assert [reason.code for reason in reasons(outputs={"out": "dd", "more": "ee"})] == ["output_changed"]


def test_every_difference_gives_its_own_reason() -> None:
    found = reasons(parts={**PARTS, "kind": "x", "code": "y"}, outputs={"out": MISSING})
    assert [reason.part for reason in found] == ["kind", "code", "outputs:out"]


@pytest.mark.parametrize("value", ["x" * 61, "two\nlines", "\x1b[31m"])
def test_a_part_shows_only_short_plain_values(value: str) -> None:
    assert part("0123456789abcdef", value) == "0123456789abcdef"


def test_a_shown_value_may_hold_the_separator() -> None:
    assert shown(part("aa", "a|b")) == "a|b"


def test_a_reason_as_json_leaves_out_what_is_unknown() -> None:
    assert Reason("cached", "up to date").as_json() == {"code": "cached", "text": "up to date"}
    assert Reason("c", "t", "p", "1", "2").as_json() == {
        "code": "c",
        "text": "t",
        "part": "p",
        "before": "1",
        "after": "2",
    }
