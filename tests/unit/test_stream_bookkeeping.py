"""Who makes items, who takes them, how far ahead a maker may be: `runtime.streams`."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.ports import AttemptRow, OpenRun, RunRow, Taken, Yielded
from weft.runtime.streams import FREE, WINDOW_ITEMS, Allow, Announce, ItemsRead, Remember, Stop, StreamOrder, Streams
from weft.scheduling.commands import SettleInstance, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, Outcome, Request, Usage
from weft.spec.actions import Call
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.tasks import Dependency, Policy, Task

OK = Outcome(True)
ERROR = Outcome(False, "exception", detail="ValueError: no")


def stream(name: str, *iterated: str) -> Task:
    edges = tuple(Dependency(maker, maker) for maker in iterated)
    return Task(name, Call("m:f"), dependencies=edges, policy=Policy(product=Product("return", "any", True)))


def taker(name: str, *iterated: str) -> Task:
    return Task(name, Call("m:f"), dependencies=tuple(Dependency(maker, maker) for maker in iterated))


def mapped(name: str, maker: str) -> Task:
    edges = (Dependency(maker, "item", each=True),)
    return Task(name, Call("m:f"), dependencies=edges, policy=Policy(foreach=Foreach(stream=maker, bind="item")))


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=32).hexdigest()


class Bench:
    """Streams with attempts by task name; nonces count up. logs: what can be read by path."""

    def __init__(self, *tasks: Task, selected: list[int] | None = None):
        self.plan = Plan(Graph(tasks), root="/plan")
        self.logs: dict[str, list[str]] = {}
        self.streams = Streams(self.plan, selected, "/run/streams", self._read)
        self.nonces: dict[str, int] = {}
        self.keys: dict[str, AttemptKey] = {}
        self.made: dict[str, int] = {}
        self.attempts = 0

    def _read(self, path: str, first: int) -> ItemsRead:
        texts = self.logs.get(path, [])[first:]
        return ItemsRead(tuple(texts), tuple(map(digest, texts)), len(texts))

    def task(self, name: str) -> int:
        return self.plan.graph.index[name]

    def start(self, name: str, instance: int = WHOLE) -> None:
        self.attempts += 1
        key = self.keys[name] = AttemptKey(self.task(name), instance, self.attempts)
        self.nonces[name] = self.attempts
        self.made[name] = 0
        self.streams.submitted(key, self.attempts, False)
        self.streams.began(key, self.attempts)
        for edge in self.plan.graph.tasks[key.task].dependencies:
            self.take(name, edge.bind or "", 0)

    def make(self, name: str, items: int, *, size: int = 10, prefix: str = "") -> bool:
        first = self.made[name]
        texts = [f"{prefix}{number}" for number in range(first, first + items)]
        self.made[name] += items
        report = Yielded(
            self.keys[name], self.nonces[name], first, tuple(texts), tuple(map(digest, texts)), size * items
        )
        return self.streams.made(report)

    def take(self, name: str, maker: str, position: int) -> None:
        self.streams.took(Taken(self.keys[name], self.nonces[name], maker, position))

    def end(self, name: str, outcome: Outcome = OK) -> Outcome:
        return self.streams.ended(self.keys[name], self.nonces[name], outcome)

    def settle(self, name: str, state: str = "ok", cause: str | None = None) -> None:
        self.streams.noted(SettleTask(self.task(name), state, cause, None, 1))  # type: ignore[arg-type]

    def orders(self) -> list[StreamOrder]:
        return list(self.streams.orders())

    def credit(self, name: str) -> int | None:
        """What the maker was allowed last by the orders that wait."""
        return next(
            (one.items for one in reversed(self.orders()) if isinstance(one, Allow) and one.task == self.task(name)),
            None,
        )


def test_a_maker_without_a_live_consumer_is_free() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.make("rows", WINDOW_ITEMS)
    assert bench.credit("rows") == FREE


def test_a_slow_consumer_holds_its_maker_back_by_the_window() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.orders()
    bench.make("rows", WINDOW_ITEMS)
    bench.take("sum", "rows", 100)
    assert bench.credit("rows") == WINDOW_ITEMS + 100


def test_a_consumer_that_starts_late_takes_the_freedom_back() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.make("rows", WINDOW_ITEMS)
    assert bench.credit("rows") == FREE
    bench.make("rows", 4_000)
    bench.start("sum")
    assert bench.credit("rows") == WINDOW_ITEMS


def test_a_maker_is_free_again_once_its_consumer_has_ended() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.orders()
    bench.make("rows", WINDOW_ITEMS)
    bench.end("sum")
    assert bench.credit("rows") == FREE


def test_large_items_are_counted_by_their_bytes() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 2, size=16 << 20)
    assert bench.credit("rows") == 4


def test_credit_is_not_told_item_by_item() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.orders()
    messages = 0
    for number in range(10_000):
        bench.make("rows", 1)
        bench.take("sum", "rows", number + 1)
        messages += sum(isinstance(order, Allow) for order in bench.orders())
    assert messages <= 10_000 // (WINDOW_ITEMS // 2) + 1


def test_the_slowest_of_two_consumers_counts() -> None:
    bench = Bench(stream("rows"), taker("fast", "rows"), taker("slow", "rows"))
    bench.start("rows")
    bench.start("fast")
    bench.start("slow")
    bench.orders()
    bench.make("rows", WINDOW_ITEMS - 100)
    bench.take("fast", "rows", WINDOW_ITEMS - 100)
    bench.take("slow", "rows", 7)
    assert bench.credit("rows") == WINDOW_ITEMS + 7


def test_a_mapped_follower_holds_back_while_instances_run() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    bench.start("rows")
    bench.start("work", 0)
    bench.orders()
    bench.make("rows", WINDOW_ITEMS)
    assert bench.credit("rows") is None
    bench.streams.noted(SettleInstance(bench.task("work"), 0, "ok", None, None))
    bench.end("work")
    assert bench.credit("rows") == FREE
    bench.start("work", 1)
    assert bench.credit("rows") == WINDOW_ITEMS + 1


def test_a_maker_held_back_by_one_consumer_while_another_starves_gets_another_window() -> None:
    bench = Bench(stream("a"), stream("few", "a"), stream("all", "a"), taker("zip", "few", "all"))
    for name in ("a", "few", "all", "zip"):
        bench.start(name)
    bench.orders()
    bench.make("a", WINDOW_ITEMS)
    bench.make("all", WINDOW_ITEMS)
    bench.take("few", "a", WINDOW_ITEMS)
    bench.take("all", "a", 0)
    assert bench.credit("a") == 2 * WINDOW_ITEMS


def test_a_consumer_that_waits_for_what_does_not_run_holds_nobody_back() -> None:
    bench = Bench(stream("a"), stream("b"), stream("c", "b"), taker("zip", "a", "c"))
    for name in ("a", "b", "c", "zip"):
        bench.start(name)
    bench.orders()
    bench.make("a", WINDOW_ITEMS)
    bench.end("b", ERROR)
    assert bench.credit("a") == FREE


def test_a_consumer_learns_how_many_items_there_are_and_that_there_are_no_more() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 3)
    told = [order for order in bench.orders() if isinstance(order, Announce)]
    assert told == [Announce(1, 2, "rows", 3, "open", "")]
    bench.end("rows")
    bench.settle("rows")
    assert bench.orders() == [Announce(1, 2, "rows", 3, "complete", "")]


def test_a_flow_names_the_log_of_the_live_attempt() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    assert bench.streams.flow(0, "rows") == (1, "/run/streams/0000000000000001.items", "rows")


def test_nothing_is_told_before_the_consumer_listens() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.make("rows", 3)
    key = AttemptKey(1, WHOLE, 1)
    bench.streams.submitted(key, 9, False)
    assert not [order for order in bench.orders() if isinstance(order, Announce)]
    bench.streams.began(key, 9)
    assert not [order for order in bench.orders() if isinstance(order, Announce)]
    bench.streams.took(Taken(key, 9, "rows", 0))
    assert bench.orders() == [Announce(1, 9, "rows", 3, "open", "")]


# --- makers that are tried again ---------------------------------------------------------------------------------------


def test_a_second_attempt_may_make_other_items_when_nobody_was_given_any() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.make("rows", 5)
    bench.end("rows", ERROR)
    bench.start("rows")
    assert bench.make("rows", 5, prefix="new ")
    assert bench.end("rows").ok


def test_a_second_attempt_that_makes_the_same_items_goes_on_where_consumers_are() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 3)
    bench.orders()
    bench.end("rows", ERROR)
    bench.start("rows")
    assert bench.make("rows", 2)
    assert not [order for order in bench.orders() if isinstance(order, Announce)]
    assert bench.make("rows", 2)
    told = [order for order in bench.orders() if isinstance(order, Announce)]
    assert told == [Announce(1, 2, "rows", 4, "open", "/run/streams/0000000000000003.items")]


def test_a_second_attempt_that_makes_other_items_is_ended_and_says_which_item_differs() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 3)
    bench.orders()
    bench.end("rows", ERROR)
    bench.start("rows")
    bench.make("rows", 2)
    assert not bench.make("rows", 2, prefix="new ")
    assert Stop(bench.keys["rows"], "exception") in bench.orders()
    outcome = bench.end("rows", Outcome(False, "interrupted"))
    assert outcome.cause == "exception"
    assert "item 2 is another one" in (outcome.detail or "")


def test_a_second_attempt_that_makes_fewer_items_has_failed() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    bench.start("rows")
    bench.make("rows", 3)
    bench.end("rows", ERROR)
    bench.start("rows")
    bench.make("rows", 2)
    outcome = bench.end("rows", OK._replace(product="@items x 1"))
    assert (outcome.ok, outcome.cause) == (False, "exception")
    assert outcome.detail == "it handed on 3 items before, and now only 2"


def test_items_that_only_a_failed_consumer_was_given_are_not_held_to() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 3)
    bench.orders()
    bench.end("sum", ERROR)
    bench.end("rows", ERROR)
    bench.start("rows")
    assert bench.make("rows", 3, prefix="new ")


def test_items_that_a_consumer_ended_well_with_are_held_to() -> None:
    bench = Bench(stream("rows"), taker("first", "rows"))
    bench.start("rows")
    bench.start("first")
    bench.make("rows", 3)
    bench.orders()
    bench.end("first")
    bench.end("rows", ERROR)
    bench.start("rows")
    assert not bench.make("rows", 3, prefix="new ")


def test_a_report_of_an_attempt_that_is_over_changes_nothing() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    bench.start("rows")
    late = Yielded(bench.keys["rows"], 1, 0, ("x",), (digest("x"),), 1)
    bench.end("rows", ERROR)
    assert not bench.streams.made(late)


# --- makers that fail --------------------------------------------------------------------------------------------------


def test_a_live_consumer_is_told_that_its_maker_has_failed_and_its_end_names_it() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"))
    bench.start("rows")
    bench.start("sum")
    bench.make("rows", 1)
    bench.end("rows", ERROR)
    bench.settle("rows", "failed", "exception")
    assert Announce(1, 2, "rows", 1, "failed", "") in bench.orders()
    assert bench.end("sum", Outcome(False, "dependency")).cause == "dependency:rows"


def test_the_root_of_a_chain_of_failures_is_named() -> None:
    bench = Bench(stream("rows"), stream("doubled", "rows"), taker("sum", "doubled"))
    for name in ("rows", "doubled", "sum"):
        bench.start(name)
    bench.end("rows", ERROR)
    bench.settle("rows", "failed", "exception")
    bench.orders()
    assert bench.end("doubled", Outcome(False, "dependency")).cause == "dependency:rows"
    bench.settle("doubled", "skipped", "dependency:rows")
    bench.orders()
    assert bench.end("sum", Outcome(False, "dependency")).cause == "dependency:rows"


def test_a_consumer_that_had_all_it_wanted_stays_ok() -> None:
    bench = Bench(stream("rows"), taker("first", "rows"))
    bench.start("rows")
    bench.start("first")
    bench.end("rows", ERROR)
    bench.settle("rows", "failed", "exception")
    bench.orders()
    assert bench.end("first").ok


def test_what_took_a_stream_while_it_was_made_is_remembered_when_both_are_ok() -> None:
    bench = Bench(stream("rows"), taker("first", "rows"))
    bench.start("rows")
    bench.start("first")
    bench.end("first")
    bench.settle("first")
    assert Remember(1) not in bench.orders()
    bench.end("rows")
    bench.settle("rows")
    assert Remember(1) in bench.orders()


def test_what_was_looked_at_while_its_stream_grew_and_began_when_it_was_complete_is_remembered() -> None:
    bench = Bench(stream("rows"), taker("first", "rows"))
    bench.start("rows")
    bench.end("rows")
    bench.settle("rows")
    bench.start("first")
    bench.end("first")
    bench.settle("first")
    assert Remember(1) in bench.orders()


def test_what_took_a_stream_that_failed_is_not_remembered() -> None:
    bench = Bench(stream("rows"), taker("first", "rows"))
    bench.start("rows")
    bench.start("first")
    bench.end("first")
    bench.settle("first")
    bench.end("rows", ERROR)
    bench.settle("rows", "failed", "exception")
    assert Remember(1) not in bench.orders()


# --- taken up again ----------------------------------------------------------------------------------------------------


def opened(bench: Bench, items: int, nonces: tuple[int, ...]) -> OpenRun:
    """The store's view: task 0 has made items that became instances of task 1, in the last of several attempts."""
    nothing = Request((), None, None)
    attempts = [
        AttemptRow(
            AttemptKey(0, WHOLE, number), nonce, "lost", "lost", None, None, None, Usage(), nothing,
            NO_OUTPUT, NO_OUTPUT, None, None, False,
        )
        for number, nonce in enumerate(nonces, 1)
    ]  # fmt: skip
    row = RunRow("r", "", None, "/", "running", 0.0, None, None, 1, {}, 2)
    instances = [(str(number), "ok", None) for number in range(items)]
    return OpenRun(row, [], {bench.task("work"): instances}, attempts, {})


