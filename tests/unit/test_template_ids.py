"""Words for task templates: names, and ids of their versions or the beginning of these."""

from __future__ import annotations

import pytest

from weft.assemble.workflow_identity import template_ids
from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.define.workflows import WorkflowDraft
from weft.errors import ArgumentError
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.template_ids import Meant, find_template

KNOWN = [("fit", "0123456789abcdef"), ("total", "01234567ffffffff"), ("deadbeef", "77777777aaaaaaaa")]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("fit", Meant("fit", None)),
        ("0123456789abcdef", Meant(None, "0123456789abcdef")),
        ("0123456789", Meant(None, "0123456789abcdef")),
        ("01234567FF", Meant(None, "01234567ffffffff")),
        ("0123456", None),
        ("0123456789abcdef0", None),
        ("777777777", None),
        ("", None),
        ("fits", None),
        (7, None),
    ],
)
def test_a_word_is_a_name_or_begins_an_id_with_eight_digits_or_more(word: object, meant: Meant | None) -> None:
    assert find_template(word, KNOWN) == meant


def test_names_go_before_ids() -> None:
    known = [*KNOWN, ("other", "deadbeef00000000")]
    assert find_template("deadbeef", known) == Meant("deadbeef", None)
    assert find_template("deadbeef0", known) == Meant(None, "deadbeef00000000")


def test_a_beginning_of_several_ids_is_told_with_all_of_them() -> None:
    with pytest.raises(ArgumentError, match=r"0123456789abcdef \(fit\), 01234567ffffffff \(total\)"):
        find_template("01234567", KNOWN)


def test_one_id_under_two_names_is_no_doubt() -> None:
    found = find_template("77777777", [*KNOWN, ("deadbeef#2", "77777777aaaaaaaa")])
    assert found == Meant(None, "77777777aaaaaaaa")
    assert found.among({"deadbeef": "77777777aaaaaaaa", "fit": "0", "deadbeef#2": "77777777aaaaaaaa"}) == (
        "deadbeef",
        "deadbeef#2",
    )


def test_plans_that_say_something_else_of_templates_have_no_ids() -> None:
    for about in (
        {},
        {"workflow": 1},
        {"workflow": {"templates": {"a": 1, "b": [[], [], [], 4], "c": "text", "d": []}}},
    ):
        assert template_ids(Plan(Graph(()), "/", attributes=about)) == {}


# --- in workflows ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tool() -> Tool:
    return Tool("survey")


@pytest.fixture
def fit(tool: Tool) -> TaskTemplate:
    return tool.get_task_template("fit", "fit {place}", ["place"])


def test_the_id_is_of_the_version_and_the_same_everywhere(tool: Tool, fit: TaskTemplate) -> None:
    again = Tool("survey").get_task_template("fit", "fit {place}", ["place"])
    assert fit.id == again.id and len(fit.id) == 32 and int(fit.id, 16)
    changed = tool.get_task_template("fit", "fit -q {place}", ["place"])
    assert changed.id != fit.id != Tool("other").get_task_template("fit", "fit {place}", ["place"]).id


def test_ids_serve_where_workflows_take_names(tool: Tool, fit: TaskTemplate) -> None:
    draft = WorkflowDraft(tool)
    tasks = fit.create_tasks(place=["n", "s"])
    draft.add_tasks(tasks)
    assert draft.get_tasks_by_node_args(fit.id[:8], place="s") == tasks[1:]
    draft.set_task_template_max_concurrency_limit(fit.id, 3)
    assert draft.arrays["fit"].max_concurrently_running == 3
    assert draft.arrays[fit.id[:12]] is draft.arrays["fit"]
    assert list(draft.arrays) == ["fit"]
    with pytest.raises(KeyError, match="no task of template"):
        draft.arrays["0" * 32]


def test_an_id_means_one_version_of_a_name(tool: Tool, fit: TaskTemplate) -> None:
    draft = WorkflowDraft(tool)
    old = fit.create_task(place="n")
    newer = tool.get_task_template("fit", "fit {place} {size}", ["place", "size"])
    new = newer.create_task(place="n", size=1)
    draft.add_tasks([old, new])
    assert draft.get_tasks_by_node_args("fit") == [old, new]
    assert draft.get_tasks_by_node_args(fit.id) == [old]
    assert draft.get_tasks_by_node_args(newer.id, size=1) == [new]
    with pytest.raises(ValueError, match="'size' is no node argument"):
        draft.get_tasks_by_node_args(fit.id, size=1)
