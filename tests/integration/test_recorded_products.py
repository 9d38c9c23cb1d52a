"""What recorded runs handed on is found by name and place, one by one and all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from weft.ports import NewRun
from weft.scheduling.commands import BeginAttempt, CloseAttempt, SettleInstance, StartAttempt, TakeItems
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, Outcome, Request
from weft.store.archive import SqliteArchive
from weft.store.products import ONE_BY_ONE, RecordedProducts
from weft.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(str(tmp_path / ".weft"), "process")
    yield made
    made.close()


def run(
    store: SqliteStore,
    number: int,
    products: Mapping[str, str],
    key: str = "plan",
    items: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    """A run whose tasks handed these on; of a mapped task (items) each instance `PRODUCT-INSTANCE`."""
    ident = f"{number:032x}"
    names = list(products)
    ledger = store.open_run(NewRun(ident, key, None, "/", 0.0, {}, b"{}", names, range(len(names))))
    nonce = 0
    for task, (name, product) in enumerate(products.items()):
        mapped = (items or {}).get(name)
        if mapped is not None:
            ledger.record([TakeItems(task, mapped)], {})
        for instance in range(len(mapped)) if mapped is not None else (WHOLE,):
            nonce += 1
            attempt = AttemptKey(task, instance, 1)
            text = product if mapped is None else f"{product}-{instance}"
            facts = [
                StartAttempt(attempt, nonce, Request(()), 0, False, False),
                BeginAttempt(attempt, nonce, 0.0, NO_OUTPUT, NO_OUTPUT),
                CloseAttempt(attempt, nonce, Outcome(True, product=text), None),
            ]
            ledger.record(facts if mapped is None else [*facts, SettleInstance(task, instance, "ok", None, None)], {})
    ledger.commit()
    ledger.finish("ok", 0, 0.0)
    ledger.close()
    return ident


def test_many_products_are_read_in_one_question(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {f"t{number}": str(number) for number in range(50)}
    ident = run(store, 1, made)
    asked: list[int | None] = []
    ask = SqliteArchive.products
    monkeypatch.setattr(
        SqliteArchive, "products", lambda self, run, task=None: asked.append(task) or ask(self, run, task)
    )
    recorded = RecordedProducts(store.folder)
    assert {name: recorded.text(ident, name) for name in made} == made
    assert recorded.text(ident, "nobody") is None
    assert asked == [*range(ONE_BY_ONE), None]


def test_an_instance_is_found_by_its_place_and_by_its_item(store: SqliteStore) -> None:
    ident = run(store, 1, {"a": "x", "m": "y"}, items={"m": ("p", "")})
    recorded = RecordedProducts(store.folder)
    assert (recorded.text(ident, "m", 1), recorded.of_item(ident, "m", "")) == ("y-1", "y-1")
    assert recorded.of_item(ident, "m", "q") is None
    assert recorded.last_items("plan", "m") == (ident, ("p", ""))
    assert recorded.last_items("plan", "a") is None


def test_the_newest_of_a_plan_counts_or_of_its_family(store: SqliteStore) -> None:
    run(store, 1, {"a": "one"}, "registry:m:a")
    second = run(store, 2, {"b": "zero", "a": "two"}, "registry:m:b")
    run(store, 3, {"a": "three"}, "registry:more:a")
    recorded = RecordedProducts(store.folder)
    assert recorded.last("registry:m:a", "", "a") == "one"
    assert recorded.last("registry:m:a", "registry:m", "a") == "two"
    assert recorded.last("registry:m:a", "registry:m", "a", before=second) == "one"
    assert recorded.last("registry:m:a", "registry:m", "c") is None


def test_a_folder_without_a_database_has_none(tmp_path: Path) -> None:
    recorded = RecordedProducts(str(tmp_path))
    assert recorded.last("plan", "", "a") is None
    assert recorded.last_items("plan", "a") is None
