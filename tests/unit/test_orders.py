"""Orders: what a start command becomes for an executor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from weft.ports import Code, Function, Process
from weft.runtime.orders import NOTHING_BOUND, Bindings, OrderError, OrderWriter
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Request
from weft.spec.actions import Action, Call, Command, Expand, Script, Shell, Snippet
from weft.spec.environments import Environment
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.tasks import Dependency, Policy, Task
from weft.spec.types import Type
from weft.spec.withholding import withhold


def write(
    action: Action,
    *,
    request: Request = Request((("cores", 1000),)),
    bound: Bindings = NOTHING_BOUND,
    values: dict[str, Any] | None = None,
    environments: dict[str, Environment] | None = None,
    alone: bool = False,
    instance: int = WHOLE,
    **fields: Any,
) -> Any:
    plan = Plan(Graph([Task("t", action, **fields)]), "/plans", values=values or {}, environments=environments or {})
    writer = OrderWriter(plan, "ab" * 16, bound=lambda *_: bound, interpreter=lambda _: (None, None))
    return writer.write(StartAttempt(AttemptKey(0, instance, 1), 0xBEEF, request, lane=3, alone=alone))


def test_a_value_with_blanks_stays_one_word() -> None:
    order = write(Command(("echo", "{x}", "a{x}b")), parameters={"x": "two words; $(rm)"})
    assert order.launch == Process(("echo", "two words; $(rm)", "atwo words; $(rm)b"))


def test_words_to_expand_are_left_to_the_attempts_environment() -> None:
    assert write(Command(("echo", Expand("$HOME"), "$HOME"))).launch == Process(("echo", "$HOME", "$HOME"), (1,))


def test_a_shell_script_without_parameters_is_left_as_it_is() -> None:
    assert write(Shell("awk '{print $1}' ${X}")).launch == Process(("/bin/sh", "-c", "awk '{print $1}' ${X}"))


def test_a_shell_script_gets_parameters_quoted_and_as_variables() -> None:
    order = write(Shell("echo {x}"), parameters={"x": "a'b"}, values={"option": 1})
    assert order.launch.argv[2] == "echo 'a'\"'\"'b'"
    assert order.environment == {"x": "a'b"}


def test_plan_options_fill_slots_under_the_tasks_own_parameters() -> None:
    order = write(Command(("{a}", "{b}")), parameters={"a": 1}, values={"a": 7, "b": 2})
    assert order.launch == Process(("1", "2"))


def test_a_script_gets_its_parameters_as_arguments(tmp_path: Path) -> None:
    script = tmp_path / "tool.py"
    script.write_text("")
    order = write(Script(str(script)), parameters={"k": [1, 2], "fast": True, "none": None})
    assert order.launch.argv == (sys.executable, str(script), "--k", "1", "--k", "2", "--fast")


def test_a_script_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(OrderError, match="there is no script") as caught:
        write(Script("tool.py"))
    assert caught.value.cause == "not_found"


def test_a_command_gets_mapped_parameters_only_when_a_mapping_is_given() -> None:
    assert write(Command(("p",)), parameters={"k": 1}).launch.argv == ("p",)
    policy = Policy(mapping="--{key}={value}")
    assert write(Command(("p",)), parameters={"k": 1}, policy=policy).launch.argv == ("p", "--k=1")


def test_a_snippet_runs_in_a_thread_unless_it_needs_a_process_of_its_own() -> None:
    assert write(Snippet("x = 1"), parameters={"k": 1}).launch == Code("x = 1", {"k": 1}, "<t>")
    assert write(Snippet("x = 1")).isolation == "thread"
    assert write(Snippet("x = 1"), alone=True).isolation == "process"
    limited = Request((("cores", 0), ("memory", 1 << 20)))
    order = write(Snippet("x = 1"), request=limited)
    assert (order.isolation, order.memory_bytes) == ("process", 1 << 20)


def test_a_function_gets_parameters_but_not_the_options_of_the_plan() -> None:
    order = write(Call("mod:f"), parameters={"k": 1}, values={"other": 2})
    assert order.launch == Function("mod:f", None, {"k": 1})
    assert order.keeps == "return"


def test_an_instance_receives_its_item() -> None:
    policy = Policy(foreach=Foreach(values=("a", "b"), bind="item"))
    bound = Bindings({"item": "b"}, item="b", file=None)
    order = write(Command(("echo", "{item}")), policy=policy, bound=bound, instance=1)
    assert (order.name, order.launch.argv) == ("t[b]", ("echo", "b"))


def test_a_file_instance_finds_its_file_in_the_environment() -> None:
    policy = Policy(foreach=Foreach(files=True))
    order = write(Command(("cat",)), policy=policy, bound=Bindings({}, item="d/x", file="d/x"), instance=0)
    assert order.environment["WEFT_FILE"] == "d/x"


def test_environment_folder_and_variables_go_with_the_order() -> None:
    environment = Environment(path="sub", variables=(("A", "1"), ("B", Expand("$A/x"))))
    order = write(Command(("p",)), environments={"e": environment}, policy=Policy(environment="e"))
    assert (order.folder, order.variables) == ("/plans/sub", environment.variables)


def test_what_becomes_the_product_is_kept() -> None:
    assert write(Command(("p",)), policy=Policy(product=Product("json"))).keeps == "json"
    assert write(Command(("p",)), policy=Policy(product=Product("outputs"))).keeps is None


def test_values_that_no_mapping_can_show_end_the_attempt_with_setup() -> None:
    with pytest.raises(OrderError) as caught:
        write(Command(("p",)), parameters={"k": {"a": 1}}, policy=Policy(mapping="--{key}={value}"))
    assert caught.value.cause == "setup"


def orders_of(*tasks: Task, types: dict[str, Type] | None = None, is_durable: bool = True) -> list[Any]:
    plan = Plan(Graph(list(tasks)), "/plans", types=types or {})
    writer = OrderWriter(
        plan,
        "ab" * 16,
        bound=lambda *_: NOTHING_BOUND,
        interpreter=lambda _: (None, None),
        products="/state/products",
        passing="/state/products/~run",
        is_durable=is_durable,
    )
    return [
        writer.write(StartAttempt(AttemptKey(index, WHOLE, 1), 1 + index, Request((("cores", 1500),)), lane=1))
        for index in range(len(tasks))
    ]


def test_a_call_says_what_its_value_must_be_and_where_its_module_is() -> None:
    call = Call("m:f", paths=("/project",))
    (order,) = orders_of(
        Task("t", call, policy=Policy(product=Product("return", "small"))),
        types={"small": Type("small", parent="int", maximum=9)},
    )
    assert order.launch.paths == ("/project",)
    assert json.loads(order.launch.checks) == {
        "type": "small",
        "each": False,
        "types": {"small": {"maximum": 9, "parent": "int"}},
    }
    assert (order.keeps, order.isolation, order.cores) == ("return", "worker", 2)


def test_lists_that_others_are_mapped_over_and_streams_are_kept_item_by_item() -> None:
    made, mapped, plain, stream = orders_of(
        Task("made", Call("m:f")),
        Task(
            "mapped",
            Call("m:g"),
            dependencies=(Dependency("made", "x", each=True),),
            policy=Policy(foreach=Foreach(stream="made", bind="x")),
        ),
        Task("plain", Call("m:f")),
        Task("stream", Call("m:f"), policy=Policy(product=Product("return", "int", stream=True))),
    )
    assert [order.keeps for order in (made, mapped, plain, stream)] == ["items", "return", "return", "items"]
    assert json.loads(stream.launch.checks)["each"] is True
    assert made.launch.checks == ""


def test_what_is_kept_only_while_it_is_needed_has_a_room_of_its_own_and_need_not_be_durable() -> None:
    passing, lasting = orders_of(
        Task("a", Call("m:f"), policy=Policy(cache="memory")), Task("b", Call("m:f"), policy=Policy())
    )
    assert (passing.products, passing.is_durable) == ("/state/products/~run", False)
    assert (lasting.products, lasting.is_durable) == ("/state/products", True)


def test_where_nothing_has_to_outlive_a_power_cut_no_worker_waits_for_the_disk() -> None:
    (order,) = orders_of(Task("a", Call("m:f")), is_durable=False)
    assert (order.products, order.is_durable) == ("/state/products", False)


def test_a_value_that_was_not_stored_makes_no_order() -> None:
    environment = withhold(Environment(variables=(("REGION", "north"), ("COPY", Expand("$REGION")))))
    with pytest.raises(OrderError, match=r"not stored.*: REGION$") as told:
        write(Command(("echo",)), environments={"e": environment}, policy=Policy(environment="e"))
    assert told.value.cause == "setup"
