"""Products within a run: kept while wanted, freed after the last use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weft.runtime.products import ProductError, Products
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Policy, Task

TRUE = Command(("true",))


def products(
    source: str, *, recall: Callable[[int], str | None] = lambda _: None, logs: bytes = b""
) -> tuple[Products, Task]:
    maker = Task("maker", TRUE, policy=Policy(product=Product(source)))  # type: ignore[arg-type]
    user = Task("user", TRUE, (Dependency("maker", bind="x"),))
    plan = Plan(Graph([maker, user]), "/work")
    return Products(plan, read=lambda _: logs, recall=recall), user


def test_captured_text_reaches_the_follower() -> None:
    made, user = products("stdout")
    made.accept(0, WHOLE, Outcome(True, product="hello"))
    assert made.bound(user) == {"x": "hello"}


def test_long_output_is_read_from_the_log_and_loses_one_newline() -> None:
    made, user = products("stdout", logs=b"a\n\n")
    made.accept(0, WHOLE, Outcome(True, stdout=LogRegion("f", 0, 3)))
    assert made.bound(user) == {"x": "a\n"}


def test_json_is_a_value_for_the_follower_and_bad_json_a_failure() -> None:
    made, user = products("json")
    assert made.accept(0, WHOLE, Outcome(True, product='{"a": [1]}')).ok
    assert made.bound(user) == {"x": {"a": [1]}}
    failed = made.accept(0, WHOLE, Outcome(True, product="{"))
    assert (failed.ok, failed.cause) == (False, "type")
    assert failed.detail is not None and "not JSON" in failed.detail


def test_instances_are_gathered_in_item_order() -> None:
    made, user = products("stdout")
    made.take_items(0, ("p", "q"))
    made.accept(0, 1, Outcome(True, product="second"))
    made.accept(0, 0, Outcome(True, product="first"))
    assert made.bound(user) == {"x": ["first", "second"]}


def test_an_earlier_runs_product_is_recalled_and_its_absence_told() -> None:
    made, user = products("stdout", recall=lambda _: "from before")
    assert made.bound(user) == {"x": "from before"}
    missing, user = products("stdout")
    with pytest.raises(ProductError, match="maker"):
        missing.bound(user)


def test_a_product_is_freed_after_its_last_use() -> None:
    made, user = products("stdout")
    made.accept(0, WHOLE, Outcome(True, product="hello"))
    made.ended(1)
    with pytest.raises(ProductError):
        made.bound(user)