def test_items_that_became_instances_must_be_made_again_after_a_resume() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    bench.logs["/run/streams/0000000000000007.items"] = ["0", "1", "2", "3"]
    bench.streams.restore(opened(bench, items=3, nonces=(6, 7)))
    bench.start("rows")
    assert bench.make("rows", 3)
    assert bench.make("rows", 1, prefix="new ")  # the fourth had become nothing yet


def test_other_items_than_before_a_resume_are_refused() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    bench.logs["/run/streams/0000000000000007.items"] = ["0", "x"]
    bench.streams.restore(opened(bench, items=2, nonces=(7,)))
    bench.start("rows")
    assert not bench.make("rows", 2)


def test_what_an_adopted_maker_made_unheard_is_read_from_its_log() -> None:
    bench = Bench(stream("rows"), mapped("work", "rows"))
    key = AttemptKey(0, WHOLE, 1)
    bench.streams.adopt(key, 7)
    bench.logs["/run/streams/0000000000000007.items"] = ["0", "1"]
    report = bench.streams.untold(key, 7)
    assert report is not None and report.shown == ("0", "1")
    assert bench.streams.made(report)
    assert bench.streams.untold(key, 7) is None


def test_streams_that_take_no_part_are_complete() -> None:
    bench = Bench(stream("rows"), taker("sum", "rows"), selected=[1])
    bench.start("sum")
    assert bench.orders() == []
    assert bench.streams.gauge()[0].total == 0


