"""Task templates: what they refuse, what one task of them is (workflows.md 2.2, 2.3)."""

from __future__ import annotations

from typing import Any

import pytest

from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.errors import ArgumentError

GIB = 2**30


@pytest.fixture
def tool() -> Tool:
    return Tool("survey")


@pytest.fixture
def fit(tool: Tool) -> TaskTemplate:
    return tool.get_task_template(
        "fit", "python fit.py --place {place} --data {data} --log {log}", ["place"], ["data"], ["log"]
    )


def test_all_mistakes_of_a_template_are_told_in_one_message(tool: Tool) -> None:
    with pytest.raises(ValueError) as caught:
        tool.get_task_template("x", "run {a} {a.b} {c!r} {d}", node_args=["a", "name"], task_args=["a", "unused"])
    text = str(caught.value)
    for part in ("a.b", "c!r", "'name'", "'unused'", "node arg and task arg", "{d}"):
        assert part in text


def test_a_template_shows_what_it_was_made_from(fit: TaskTemplate, tool: Tool) -> None:
    assert fit.name == fit.template_name == fit.task_template_name == "fit"
    assert fit.tool is tool
    assert (fit.node_args, fit.task_args, fit.op_args) == (("place",), ("data",), ("log",))
    assert fit.command_template.startswith("python fit.py")
    assert not fit.uses_shell
    assert repr(fit) == "<TaskTemplate fit>"


# --- arguments ---------------------------------------------------------------------------------------------------------------


def test_every_missing_and_unexpected_argument_is_named_with_the_nearest(fit: TaskTemplate) -> None:
    with pytest.raises(ValueError) as caught:
        fit.create_task(palce="north", log="info", colour="red")
    text = str(caught.value)
    assert "'place'" in text
    assert "'data'" in text
    assert "'palce' (did you mean 'place'?)" in text
    assert "'colour'" in text


def test_a_value_is_always_inside_one_argument(fit: TaskTemplate) -> None:
    task = fit.create_task(place="a b; rm -rf {data} $HOME 'x'", data="d 5", log="")
    assert task.argv == ("python", "fit.py", "--place", "a b; rm -rf {data} $HOME 'x'", "--data", "d 5", "--log", "")


def test_a_shell_reads_values_as_data(tool: Tool) -> None:
    template = tool.get_task_template("pipe", "echo {word} | wc -c > {out}", ["word"], op_args=["out"])
    task = template.create_task(word="a'; touch x; '", out="n.txt")
    assert task.argv is None
    assert template.uses_shell
    assert task.command == """echo 'a'"'"'; touch x; '"'"'' | wc -c > n.txt"""


def test_the_command_is_the_rendered_text(fit: TaskTemplate) -> None:
    task = fit.create_task(place="new york", data="d5", log=1)
    assert task.command == "python fit.py --place 'new york' --data d5 --log 1"


def test_a_task_shows_its_arguments_by_role(fit: TaskTemplate) -> None:
    task = fit.create_task(place=7, data="d5", log=None)
    assert task.node_args == {"place": 7}
    assert task.task_args == {"data": "d5"}
    assert task.op_args == {"log": "None"}
    assert task.values == {"place": 7, "data": "d5", "log": "None"}
    assert task.task_template is fit


def test_text_with_an_address_is_refused(fit: TaskTemplate) -> None:
    with pytest.raises(ValueError, match="address"):
        fit.create_task(place=object(), data="d", log="l")
    with pytest.raises(ValueError, match="address"):
        fit.create_tasks(place=["x"], data=object(), log="l")


def test_a_value_that_no_shell_can_quote_where_it_stands_is_refused_when_the_task_is_made(tool: Tool) -> None:
    template = tool.get_task_template("sum", "echo $(( {a} + {b} )) {c}", ["a"], ["b"], ["c"])
    assert template.create_task(a=1, b=2, c="x y").command == "echo $(( 1 + 2 )) 'x y'"
    with pytest.raises(ValueError, match=r"{b}.*cannot be quoted"):
        template.create_task(a=1, b="2 )); rm -rf x", c="x")
    with pytest.raises(ValueError, match=r"{a}.*cannot be quoted"):
        template.create_tasks(a=[1, "$(date)"], b=2, c="x")


@pytest.mark.parametrize("word", ["name", "upstream_tasks", "max_attempts", "max_concurrently_running", "cluster_name"])
def test_arguments_may_not_be_called_like_what_is_said_of_a_task(tool: Tool, word: str) -> None:
    with pytest.raises(ValueError, match=f"'{word}'"):
        tool.get_task_template("x", f"x {{{word}}}", [word])
    assert tool.active_task_templates == {}
    assert tool.get_task_template("x", "x {self}", ["self"]).create_task(self=1).argv == ("x", "1")


def test_no_command_can_hold_a_nul(fit: TaskTemplate) -> None:
    with pytest.raises(ValueError, match="NUL"):
        fit.create_task(place="a\0b", data="d", log="l")
    with pytest.raises(ValueError, match="NUL"):
        fit.create_tasks(place=["a"], data="d", log="l\0")


# --- names -------------------------------------------------------------------------------------------------------------------


def test_names_are_made_of_node_args_else_of_task_args(tool: Tool, fit: TaskTemplate) -> None:
    assert fit.create_task(place="north", data="d5", log="info").name == "fit_place-north"
    total = tool.get_task_template("total", "total {data} {log}", task_args=["data"], op_args=["log"])
    assert total.create_task(data="d5", log="x").name == "total_data-d5"
    lone = tool.get_task_template("lone", "true {log}", op_args=["log"])
    assert lone.create_task(log="x").name == "lone"


