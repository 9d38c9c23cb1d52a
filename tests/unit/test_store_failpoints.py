"""Faults ordered from outside."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from weft import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def test_an_idle_failpoint_does_nothing() -> None:
    failpoints.arm("other:EIO")
    failpoints.hit("here")


def test_an_armed_one_raises_the_systems_error_at_every_hit() -> None:
    failpoints.arm("here:ENOSPC, there:EIO")
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            failpoints.hit("here")
        assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as caught:
        failpoints.hit("there")
    assert caught.value.errno == errno.EIO


def test_only_the_nth_hit_acts() -> None:
    failpoints.arm_from({"WEFT_FAILPOINT": "here:EIO:3"})
    failpoints.hit("here")
    failpoints.hit("here")
    with pytest.raises(OSError, match="here"):
        failpoints.hit("here")
    failpoints.hit("here")


def test_an_answer_can_be_lost() -> None:
    failpoints.arm("here:unknown")
    with pytest.raises(failpoints.LostAnswer):
        failpoints.hit("here")


@pytest.mark.parametrize("setting", ["here", "here:boom", "here:kill:soon", "here:EIO:-1"])
def test_a_bad_spelling_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="NAME:ACTION"):
        failpoints.arm(setting)


def test_declared_failpoints_are_known_with_their_meaning() -> None:
    import weft.store.sqlite  # noqa: F401 - declares its own

    assert {"store.commit.before", "store.commit.written", "store.commit.after", "store.own.locked"} <= set(
        failpoints.POINTS
    )
    assert all(failpoints.POINTS.values())
