"""Functions as templates: what may travel, how it travels, and the program that calls them (workflows.md 8)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, List, Optional, Union  # noqa: UP035 - users write them

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weft
from weft.define.argument_types import codec_of
from weft.define.task_generators import TaskGenerator, get_tasks_by_node_args, task_generator
from weft.define.workflows import WorkflowDraft
from weft.errors import WeftWarning


class Year:
    def __init__(self, number: int):
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Year) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)


YEAR = {Year: (lambda year: str(year.number), lambda text: Year(int(text)))}


@task_generator(tool_name="survey", naming_args=["place"], max_attempts=2, default_compute_resources={"cores": 2})
def fit(place: str, year: int = 2020, tags: Optional[list[str]] = None) -> str:  # noqa: UP045
    """Fit one place."""
    return f"{place}-{year}-{tags}"


def generator_of(function: Callable[..., Any], **more: Any) -> TaskGenerator:
    return task_generator(tool_name="t", **more)(function)


# --- types -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (str, "a='b' \"c\"; [x]", "a='b' \"c\"; [x]"),
        (str, "", ""),
        (str, "None", "None"),
        (int, 5, "5"),
        (int, np.int64(5), "5"),
        (float, 1, "1.0"),
        (float, math.inf, "inf"),
        (bool, True, "True"),
        (bool, False, "False"),
        (list[int], [1, 2], "[1,2]"),
        (list[int], [], "[]"),
        (List[str], ["a=b", 'c"d'], '["a=b","c\\"d"]'),  # noqa: UP006
        (list[bool], [True, False], "[true,false]"),
        (tuple[int, str], (1, "x"), '[1,"x"]'),
        (tuple[float, ...], (1.5, 2.0), "[1.5,2.0]"),
        (set[str], {"b", "a"}, '["a","b"]'),
        (frozenset[int], frozenset({3}), "[3]"),
        (list[list[int]], [[1], []], "[[1],[]]"),
        (Optional[str], None, "None"),  # noqa: UP045
        (Optional[str], "None", "\\None"),  # noqa: UP045
        (str | None, "\\x", "\\\\x"),
        (int | None, None, "None"),
        (Union[None, int], 3, "3"),  # noqa: UP007
        (list[int] | None, [1], "[1]"),
        (list[Optional[int]], [1, None], "[1,null]"),  # noqa: UP045
        (Year, Year(1999), "1999"),
        (list[Year], [Year(1), Year(2)], '["1","2"]'),
        (Optional[Year], None, "None"),  # noqa: UP045
    ],
)
def test_values_travel_as_texts_and_come_back(annotation: Any, value: Any, text: str) -> None:
    codec = codec_of(annotation, YEAR)
    assert codec.text(value) == text
    back = codec.value(text)
    assert back == value
    if not isinstance(value, np.generic) and annotation is not float:
        assert type(back) is type(value)


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    for annotation in (str, str | None, list[str], set[str], tuple[str, ...]):
        codec = codec_of(annotation, {})
        value = text if annotation in (str, str | None) else annotation([text])  # type: ignore[operator]
        assert codec.value(codec.text(value)) == value


@given(st.lists(st.none() | st.floats(allow_nan=False)))
def test_any_numbers_come_back_as_they_were(numbers: list[float | None]) -> None:
    codec = codec_of(list[float | None], {})
    assert codec.value(codec.text(numbers)) == numbers


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        *((str, value) for value in (3, None, b"x")),
        *((int, value) for value in ("3", True, 1.0, None)),
        *((float, value) for value in ("1", True)),
        *((bool, value) for value in (1, "True")),
        *((list[int], value) for value in ((1, "x"), {1}, "1")),
        (set[int], [1]),
        (tuple[int, int], (1,)),
    ],
)
def test_values_of_another_type_are_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        codec_of(annotation, {}).text(value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        *((int, text) for text in ("x", "1.5", "[1]", "True", "")),
        *((list[int], text) for text in ("1", '["a"]', "[1.5]", "[1", "[true]")),
        (float, "one"),
        (bool, "yes"),
        (tuple[int, int], "[1]"),
        (Year, "x"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(annotation: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec_of(annotation, YEAR).value(text)


def test_a_serializer_for_texts_goes_before_the_usual_way() -> None:
    codec = codec_of(str, {str: (lambda text: text.encode().hex(), lambda text: bytes.fromhex(text).decode())})
    assert codec.text("'a'") == "276127"
    assert codec.value("276127") == "'a'"
    with pytest.raises(TypeError, match="no text"):
        codec_of(Year, {Year: (lambda year: year.number, int)}).text(Year(1))


# --- decoration --------------------------------------------------------------------------------------------------------------


def test_all_that_cannot_travel_is_told_at_decoration() -> None:
    def wrong(a, b: dict[str, int], c: list, d: Any, e: int | str, *rest: int, f: Year) -> None:  # type: ignore[no-untyped-def,type-arg]
        pass

    with pytest.raises(TypeError) as caught:
        generator_of(wrong)
    for part in ("a has no annotation", "b: ", "c: ", "d: ", "e: ", "*rest", "f: "):
        assert part in str(caught.value)


def test_a_default_must_travel_too() -> None:
    def wrong(a: int = "x") -> None:  # type: ignore[assignment]
        pass

    def right(a: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013 - users write it
        pass

    with pytest.raises(TypeError, match="a: "):
        generator_of(wrong)
    assert generator_of(right).run() is None


def test_an_annotation_that_cannot_be_read_is_a_type_error() -> None:
    def wrong(a: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(TypeError, match="Nowhere"):
        generator_of(wrong)


def test_options_of_the_generator_are_checked() -> None:
    def function(a: int) -> None:
        pass

    with pytest.raises(ValueError, match="did you mean 'a'"):
        generator_of(function, naming_args=["aa"])
    with pytest.raises(ValueError, match="two spellings"):
        generator_of(function, name_func=lambda name, args: "x", custom_naming=lambda name, args: "y")
    with pytest.raises(TypeError):
        task_generator({}, "t")  # type: ignore[call-arg,misc]


def test_a_parameter_called_name_is_refused() -> None:
    def function(name: str) -> None:
        pass

    with pytest.raises(ValueError, match="'name'"):
        generator_of(function)


# --- tasks -------------------------------------------------------------------------------------------------------------------


def test_parameters_are_node_arguments_and_defaults_hold() -> None:
    task = fit.create_task(place="x=1 'y'")
    assert fit.task_template.node_args == ("place", "year", "tags")
    assert task.node_args == {"place": "x=1 'y'", "year": "2020", "tags": "None"}
    assert task.name == "fit_place-x=1__y_"
    assert (task.max_attempts, task.compute_resources) == (2, {"cores": 2})
    assert fit.create_task(place="x=1 'y'", year=2020, tags=None) == task
    assert fit.create_task(name="given", place="n", year=1999, tags=["a"]).node_args["tags"] == '["a"]'
    assert fit("a", tags=["b"]) == "a-2020-['b']"
    assert fit.name == "fit"
    assert fit.tool.name == "survey"


def test_wrong_arguments_are_told_by_the_functions_name() -> None:
    with pytest.raises(ValueError, match="fit lacks 'place'"):
        fit.create_task(year=3)
    with pytest.raises(ValueError, match="'yaer' \\(did you mean 'year'\\?\\)"):
        fit.create_task(place="x", yaer=3)
    with pytest.raises(TypeError, match="fit: year: "):
        fit.create_task(place="x", year="3")
    with pytest.raises(TypeError, match="fit: year: "):
        fit.create_tasks(place=["x"], year=["3"])


def test_many_tasks_are_the_cross_product_of_the_arguments() -> None:
    tasks = fit.create_tasks(place=["n", "s"], tags=[["a"], None], compute_resources={"memory": 1})
    assert [(t.node_args["place"], t.node_args["tags"]) for t in tasks] == [
        ("n", '["a"]'),
        ("n", "None"),
        ("s", '["a"]'),
        ("s", "None"),
    ]
    assert {task.node_args["year"] for task in tasks} == {"2020"}
    with pytest.warns(WeftWarning, match="one value"):
        assert len(fit.create_tasks(place="north")) == 1


@pytest.mark.parametrize("spelling", ["name_func", "custom_naming"])
def test_names_may_be_made_by_a_function(spelling: str) -> None:
    def function(a: int, b: list[int]) -> None:
        pass

    generator = generator_of(function, **{spelling: lambda name, args: f"{name}/{args['a']}/{sum(args['b'])}"})
    generator._source = __file__
    generator.full_path = "module:function"
    assert generator.create_task(a=1, b=[2, 3]).name == "function/1/5"


def test_tasks_of_a_generator_are_found_by_their_values() -> None:
    workflow = WorkflowDraft(fit.tool)
    with pytest.raises(ValueError):
        get_tasks_by_node_args(workflow, fit, {"place": "n"})
    assert get_tasks_by_node_args(workflow, fit, {"place": "n"}, error_on_empty=False) == []
    tasks = fit.create_tasks(place=["n", "s"], year=[1, 2], tags=[["a"], None])
    for task in tasks:
        task.name = task.task_hash
    workflow.add_tasks(tasks)
    assert get_tasks_by_node_args(workflow, fit, {"place": "n", "year": 2, "tags": ["a"]}) == [tasks[2]]
    assert len(get_tasks_by_node_args(workflow, fit, {"year": [1, 2], "place": "s"})) == 4
    assert len(get_tasks_by_node_args(workflow, fit, {"tags": None})) == 4
    with pytest.raises(ValueError, match="no task"):
        get_tasks_by_node_args(workflow, fit, {"place": "west"})
    with pytest.raises(ValueError, match="takes no 'where'"):
        get_tasks_by_node_args(workflow, fit, {"where": "west"})


def test_a_function_that_no_other_process_can_find_makes_no_tasks() -> None:
    def inner(a: int) -> int:
        return a

    generator = generator_of(inner)
    assert generator.run(["a=3"]) == 3
    with pytest.raises(ValueError, match="top of a module"):
        generator.create_task(a=1)


def test_run_takes_texts_or_values_and_help_tells_them() -> None:
    assert fit.run(["place=a=b", "year=1"]) == "a=b-1-None"
    assert fit.run({"place": "x"}, tags=["y"]) == "x-2020-['y']"
    with pytest.raises(ValueError, match="lacks 'place'"):
        fit.run([])
    with pytest.raises(ValueError, match="name=value"):
        fit.run(["place"])
    with pytest.raises(ValueError, match="year=x cannot be read"):
        fit.run(["place=p", "year=x"])
    text = fit.help()
    assert "Fit one place." in text
    assert "year: int = 2020" in text


# --- the program -------------------------------------------------------------------------------------------------------------

SCRIPT = """
from __future__ import annotations
import sys
from weft import Tool, task_generator

