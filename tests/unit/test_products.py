"""Products within a run: kept while wanted, durable before they count, read back when they are long or from before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from weft.ports import AttemptRow, Handed, OpenRun, RunRow
from weft.runtime.products import ProductError, Products
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, NO_USAGE, LogRegion, Outcome, Request
from weft.spec.actions import Call, Command
from weft.spec.fingerprint import digest
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach, Requirements
from weft.spec.tasks import Dependency, Policy, Task

TRUE = Command(("true",))
LOG = LogRegion("slots/1", 10, 3)


class Files:
    """Logs, outputs and earlier runs as a test has them; says what was made durable."""

    def __init__(self, logs: bytes | None = b"", recalled: dict[int, str] | None = None, disk_fails: bool = False):
        self.logs = logs
        self.recalled = recalled or {}
        self.disk_fails = disk_fails
        self.synced: list[Any] = []
        self.products = "/nowhere"

    def read(self, region: LogRegion) -> bytes:
        if self.logs is None:
            raise LookupError("the log is gone")
        return self.logs

    def sync(self, region: LogRegion) -> None:
        self.read(region)
        if self.disk_fails:
            raise OSError(5, "Input/output error")
        self.synced.append(region)

    def sync_outputs(self, task: int, instance: int) -> None:
        if self.disk_fails:
            raise OSError(5, "Input/output error")
        self.synced.append((task, instance))

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        return ("out/a",) if instance == WHOLE else (f"out/{instance}",)

    def recall(self, task: int, instance: int) -> str | None:
        return self.recalled.get(instance)


def products(source: str | None, files: Files | None = None, *, is_bound: bool = True) -> tuple[Products, Task]:
    made = Product(source) if source is not None else None  # type: ignore[arg-type]
    maker = Task("maker", TRUE, policy=Policy(product=made))
    user = Task("user", TRUE, (Dependency("maker", bind="x" if is_bound else None),))
    return Products(Plan(Graph([maker, user]), "/plans"), files or Files()), user


# --- what the follower receives ------------------------------------------------------------------------------------------


def test_captured_text_reaches_the_follower() -> None:
    made, user = products("stdout")
    made.accept(0, WHOLE, Outcome(True, product="hello"))
    assert made.bound(user) == {"x": "hello"}


@pytest.mark.parametrize(
    ("output", "text"), [(b"a\n\n", "a\n"), (b"a", "a"), (b"", ""), (b"\n", ""), (b"a\r\n", "a\r")]
)
def test_long_output_is_read_from_the_log_and_loses_exactly_one_newline(output: bytes, text: str) -> None:
    made, user = products("stdout", Files(output))
    made.accept(0, WHOLE, Outcome(True, stdout=LOG))
    assert made.bound(user) == {"x": text}


def test_bytes_that_are_no_text_are_shown_with_replacement_wherever_they_come_from() -> None:
    made, user = products("stdout", Files(b"\xff\n"))
    made.accept(0, WHOLE, Outcome(True, stdout=LOG))
    assert made.bound(user) == {"x": "�"}


@pytest.mark.parametrize("is_long", [False, True])
def test_json_is_a_value_for_the_follower(is_long: bool) -> None:
    made, user = products("json", Files(b'{"a": [1]}\n'))
    outcome = Outcome(True, stdout=LOG) if is_long else Outcome(True, product='{"a": [1]}')
    assert made.accept(0, WHOLE, outcome).ok
    assert made.bound(user) == {"x": {"a": [1]}}


@pytest.mark.parametrize("is_long", [False, True])
def test_bad_json_fails_the_attempt_with_cause_type(is_long: bool) -> None:
    made, user = products("json", Files(b"{"))
    failed = made.accept(0, WHOLE, Outcome(True, stdout=LOG) if is_long else Outcome(True, product="{"))
    assert (failed.ok, failed.cause) == (False, "type")
    assert failed.detail is not None and "not JSON" in failed.detail
    with pytest.raises(ProductError):
        made.bound(user)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        '{"a": Infinity}',
        "[1e999]",
        "-1e999",
        '"\\ud800"',
        '{"\\udfff": 1}',
        "[" * 100_000,
        "[" * 201 + "]" * 201,
    ],
)
def test_what_only_python_takes_for_json_is_none(text: str) -> None:
    made, _ = products("json")
    failed = made.accept(0, WHOLE, Outcome(True, product=text))
    assert (failed.ok, failed.cause, failed.product) == (False, "type", None)


def test_strange_but_sound_json_is_taken() -> None:
    made, user = products("json")
    text = '{"deep": ' + "[" * 199 + "]" * 199 + ', "pair": "\\ud83d\\ude00", "brackets": "' + "[" * 500 + '\\"["}'
    assert made.accept(0, WHOLE, Outcome(True, product=text)).ok
    assert made.bound(user)["x"]["pair"] == "\U0001f600"


def test_a_value_that_is_nested_beyond_all_parsers_is_for_functions_only() -> None:
    maker = Task("maker", Call("m:f"), policy=Policy(product=Product("return")))
    takes = (Dependency("maker", bind="x"),)
    made = Products(Plan(Graph([maker, Task("a", TRUE, takes), Task("b", Call("m:g"), takes)]), "/plans"), Files())
    text = "[" * 500 + "]" * 500
    assert made.accept(0, WHOLE, Outcome(True, product=text)).ok
    assert made.bound(Task("b", Call("m:g"), takes)) == {"x": Handed(text)}
    with pytest.raises(ProductError, match="'maker' is nested more than 200 deep: only a Python function can take it"):
        made.bound(Task("a", TRUE, takes))


def test_a_product_that_is_required_is_kept_until_it_has_been_looked_at() -> None:
    maker = Task("j", TRUE, policy=Policy(product=Product("json")))
    user = Task("user", TRUE, (Dependency("j"),), requires=Requirements(parameters=("j.k",)))
    files = Files()
    made = Products(Plan(Graph([maker, user]), "/plans"), files)
    made.accept(0, WHOLE, Outcome(True, product='{"k": 1}'))
    assert made.text(0) == '{"k": 1}'
    made.ended(1)
    assert made.text(0) is None


def test_instances_are_gathered_in_item_order() -> None:
    made, user = products("stdout")
    made.take_items(0, ("p", "q"))
    made.accept(0, 1, Outcome(True, product="second"))
    made.accept(0, 0, Outcome(True, product="first"))
    assert made.bound(user) == {"x": ["first", "second"]}


def test_outputs_as_a_product_are_their_paths() -> None:
    made, user = products("outputs")
    assert made.bound(user) == {"x": "out/a"}
    made.take_items(0, ("p", "q"))
    assert made.bound(user) == {"x": ["out/0", "out/1"]}


def test_an_earlier_runs_product_is_recalled_and_its_absence_told() -> None:
    made, user = products("stdout", Files(recalled={WHOLE: "from before"}))
    assert made.bound(user) == {"x": "from before"}
    missing, user = products("stdout")
    with pytest.raises(ProductError, match="maker"):
        missing.bound(user)


def test_cached_instances_are_recalled_beside_those_that_ran() -> None:
    made, user = products("stdout", Files(recalled={0: "old"}))
    made.take_items(0, ("p", "q"))
    made.accept(0, 1, Outcome(True, product="new"))
    assert made.bound(user) == {"x": ["old", "new"]}
    assert made.digest(0) == digest([digest("old"), digest("new")])


# --- durable before it counts --------------------------------------------------------------------------------------------


def test_a_long_product_that_somebody_waits_for_is_durable_before_its_maker_counts() -> None:
    files = Files(b"long")
    made, _ = products("stdout", files)
    assert made.accept(0, WHOLE, Outcome(True, stdout=LOG)).ok
    assert files.synced == [LOG]


@pytest.mark.parametrize("is_bound", [True, False])
def test_what_travels_with_the_outcome_needs_no_sync(is_bound: bool) -> None:
    files = Files(b"long")
    made, _ = products("stdout", files, is_bound=is_bound)
    assert made.accept(0, WHOLE, Outcome(True, product="short")).ok
    assert not files.synced


def test_a_long_product_that_nobody_waits_for_is_durable_as_well_for_a_later_run_may_take_it_over() -> None:
    files = Files(b"long")
    made, _ = products("stdout", files, is_bound=False)
    assert made.accept(0, WHOLE, Outcome(True, stdout=LOG)).ok
    assert files.synced == [LOG]


def test_files_as_a_product_are_durable_before_their_maker_counts() -> None:
    files = Files()
    made, _ = products("outputs", files)
    assert made.accept_outputs(0, WHOLE, Outcome(True)).ok
    assert files.synced == [(0, WHOLE)]


@pytest.mark.parametrize("source", ["stdout", "outputs"])
def test_a_product_that_cannot_be_made_durable_is_none(source: str) -> None:
    made, _ = products(source, Files(b"long", disk_fails=True))
    accept = made.accept if source == "stdout" else made.accept_outputs
    failed = accept(0, WHOLE, Outcome(True, stdout=LOG))
    assert (failed.ok, failed.cause) == (False, "missing_output")
    assert failed.detail == "its product cannot be kept: [Errno 5] Input/output error"


def test_a_task_that_removed_its_own_log_has_not_made_its_product() -> None:
    made, _ = products("stdout", Files(None))
    assert made.accept(0, WHOLE, Outcome(True, stdout=LOG)).cause == "missing_output"


# --- freed and restored ----------------------------------------------------------------------------------------------------


def test_a_product_is_freed_after_its_last_use() -> None:
    made, user = products("stdout")
    made.accept(0, WHOLE, Outcome(True, product="hello"))
    made.ended(1)
    with pytest.raises(ProductError):
        made.bound(user)
    assert made.digest(0) == digest("hello"), "its digest stays: who looks at fingerprints may ask"


def test_the_digest_of_a_long_product_is_that_of_its_text() -> None:
    made, _ = products("stdout", Files(b"hello\n"), is_bound=False)
    made.accept(0, WHOLE, Outcome(True, stdout=LOG))
    assert made.digest(0) == digest("hello")
    assert made.digest(1) is None


def test_a_log_that_is_gone_has_neither_digest_nor_text() -> None:
    made, _ = products("stdout", Files(None), is_bound=False)
    made.accept(0, WHOLE, Outcome(True, stdout=LOG))
    assert (made.digest(0), made.text(0)) == (None, None)


def test_a_resumed_run_finds_its_products_the_last_good_attempts() -> None:
    def row(instance: int, attempt: int, state: str, product: str | None) -> AttemptRow:
        return AttemptRow(
            AttemptKey(0, instance, attempt), attempt, state, None, None, 0, None, NO_USAGE, Request(()),
            NO_OUTPUT, NO_OUTPUT, product, None, True,
        )  # fmt: skip

    rows = [row(0, 1, "ok", '"stale"'), row(0, 2, "ok", '"a"'), row(1, 1, "ok", '"b"'), row(1, 2, "failed", None)]
    run = RunRow("r", "key", None, "/", "running", 0.0, None, None, 1, {}, 2)
    made, user = products("json")
    made.restore(OpenRun(run, (), {0: (("p", "ok", None), ("q", "ok", None))}, rows, {}))
    assert json.dumps(made.bound(user)) == '{"x": ["a", "b"]}'


def test_a_task_that_is_mapped_over_a_stream_keeps_its_source_as_long_as_it_needs_it() -> None:
    maker = Task("maker", TRUE, policy=Policy(product=Product("json")))
    user = Task("user", TRUE, (Dependency("maker"),), policy=Policy(foreach=Foreach(stream="maker")))
    made = Products(Plan(Graph([maker, user]), "/plans"), Files())
    made.accept(0, WHOLE, Outcome(True, product="[1, 2]"))
    assert made.text(0) == "[1, 2]"
    made.ended(1)
    assert made.text(0) is None