def test_names_keep_no_slash_quote_blank_or_control_character(fit: TaskTemplate) -> None:
    assert fit.create_task(place="a/b\\c'd\"e f\tg\x01", data="d", log="l").name == "fit_place-a_b_c_d_e_f_g_"
    spaced = fit.tool.get_task_template("my fit/2", "fit {a}", ["a"])
    assert spaced.create_task(a=1).name == spaced.create_tasks(a=[1])[0].name == "my_fit_2_a-1"


def test_long_names_are_cut_and_stay_apart(fit: TaskTemplate) -> None:
    one = fit.create_task(place="x" * 300 + "1", data="d", log="l").name
    two = fit.create_task(place="x" * 300 + "2", data="d", log="l").name
    assert len(one) == len(two) == 249
    assert one != two
    many = fit.create_tasks(place=["x" * 300 + "1", "x" * 300 + "2"], data="d", log="l")
    assert [task.name for task in many] == [one, two]


@pytest.mark.parametrize("name", ["first fit / north", "1st", "ä[b]+", "x" * 1000])
def test_given_names_may_be_any_text_that_can_be_shown(fit: TaskTemplate, name: str) -> None:
    assert fit.create_task(name=name, place="n", data="d", log="l").name == name


@pytest.mark.parametrize("name", [" ", "a\nb", "a\x00", "x" * 1001, 3])
def test_other_names_are_refused(fit: TaskTemplate, name: Any) -> None:
    with pytest.raises(ValueError):
        fit.create_task(name=name, place="n", data="d", log="l")


def test_a_task_that_is_in_no_workflow_may_be_renamed(fit: TaskTemplate, tool: Tool) -> None:
    task = fit.create_task(place="n", data="d", log="l")
    task.name = "other"
    assert task.name == "other"
    with pytest.raises(ValueError):
        task.name = ""
    workflow = tool.create_workflow()
    workflow.add_task(task)
    with pytest.raises(ValueError, match="in a workflow"):
        task.name = "third"


# --- defaults ----------------------------------------------------------------------------------------------------------------


def test_resources_without_a_cluster_hold_for_every_cluster(tool: Tool) -> None:
    template = tool.get_task_template("x", "x {a}", ["a"], default_compute_resources={"cores": 2, "memory": "2G"})
    assert template.default_compute_resources_set == {"*": {"cores": 2, "memory": 2 * GIB}}
    for cluster in ("", "slurm", "local"):
        task = template.create_task(a=1, cluster_name=cluster)
        assert task.compute_resources == {"cores": 2, "memory": 2 * GIB}


def test_resources_for_one_cluster_hold_for_that_cluster(tool: Tool) -> None:
    template = tool.get_task_template(
        "x", "x {a}", ["a"], default_cluster_name="slurm", default_compute_resources={"cores": 2}
    )
    assert template.default_cluster_name == "slurm"
    assert template.create_task(a=1).compute_resources == {"cores": 2}
    assert template.create_task(a=1, cluster_name="local").compute_resources == {}


def test_defaults_of_a_template_can_be_changed(fit: TaskTemplate) -> None:
    fit.default_cluster_name = "slurm"
    fit.set_default_max_attempts(7)
    fit.set_default_compute_resources_from_dict("slurm", {"cores": 4})
    fit.update_default_compute_resources("slurm", memory=1.5)
    fit.set_default_resource_scales_from_dict("slurm", {"memory": 1})
    task = fit.create_task(place="n", data="d", log="l")
    assert task.cluster_name == "slurm"
    assert task.max_attempts == 7
    assert task.compute_resources == {"cores": 4, "memory": 3 * GIB // 2}
    assert task.resource_scales == {"memory": 1}


def test_a_callable_may_stand_in_either_place_but_not_in_both(fit: TaskTemplate) -> None:
    def ask() -> dict[str, Any]:
        return {}

    for given in ({"compute_resources": ask}, {"compute_resources_callable": ask}):
        task = fit.create_task(place="n", data="d", log="l", **given)  # type: ignore[arg-type]
        assert task._block.treatment.ask is ask
    with pytest.raises(ValueError, match="one of them"):
        fit.create_task(place="n", data="d", log="l", compute_resources=ask, compute_resources_callable=ask)
    with pytest.raises(ValueError, match="function"):
        fit.create_task(place="n", data="d", log="l", compute_resources_callable={"cores": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("queues", [3, {"a": 1}, {"a", "b"}, [1], [""]])
def test_fallback_queues_are_names_in_order(fit: TaskTemplate, queues: Any) -> None:
    with pytest.raises(ArgumentError, match="fallback_queues"):
        fit.create_task(place="n", data="d", log="l", fallback_queues=queues)
    assert fit.create_task(place="n", data="d", log="l", fallback_queues=["b", "a"]).fallback_queues == ("b", "a")


def test_what_is_no_task_can_be_no_upstream(fit: TaskTemplate) -> None:
    for wrong in (["fit_place-north"], 3, [None]):
        with pytest.raises(ArgumentError, match="upstream_tasks"):
            fit.create_task(place="n", data="d", log="l", upstream_tasks=wrong)  # type: ignore[arg-type]