@task_generator(tool_name="t")
def show(a: str, b: list[int], c: str | None = None) -> None:
    print(repr((a, b, c)), __name__)

@task_generator(tool_name="t")
def fail(a: int) -> None:
    raise SystemExit(a)

def plain(a: int) -> None:
    pass

if __name__ == "__main__":
    print("\\0".join(show.create_task(a=sys.argv[1], b=[1, 2]).argv), end="")
"""


def run(argv: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(list(argv), capture_output=True, text=True, encoding="utf-8", env=environment, **more)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "survey_script.py"
    path.parent.mkdir()
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def program(*words: Any) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "weft.define.function_program", *map(str, words)])


def test_a_script_makes_commands_that_call_its_functions(script: Path, tmp_path: Path) -> None:
    value = "a='b' \"c\" $HOME; ä\n=x"
    made = run([sys.executable, str(script), value], check=True)
    ran = run(made.stdout.split("\0"), cwd=tmp_path)
    assert ran.stderr == ""
    assert ran.stdout == f"{(value, [1, 2], None)!r} survey_script\n"


def test_the_exit_code_of_a_task_is_that_of_its_function(script: Path) -> None:
    assert program(script, "survey_script:fail", "a=7").returncode == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["survey_script:nothing"], "no function with @task_generator"),
        (["survey_script:plain", "a=1"], "no function with @task_generator"),
        (["survey_script:fail"], "lacks 'a'"),
        (["survey_script:fail", "a=x"], "cannot be read"),
        (["survey_script:fail", "a=1", "z=1"], "takes no 'z'"),
        ([], "usage"),
    ],
)
def test_mistakes_in_a_command_end_it_with_two_and_no_traceback(script: Path, words: list[str], told: str) -> None:
    ended = program(script, *words)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_script_that_would_run_its_workflow_again_is_refused(script: Path) -> None:
    with script.open("a", encoding="utf-8") as stream:
        stream.write("\nwf = Tool('t').create_workflow()\nwf.add_task(show.create_task(a='x', b=[]))\nwf.run()\n")
    ended = program(script, "survey_script:show", "a=x", "b=[]")
    assert ended.returncode == 1
    assert '__name__ == "__main__"' in ended.stderr


def test_modules_of_packages_and_folders_of_sources_are_found(tmp_path: Path) -> None:
    package = tmp_path / "source" / "deep" / "er"
    package.mkdir(parents=True)
    (tmp_path / "source" / "deep" / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text(f"{SCRIPT}\nfrom .values import WORD\n", encoding="utf-8")
    (package / "values.py").write_text("WORD = 'w'\n", encoding="utf-8")
    (package / "work.py").write_text(f"{SCRIPT}\nfrom .values import WORD\n", encoding="utf-8")
    for source, module in (
        (package / "work.py", "deep.er.work"),
        (package / "__init__.py", "deep.er"),
        (tmp_path / "source", "deep.er.work"),
    ):
        ended = program(source, f"{module}:show", "a=x", "b=[]", "c=\\None")
        assert ended.stderr == ""
        assert ended.stdout == f"('x', [], 'None') {module}\n"


def test_a_script_named_like_a_module_of_python_is_loaded_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text(SCRIPT, encoding="utf-8")
    ended = program(path, "json:show", "a=x", "b=[]")
    assert ended.stdout.startswith("('x', [], None)"), ended.stderr


def test_a_generated_task_runs_in_a_workflow(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(script.parent))
    import survey_script  # type: ignore[import-not-found]

    workflow = weft.Tool("t").create_workflow("g")
    workflow.add_tasks(survey_script.show.create_tasks(a=["x y"], b=[[1], [2]]))
    assert workflow.run(state=str(tmp_path / "state")) == "D"
    monkeypatch.delitem(sys.modules, "survey_script")


def two(a: int, b: str) -> None:
    """Of two arguments."""


def test_names_of_many_tasks_follow_the_naming_args_and_the_function_too() -> None:
    some = task_generator(tool_name="t", naming_args=["b"])(two)
    assert [task.name for task in some.create_tasks(a=[1], b=["x", "y z"])] == ["two_b-x", "two_b-y_z"]
    assert [task.name for task in some.create_tasks(a=[1, 2], b=["x"])] == ["two_a-1_b-x", "two_a-2_b-x"]
    other = task_generator(tool_name="t", name_func=lambda name, values: f"{name} of {values['a'] + 1}")(two)
    assert [task.name for task in other.create_tasks(a=[1, 2], b=["x"])] == ["two of 2", "two of 3"]
    assert [task.name for task in other.create_tasks(a=[1], b=["x"], name="own")] == ["own_a-1_b-x"]


def visit(place: str) -> None:
    """Nothing."""


def test_default_names_of_generated_tasks_are_told_apart_in_a_workflow() -> None:
    generator = generator_of(visit)
    flow = generator.tool.create_workflow("w")
    for place in ("a b", "a/b"):
        flow.add_task(generator.create_task(place=place))
    assert [task.name for task in flow.tasks] == [f"visit_place-a_b_{task.node_hash[:16]}" for task in flow.tasks]
