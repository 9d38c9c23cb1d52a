"""Products of functions from run to run: what is in a file is looked at by its stats, damage is found and said, items count by
their content."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from weft.files.inspector import FileInspector, History
from weft.ports import Flow, Handed, HandedItem, HandedList, ResultRow
from weft.runtime.products import ProductError, Products
from weft.scheduling.events import Inspected
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.spec.actions import Call, Command, Serialized
from weft.spec.fingerprint import digest
from weft.spec.graph import Graph
from weft.spec.options import Opaque
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.tasks import Dependency, Policy, Task
from weft.values import encoding
from weft.values.encoding import decode, encode
from weft.values.files import LATE_NS
from weft.values.items import ItemWriter

LIMIT = 20.0
CODE = {"code:f": "aa"}
RETURN = Policy(product=Product("return"))
STREAM = Policy(product=Product("return", stream=True))


class Files:
    """The products folder of a state folder, and what earlier runs made, through the inspector."""

    def __init__(self, state: Path, plan: Plan):
        self.products = str(state / "products")
        self.removed: list[str] = []
        self.synced: list[str] = []
        self.inspector: FileInspector | None = None
        self._plan = plan

    def recall(self, task: int, instance: int) -> str | None:
        assert self.inspector is not None
        row = self.inspector.recorded(task, instance)
        return None if row is None or row.held is None else row.held.text

    def read(self, region: LogRegion) -> bytes:
        raise LookupError(region.file)

    def sync(self, region: LogRegion) -> None: ...

    def sync_product(self, text: str) -> None:
        self.synced.append(text)

    def sync_outputs(self, task: int, instance: int) -> None: ...

    def remove_product(self, text: str) -> None:
        self.removed.append(text)

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        return ()


class Run:
    """One run of a plan over what earlier ones left."""

    def __init__(self, state: Path, tasks: Sequence[Task], rows: dict[tuple[str, str], ResultRow], number: int):
        self.plan = Plan(Graph(tasks), str(state.parent), key="registry:m:a", family="registry:m")
        self.rows = rows
        self.files = Files(state, self.plan)
        self.products = Products(self.plan, self.files)
        history = History(lambda: dict(rows), dict)
        self.inspector = FileInspector(
            self.plan, str(state), history, f"run{number}", self.products, plan_digest=digest([repr(tasks)])
        )
        self.files.inspector = self.inspector

    def look(self, name: str) -> Inspected:
        """What the inspector says of a task."""
        task = self.plan.graph.index[name]
        self.inspector.ask(task, False)
        deadline = time.monotonic() + LIMIT
        while not (found := self.inspector.answers()):
            select.select(self.inspector.bells(), (), (), max(0.0, deadline - time.monotonic()))
            assert time.monotonic() < deadline
        if found[0].items is not None:
            self.products.take_items(task, found[0].items)
        return found[0]

    def make(self, name: str, value: Any, instance: int = WHOLE) -> str:
        """An attempt makes a value; a list of a stream is written item by item."""
        task = self.plan.graph.index[name]
        product = self.plan.graph.tasks[task].policy.product
        if product is not None and product.stream:
            writer = ItemWriter(f"{self.files.products}/../streams/{name}", self.files.products)
            for item in value:
                writer.add(item)
            text = writer.close()
        else:
            text = encode(value, self.files.products)
        assert self.products.accept(task, instance, Outcome(True, product=text)).ok
        assert self.inspector.finished(task, instance) is None
        return text

    def end(self) -> None:
        """What is known becomes what the next run finds."""
        self.inspector.drain(LIMIT)
        results, _ = self.inspector.take()
        self.rows.update({(row.name, row.instance): row for row in results})
        self.close()

    def close(self) -> None:
        self.inspector.close()
        self.products.close()


class World:
    """A state folder and its runs."""

    def __init__(self, folder: Path):
        self.state = folder / ".weft"
        self.state.mkdir()
        self.rows: dict[tuple[str, str], ResultRow] = {}
        self.open: list[Run] = []

    def run(self, *tasks: Task) -> Run:
        run = Run(self.state, tasks, self.rows, len(self.open))
        self.open.append(run)
        return run

    def product_file(self, text: str) -> Path:
        reference = encoding.parse(text)
        assert reference is not None
        return Path(encoding.path_of(str(self.state / "products"), reference))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for run in made.open:
        run.close()


def typed(
    name: str, *dependencies: Dependency, policy: Policy = RETURN, code: Mapping[str, str] = CODE, **options: Any
) -> Task:
    return Task(name, Call("m:f", code=code), dependencies, parameters=options, policy=policy)


LONG = b"x" * 100_000


# --- a product in a file -----------------------------------------------------------------------------------------------


def test_a_long_product_is_found_again_by_its_stats_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.run(typed("a"))
    assert [reason.code for reason in first.look("a").reasons] == ["never_ran"]
    text = first.make("a", LONG)
    first.end()
    row = world.rows["a", ""]
    found = world.product_file(text).stat()
    assert row.held == (text, found.st_size, found.st_mtime_ns, found.st_ino)
    assert (row.plan_key, row.product) == ("registry:m", encoding.digest_of(text))
    monkeypatch.setattr(encoding, "verify", lambda *_: pytest.fail("its content was read"))
    second = world.run(typed("a"))
    assert second.look("a").fresh
    assert second.products.digest(0) is None
    assert decode(second.files.recall(0, WHOLE) or "", second.files.products) == LONG


def test_a_file_with_other_stats_and_the_same_content_still_stands_and_is_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.run(typed("a"))
    first.look("a")
    text = first.make("a", LONG)
    first.end()
    os.utime(world.product_file(text), ns=(1, 1))
    second = world.run(typed("a"))
    assert second.look("a").fresh
    second.end()
    monkeypatch.setattr(encoding, "verify", lambda *_: pytest.fail("its content was read again"))
    assert world.run(typed("a")).look("a").fresh


@pytest.mark.parametrize("damage", ["cut", "flipped", "flipped unseen", "gone", "aside"])
def test_damage_is_found_and_said_and_the_product_made_again(world: World, damage: str) -> None:
    first = world.run(typed("a"))
    first.look("a")
    path = world.product_file(first.make("a", LONG))
    first.end()
    match damage:
        case "cut":
            os.truncate(path, 10)
        case "flipped":
            path.write_bytes(b"y" + LONG[1:])
        case "flipped unseen":
            before = path.stat()
            path.write_bytes(b"y" + LONG[1:])
            while path.stat().st_ctime_ns - before.st_mtime_ns <= LATE_NS:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "gone":
            path.unlink()
        case "aside":
            path.rename(f"{path}.damaged")
    second = world.run(typed("a"))
    answer = second.look("a")
    assert not answer.fresh
    (reason,) = answer.reasons
    assert reason.code == ("product_missing" if damage == "gone" else "product_damaged")
    assert str(path) in reason.text
    second.make("a", LONG)
    second.end()
    assert path.read_bytes() == LONG
    assert world.run(typed("a")).look("a").fresh


def test_short_products_leave_no_file_and_ask_for_none(world: World) -> None:
    first = world.run(typed("a"), typed("b"))
    for name, value in (("a", 1), ("b", (1, 2))):
        first.look(name)
        first.make(name, value)
    first.end()
    assert world.rows["a", ""].held is None, "the run's record has it"
    held = world.rows["b", ""].held
    assert held is not None and held.mtime_ns == 0
    second = world.run(typed("a"), typed("b"))
    assert second.look("a").fresh and second.look("b").fresh


# --- what a fingerprint is made of -------------------------------------------------------------------------------------


def changed(world: World, before: Task, after: Task) -> list[tuple[str, str | None, str | None]]:
    """(part, before, after) of the reasons why `after` runs where `before` did."""
    first = world.run(before)
    first.look(before.name)
    first.make(before.name, 1)
    first.end()
    return [(reason.part or "", reason.before, reason.after) for reason in world.run(after).look(after.name).reasons]


def test_the_changed_part_is_named_with_what_it_was(world: World) -> None:
    assert changed(world, typed("a", k=1), typed("a", k=2)) == [("parameters:k", "1", "2")]


def test_a_changed_function_is_named(world: World) -> None:
    helper = {"code:f": "aa", "code:helper": "bb"}
    found = changed(world, typed("a", code=helper), typed("a", code={**helper, "code:helper": "cc"}))
    assert found == [("code:helper", "bb", "cc")]


def test_where_the_function_lies_is_no_part_of_a_typed_task(world: World) -> None:
    by_value = Call(Serialized(None, "AA==", "cloudpickle"), code=CODE)
    for action in (Call("elsewhere:g", code=CODE), by_value):
        assert changed(world, typed("a"), Task("a", action, policy=RETURN)) == [("", None, None)], "up to date"


def test_a_changed_type_is_named(world: World) -> None:
    positive = Policy(product=Product("return", "int"))
    assert ("type", "any", "int") in changed(world, typed("a"), typed("a", policy=positive))


def test_values_that_are_no_plain_data_count_by_their_digest(world: World) -> None:
    one, other = Opaque("AA==", "11" * 8, "<Model 1>"), Opaque("AB==", "22" * 8, "<Model 2>")
    assert changed(world, typed("a", m=one), typed("a", m=other)) == [("parameters:m", "<Model 1>", "<Model 2>")]
    assert changed(world, typed("b", m=one), typed("b", m=Opaque("ZZ==", "11" * 8, "<Model 1>")))[0][0] == ""


def test_the_order_of_keys_counts_neither_in_values_nor_in_products(world: World) -> None:
    one, other = typed("a", k={"x": 1, "y": [{"z": 1, "w": 2}]}), typed("a", k={"y": [{"w": 2, "z": 1}], "x": 1})
    assert changed(world, one, other) == [("", None, None)], "up to date"
    tasks = (typed("maker"), typed("use", Dependency("maker", bind="m")))
    for made in ({"x": 1, "y": 2}, {"y": 2, "x": 1}):
        run = world.run(*tasks)
        run.look("maker")
        run.make("maker", made)
        answer = run.look("use")
        run.make("use", 1)
        run.end()
    assert answer.fresh


def test_a_secret_is_covered(world: World) -> None:
    one, other = typed("a", password="hunter2"), typed("a", password="hunter3")
    (found,) = changed(world, one, other)
    assert found[0] == "parameters:password"
    assert "hunter" not in f"{found}"


def test_an_op_parameter_is_out(world: World) -> None:
    policy = Policy(product=Product("return"), roles={"threads": "op"})
    one, other = typed("a", policy=policy, threads=1), typed("a", policy=policy, threads=8)
    assert changed(world, one, other) == [("", None, None)]


# --- items -------------------------------------------------------------------------------------------------------------


MAPPED = Policy(product=Product("return"), foreach=Foreach(stream="rows", bind="row"))
EACH = (typed("rows", policy=STREAM), typed("use", Dependency("rows", bind="row", each=True), policy=MAPPED))


def over(world: World, items: Sequence[Any]) -> tuple[Run, Inspected]:
    """A run in which `rows` made these items, and what is said of `use`; it makes what is not up to date."""
    run = world.run(*EACH)
    if not run.look("rows").fresh or items is not None:
        run.make("rows", items)
    answer = run.look("use")
    for instance in set(range(len(answer.items or ()))) - answer.fresh_items:
        run.make("use", [items[instance]], instance)
    run.end()
    return run, answer


def test_one_new_item_anywhere_computes_one_item(world: World) -> None:
    items: list[Any] = [{"k": 1}, "b", (3,)]
    _, first = over(world, items)
    assert (first.items, first.fresh_items) == (("0", "b", "2"), frozenset())
    assert all(instance.startswith("#") for name, instance in world.rows if name == "use")
    _, same = over(world, items)
    assert same.fresh
    _, more = over(world, ["new", *items])
    assert more.items == ("new", "1", "b", "3")
    assert more.fresh_items == frozenset({1, 2, 3})


def test_items_are_hashed_again_whatever_the_stats_of_their_log_say(world: World) -> None:
    items = [{"k": "x" * 1000}, {"k": "y" * 1000}]
    over(world, items)
    held = world.rows["rows", ""].held
    assert held is not None
    path = world.product_file(held.text)
    found = path.stat()
    path.write_bytes(path.read_bytes().replace(b"yy", b"zz"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    second = world.run(*EACH)
    (reason,) = second.look("rows").reasons
    assert reason.code == "product_damaged"
    second.make("rows", items)
    second.end()
    assert over(world, items)[1].fresh


def test_damage_to_the_file_of_an_item_is_damage_to_its_stream(world: World) -> None:
    items = [b"a" * 100_000, "short", b"b" * 100_000]
    over(world, items)
    assert world.run(*EACH).look("rows").fresh
    path = world.product_file(encode(items[2], str(world.state / "products")))
    os.truncate(path, 10)
    third = world.run(*EACH)
    (reason,) = third.look("rows").reasons
    assert (reason.code, "item 2" in reason.text) == ("product_damaged", True)
    third.make("rows", items)
    third.end()
    assert over(world, items)[1].fresh
    assert path.read_bytes() == items[2]


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_what_took_a_stream_is_remembered_once_whether_it_was_compared_before_it_began_or_not(
    world: World, is_looked_at: bool
) -> None:
    tasks = (typed("rows", policy=STREAM), typed("total", Dependency("rows", bind="rows")))
    run = world.run(*tasks)
    run.look("rows")
    run.make("rows", [1, 2])
    if is_looked_at:
        run.look("total")
    run.make("total", 3)
    run.inspector.remember(1)
    run.inspector.drain(LIMIT)
    results, _ = run.inspector.take()
    assert [row.name for row in results] == ["rows", "total"]
    run.close()


def test_a_number_that_is_its_own_place_is_the_same_item_elsewhere(world: World) -> None:
    over(world, [0, 1])
    assert over(world, [1, 0])[1].fresh


def test_what_stands_in_for_an_item_is_found_by_its_content(world: World) -> None:
    over(world, [{"k": 1}, {"k": 2}])
    run, answer = over(world, [{"k": 2}, {"k": 1}])
    assert answer.fresh
    assert [run.files.recall(1, instance) for instance in (0, 1)] == ['[{"k": 2}]', '[{"k": 1}]']


def test_an_item_is_handed_over_by_its_place_in_the_log(world: World) -> None:
    run = world.run(
        *EACH, Task("cmd", Command(("echo", "{row}")), (Dependency("rows", "row", each=True),), policy=MAPPED)
    )
    run.look("rows")
    text = run.make("rows", [{"k": 1}, (2,)])
    _, use, command = run.plan.graph.tasks
    assert run.products.item(use, 1) == HandedItem(text, 1)
    assert run.products.item(command, 0) == {"k": 1}
    with pytest.raises(ProductError, match="no plain data"):
        run.products.item(command, 1)


# --- what followers receive --------------------------------------------------------------------------------------------


def test_functions_get_references_and_others_plain_data(world: World) -> None:
    run = world.run(
        typed("long"), typed("odd"), typed("text"),
        typed("use", Dependency("long", "a"), Dependency("odd", "b"), Dependency("text", "c")),
        Task("cmd", Command(("echo", "{c}")), (Dependency("text", "c"),)),
        Task("bad", Command(("echo", "{b}")), (Dependency("odd", "b"),)),
    )  # fmt: skip
    texts = {name: run.make(name, value) for name, value in {"long": LONG, "odd": (1,), "text": "x" * 70_000}.items()}
    *_, use, command, bad = run.plan.graph.tasks
    assert run.products.bound(use) == {
        "a": Handed(texts["long"]),
        "b": Handed(texts["odd"]),
        "c": Handed(texts["text"]),
    }
    assert run.products.bound(command) == {"c": "x" * 70_000}
    with pytest.raises(ProductError, match="'odd' is no plain data"):
        run.products.bound(bad)
    assert run.files.synced == [texts[name] for name in ("long", "odd", "text")]


def test_several_dependencies_under_one_parameter_are_one_list(world: World) -> None:
    each = Policy(product=Product("return"), foreach=Foreach(values=(1, 2)))
    run = world.run(
        typed("one"), typed("many", policy=each), typed("odd"),
        typed("plain", Dependency("one", "xs", gather=True), Dependency("many", "xs", gather=True)),
        typed("all", Dependency("one", "xs", gather=True), Dependency("odd", "xs", gather=True)),
        typed("rows", policy=STREAM),
        typed("items", Dependency("rows", "xs", gather=True), Dependency("one", "xs", gather=True)),
    )  # fmt: skip
    run.look("many")
    run.make("one", "a")
    for instance in (1, 0):
        run.make("many", instance * 10, instance)
    odd = run.make("odd", (1,))
    rows = run.make("rows", [1, 2])
    *_, plain, both, _, items = run.plan.graph.tasks
    assert run.products.bound(plain) == {"xs": ["a", 0, 10]}
    assert run.products.bound(both) == {"xs": HandedList(['"a"', odd])}
    assert run.products.bound(items) == {"xs": HandedList([f"*{rows}", '"a"'])}


def test_a_complete_stream_is_a_flow_over_its_log(world: World) -> None:
    run = world.run(typed("rows", policy=STREAM), typed("use", Dependency("rows", "xs")))
    text = run.make("rows", [1, 2])
    assert run.products.bound(run.plan.graph.tasks[1]) == {"xs": Flow(0, str(world.product_file(text)), "xs")}


def test_a_damaged_product_is_set_aside_when_a_command_wants_it(world: World) -> None:
    run = world.run(typed("text"), Task("cmd", Command(("echo", "{c}")), (Dependency("text", "c"),)))
    path = world.product_file(run.make("text", "x" * 70_000))
    os.truncate(path, 5)
    with pytest.raises(ProductError, match=r"5 bytes, not 70002 \(set aside as .*\.damaged\); run again"):
        run.products.bound(run.plan.graph.tasks[1])
    assert not path.exists()


# --- kept only while it is needed --------------------------------------------------------------------------------------


def test_a_passing_product_loses_its_file_after_its_last_use(world: World) -> None:
    passing = Policy(product=Product("return"), cache="memory")
    run = world.run(
        typed("a", policy=passing), typed("b", Dependency("a", "x")), typed("c", Dependency("a", "x")), typed("d")
    )
    text = run.make("a", LONG)
    run.products.ended(1)
    assert not run.files.removed
    run.products.ended(2)
    assert run.files.removed == [text]


def test_a_passing_product_whose_follower_failed_keeps_its_file_for_a_resume(world: World) -> None:
    passing = Policy(product=Product("return"), cache="memory")
    run = world.run(typed("a", policy=passing), typed("b", Dependency("a", "x")))
    run.make("a", LONG)
    run.products.ended(1, is_ok=False)
    assert not run.files.removed


def test_an_instance_over_a_mapped_task_counts_by_what_that_made(world: World) -> None:
    makers = Policy(product=Product("return"), foreach=Foreach(values=(1, 2), bind="v"))
    users = Policy(product=Product("return"), foreach=Foreach(stream="many", bind="x"))
    tasks = (typed("many", policy=makers), typed("use", Dependency("many", "x", each=True), policy=users))
    for made, fresh in (({0: "a", 1: "b"}, set()), ({0: "a", 1: "b"}, {0, 1}), ({0: "b", 1: "c"}, {0})):
        run = world.run(*tasks)
        run.look("many")
        for instance, value in made.items():
            run.make("many", value, instance)
        answer = run.look("use")
        assert (answer.items, answer.fresh_items) == (("1", "2"), frozenset(fresh))
        for instance in {0, 1} - fresh:
            run.make("use", [made[instance]], instance)
        run.end()


def test_items_that_come_while_a_task_goes_on_are_compared_as_they_come(world: World) -> None:
    over(world, ["a", "b", "c"])
    run = world.run(*EACH)
    log = str(world.state / "streams" / "live")
    run.products._streams = Growing(log)
    writer = ItemWriter(log, run.files.products)
    seen = []
    for value in ("new", "b", "c"):
        writer.add(value)
        writer.flush()
        answer = run.look("use")
        seen.append((answer.items, answer.fresh_items))
    writer.abandon()
    assert seen == [
        (("new",), frozenset()),
        (("new", "b"), frozenset({1})),
        (("new", "b", "c"), frozenset({1, 2})),
    ]
    run.make("use", ["new"], 0)
    run.end()
    assert over(world, ["c", "new"])[1].fresh


class Growing:
    """A stream that is being made."""

    def __init__(self, log: str):
        self.log = log

    def flow(self, maker: int, bind: str) -> Flow:
        return Flow(7, self.log, bind)

    def log_of(self, maker: int) -> str | None:
        return self.log

    def is_open(self, maker: int) -> bool:
        return True
