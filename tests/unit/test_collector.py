"""The cyclic garbage collector is given back as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from weft import collector
from weft.collector import SPARED_AFTER, collector_paused, collector_spared


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_a_pause_ends_with_its_block_also_by_an_error() -> None:
    with pytest.raises(KeyError), collector_paused():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_a_pause_inside_another_does_not_end_it() -> None:
    with collector_paused():
        with collector_paused():
            pass
        assert not gc.isenabled()


def test_who_had_switched_it_off_finds_it_off() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()


def test_what_is_made_in_a_pause_is_never_walked_once_the_process_says_that_it_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector, "_is_kept", False)
    before = gc.get_freeze_count()
    with collector.collector_paused():
        pass
    assert gc.get_freeze_count() == before
    collector.keep_what_is_made()
    try:
        with collector.collector_paused():
            made = [[] for _ in range(1000)]
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()


def test_it_is_spared_until_the_last_one_is_done_in_whatever_order_they_end() -> None:
    first, second = collector_spared(), collector_spared()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() == (SPARED_AFTER, 10, 10)
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == SPARED_AFTER
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("given", [0, 2 * SPARED_AFTER])
def test_who_has_it_collect_less_or_never_keeps_that(given: int) -> None:
    gc.set_threshold(given, 10, 10)
    with collector_spared():
        assert gc.get_threshold()[0] == given
    assert gc.get_threshold()[0] == given
