"""Bugs put into the engine and the recovery on purpose: the simulated world must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from properties.engine_world import Faults, World
from weft.errors import StoreError, WeftError
from weft.ports import Finished, OpenRun, Report, Reports
from weft.runtime import recovery
from weft.runtime.engine import Engine
from weft.runtime.products import Products
from weft.scheduling.commands import ReopenTask
from weft.scheduling.events import AttemptAdopted, Event, ItemsRecovered, RequestRecovered, TaskRecovered

SEEDS = 150
Patch = pytest.MonkeyPatch


def starts_leave_before_they_are_durable(patch: Patch) -> None:
    commit = Engine._commit

    def hasty(self: Engine) -> None:
        starts, self._starts = self._starts, []
        self._submit(starts)
        commit(self)

    patch.setattr(Engine, "_commit", hasty)


def ends_are_told_before_they_are_durable(patch: Patch) -> None:
    commit = Engine._commit

    def talkative(self: Engine) -> None:
        told, self._tell = self._tell, []
        self._audience.inform(told)
        commit(self)

    patch.setattr(Engine, "_commit", talkative)


def receipts_count_before_their_outcomes(patch: Patch) -> None:
    def eager(self: Engine, news: Reports, events: list[Event]) -> None:
        self._ledger.record((), news.offsets)
        if news.offsets:
            self._ledger.commit()
        for report in news.reports:
            self._read_report(report, events)

    patch.setattr(Engine, "_read", eager)


def a_full_disk_is_taken_for_a_commit(patch: Patch) -> None:
    def careless(self: Engine, write: Callable[[], None]) -> None:
        try:
            write()
        except StoreError:
            pass

    patch.setattr(Engine, "_make_durable", careless)


def facts_of(*kinds: type) -> Callable[[Patch], None]:
    """Recovery forgets facts of these kinds."""

    def plant(patch: Patch) -> None:
        recover = recovery.recover

        def forgetful(*words: Any, **more: Any) -> recovery.Recovered:
            found = recover(*words, **more)
            facts = [fact for fact in found.facts if not isinstance(fact, kinds)]
            return recovery.Recovered(facts, found.begun, found.reports, found.done)

        patch.setattr(recovery, "recover", forgetful)

    plant.__name__ = f"recovery_forgets_{kinds[0].__name__}"
    return plant


def recovery_forgets_scaling(patch: Patch) -> None:
    requests = recovery._requests
    patch.setattr(recovery, "_requests", lambda *all: [fact._replace(request=None) for fact in requests(*all)])  # type: ignore[attr-defined]


def recovery_forgets_which_instances_are_ok(patch: Patch) -> None:
    recover = recovery.recover

    def forgetful(*words: Any, **more: Any) -> recovery.Recovered:
        found = recover(*words, **more)
        facts = [fact._replace(ok=frozenset()) if isinstance(fact, ItemsRecovered) else fact for fact in found.facts]
        return recovery.Recovered(facts, found.begun, found.reports, found.done)

    patch.setattr(recovery, "recover", forgetful)


def ends_that_nobody_heard_are_forgotten(patch: Patch) -> None:
    reattach = recovery._reattach

    def deaf(*words: Any) -> Reports:
        news = reattach(*words)
        kept: list[Report] = [
            one if not isinstance(one, Finished) or not one.outcome.ok else recovery._lost(row)
            for one in news.reports
            for row in words[1]
            if not isinstance(one, Finished) or row.key == one.key
        ]
        return Reports(kept, news.offsets)

    patch.setattr(recovery, "_reattach", deaf)


def what_lives_is_taken_for_lost(patch: Patch) -> None:
    reattach = recovery._reattach

    def blind(*words: Any) -> Reports:
        news = reattach(*words)
        told = {one.key for one in news.reports if isinstance(one, Finished)}
        return Reports([*news.reports, *(recovery._lost(row) for row in words[1] if row.key not in told)], news.offsets)

    patch.setattr(recovery, "_reattach", blind)


def failed_instances_are_not_opened_again(patch: Patch) -> None:
    reopen = recovery.reopen

    def partial(opened: OpenRun, redo: set[int]) -> Sequence[ReopenTask]:
        ended = {row.task for row in opened.tasks if row.state not in ("pending", "running")}
        return [fact for fact in reopen(opened, redo) if fact.task in ended]

    patch.setattr(recovery, "reopen", partial)


def products_are_not_restored(patch: Patch) -> None:
    patch.setattr(Products, "restore", lambda self, opened: None)


def waiting_facts_are_lost_at_the_end(patch: Patch) -> None:
    end = Engine._end

    def hasty(self: Engine, *words: Any) -> Any:
        return end(self, *words)

    patch.setattr(Engine, "_end", hasty)
    commit = Engine._commit
    patch.setattr(
        Engine, "_commit", lambda self: None if self._scheduler.is_finished and not self._starts else commit(self)
    )


PLANTED: list[Callable[[Patch], None]] = [
    starts_leave_before_they_are_durable,
    ends_are_told_before_they_are_durable,
    receipts_count_before_their_outcomes,
    a_full_disk_is_taken_for_a_commit,
    facts_of(AttemptAdopted),
    facts_of(TaskRecovered),
    facts_of(RequestRecovered),
    recovery_forgets_scaling,
    recovery_forgets_which_instances_are_ok,
    ends_that_nobody_heard_are_forgotten,
    what_lives_is_taken_for_lost,
    failed_instances_are_not_opened_again,
    products_are_not_restored,
    waiting_facts_are_lost_at_the_end,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_bug_planted_in_the_engine_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    for seed in range(SEEDS):
        for faults in (None, Faults(crashes=0.15)):
            try:
                world = World(seed, faults)
                assert world.run() == World(seed, Faults()).run() or world.cancelled
            except (AssertionError, WeftError, KeyError):
                return
    pytest.fail(f"{plant.__name__} was not found in {SEEDS} worlds")