# --- nothing locks up --------------------------------------------------------------------------------------------------

DIAMOND = ("a", "few", "all", "zip")


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6_000), st.integers(1, 4_000), st.booleans())
def test_a_diamond_of_streams_never_locks_up(items: int, keeps_one_in: int, takes_all_first: bool) -> None:
    """`few` keeps one item of many, `all` keeps each; `zip` takes from both, in turn or one after the other."""
    bench = Bench(stream("a"), stream("few", "a"), stream("all", "a"), taker("zip", "few", "all"))
    for name in DIAMOND:
        bench.start(name)
    credit = dict.fromkeys(("a", "few", "all"), WINDOW_ITEMS)
    position = dict.fromkeys((("few", "a"), ("all", "a"), ("zip", "few"), ("zip", "all")), 0)
    complete: set[str] = set()

    def listen() -> None:
        for order in bench.orders():
            if isinstance(order, Allow):
                credit[bench.plan.graph.tasks[order.task].name] = order.items

    def finish(name: str) -> None:
        if name not in complete:
            complete.add(name)
            bench.end(name)
            bench.settle(name)

    def take(name: str, maker: str, most: int) -> int:
        taken = min(most, bench.made[maker] - position[name, maker])
        if taken:
            position[name, maker] += taken
        bench.take(name, maker, position[name, maker])
        return taken

    def step() -> bool:
        listen()
        moved = False
        room = min(credit["a"], items) - bench.made["a"]
        if room > 0:
            moved = bench.make("a", room)
        elif bench.made["a"] == items and "a" not in complete:
            finish("a")
            moved = True
        if (room := credit["few"] - bench.made["few"]) > 0 and "few" not in complete:
            before = position["few", "a"]
            moved = bool(take("few", "a", room * keeps_one_in)) or moved
            kept = position["few", "a"] // keeps_one_in - before // keeps_one_in
            if kept:
                bench.make("few", kept)
            if "a" in complete and position["few", "a"] == items:
                finish("few")
        if (room := credit["all"] - bench.made["all"]) > 0 and "all" not in complete:
            if taken := take("all", "a", room):
                moved = bench.make("all", taken)
            if "a" in complete and position["all", "a"] == items:
                finish("all")
        few_ended = "few" in complete and position["zip", "few"] == bench.made["few"]
        if takes_all_first:
            if not few_ended:
                return bool(take("zip", "few", items)) or moved
            return bool(take("zip", "all", items)) or moved
        if position["zip", "few"] == position["zip", "all"] and not few_ended:
            return bool(take("zip", "few", 1)) or moved
        return bool(take("zip", "all", 1 if not few_ended else items)) or moved

    idle = 0
    while not (complete == {"a", "few", "all"} and position["zip", "all"] == bench.made["all"]):
        idle = 0 if step() else idle + 1
        assert idle < 5, (credit, position, complete)
