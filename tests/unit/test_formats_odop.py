"""The odop dialect: every spelling, field and mistake of task specifications, and the chapter's own examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.documents import codes, loaded, problems_of
from weft.errors import PlanError
from weft.formats.compile import compile_plan, task_document
from weft.formats.load import Loaded, load
from weft.spec.actions import Call, Command, Script, Serialized
from weft.spec.environments import Environment
from weft.spec.mapping import map_parameters
from weft.spec.requirements import FileNeed, FolderNeed, Foreach, MatchNeed
from weft.spec.tasks import Dependency, Task

HELLO = """[{"task_id": "hello", "time_limit": 30, "executable": "bin/hello.sh", "parameters": {}}]"""
SURVEY = r"""{"name": "survey", "parameters": {"season": "2031"}, "tasks": [
  {"task id": "tile", "time limit": "15min", "memory": "2G", "cpu": 2,
   "executable": "bin/tile", "parameters": {"zoom": [3, 4], "fast": true, "seed": null}, "parameter_mapping": "--{key}={value}"},
  {"operational": {"task_id": "shade", "time_limit": "1h30m", "required_file_expression": "tiles/t_[0-9]+\\.bin",
                   "single_file_task": true, "filepath_parameter": "tile"},
   "engine": {"module": "shading.py", "function": "shade", "parameters": {"angle": 45}},
   "resources": {"gpu": 1, "network_bandwidth": "20M", "files_in_directory": {"path": "tiles", "minimum": 2}, "parameter_available": "season"},
   "dependencies": ["tile"], "interrupt_allowed": false}]}
"""  # noqa: E501


def entry(**fields: Any) -> dict[str, Any]:
    return {"task_id": "a", "time_limit": 5, "executable": "/bin/true", **fields}


def only(found: Loaded) -> Task:
    (task,) = found.plan.graph.tasks
    return task


# --- the chapter's examples --------------------------------------------------------------------------------------------


def test_the_smallest_example_is_one_program(tmp_path: Path) -> None:
    found = loaded(tmp_path, HELLO)
    task = only(found)
    assert (task.name, task.action, task.policy.timeout) == ("hello", Command(("bin/hello.sh",)), 30)
    assert found.plan.sources[0].dialect == "odop"
    assert [(warning.code, warning.location, warning.line) for warning in found.warnings] == [
        ("shape.value", "/0/executable", 1)
    ]


def test_the_larger_example_means_what_its_chapter_says(tmp_path: Path) -> None:
    plan = loaded(tmp_path, SURVEY).plan
    tile, shade = plan.graph.tasks
    assert (plan.name, plan.values) == ("survey", {"season": "2031"})
    assert map_parameters(tile.parameters, tile.policy.mapping) == ["--zoom=3", "--zoom=4", "--fast"]
    assert (tile.policy.timeout, dict(tile.policy.resources)) == (900, {"cores": 2000, "memory": 2 << 30})
    assert shade.action == Call("shading.py:shade")
    assert shade.dependencies == (Dependency("tile"),)
    assert shade.requires.match == (MatchNeed(r"tiles/t_[0-9]+\.bin", bind="tile"),)
    assert shade.requires.folders == (FolderNeed("tiles", 2, source=False),)
    assert shade.requires.parameters == ("season",)
    assert shade.policy.foreach == Foreach(files=True)
    assert (shade.policy.timeout, shade.policy.interruptible) == (5400, False)
    assert dict(shade.policy.resources) == {"cores": 1000, "gpu": 1_000_000, "network_bandwidth": 20 << 20}


def test_a_scheduler_spec_compiles_to_itself_wherever_it_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_plan(loaded(tmp_path, SURVEY).plan)
    (tmp_path / "compiled.json").write_bytes(first)
    monkeypatch.chdir("/")
    assert compile_plan(load([str(tmp_path / "compiled.json")]).plan) == first


# --- shapes and spellings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        entry(),
        [entry()],
        {"tasks": [entry()]},
        {"TASKS": [entry()]},
        {"Tasks": [{"Operational Parameters": {"Task ID": "a", "time": 5}, "engine": {"EXECUTABLE": "/bin/true"}}]},
        {"task id": "a", "time limit": 5, "executable": "/bin/true"},
        {"Task-ID": "a", "TIME-LIMIT": 5, "Executable": "/bin/true"},
        {"TaSk_Id": "a", "Time   Limit": "5s", "executable": "/bin/true"},
        {"id": "a", "time": "5 sec", "executable": "/bin/true"},
        {"name": "a", "time": 5, "executable": "/bin/true"},
        {"Operational Parameters": {"task id": "a", "time limit": 5}, "engine": {"executable": "/bin/true"}},
        {"operational": entry(), "engine_parameters": {"Execution Parameter": {"executable": "/bin/true"}}},
        {"time limit": 5, "task_specification": {"resources": {"task_id": "a", "time": 5, "executable": "/bin/true"}}},
        {
            "task_id": "a",
            "operational": {"task_id": "a", "time_limit": "0:00:05"},
            "time": 5,
            "executable": "/bin/true",
        },
        entry(description="why", comment=1, __note=2, title="x") | {"$schema": "y"},
        entry(cpu=None, memory=None, required_filepath=None, resources=None, operational=None),
    ],
)
def test_one_task_may_be_written_in_many_ways(tmp_path: Path, document: Any) -> None:
    found = loaded(tmp_path, document)
    task = only(found)
    assert (task.name, task.policy.timeout, task.action) == ("a", 5, Command(("/bin/true",)))
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("document", "field", "shown"),
    [
        (entry(operational={"time_limit": 6}), "time_limit", ("5", "6")),
        (entry(cpu=1, resources={"cores": 2}), "cpu", ("1", "2")),
        (entry(**{"Time-Limit": "1h"}), "time_limit", ("5", "'1h'")),
        (
            entry(required_folder="x", single_file_task=True, operational={"single_file_task": 1}),
            "single_file_task",
            ("true", "1"),
        ),
        (entry(dependencies=["b"], depends_on=["c"]), "dependencies", ("a list of 1",)),
        (entry(resources={"licence": 1}, operational={"resources": {"licence": 2}}), "licence", ("1", "2")),
    ],
)
def test_a_field_given_twice_differently_is_told_with_both_places(
    tmp_path: Path, document: Any, field: str, shown: tuple[str, ...]
) -> None:
    conflicts = [problem for problem in problems_of(tmp_path, document) if problem.code == "shape.conflict"]
    (problem,) = conflicts[:1]
    assert field in problem.message
    assert all(text in problem.message for text in shown)
    assert problem.message.count("plan.json /") == 2
    assert problem.message.count("column") == 2
    assert problem.line == 1


@pytest.mark.parametrize(
    "document",
    [
        entry(memory="1G", resources={"memory": 1024}),
        entry(depends_on="a b", dependencies=["a b"], required_filepath=["x"]),
        entry(network_bandwidth="1M", resources={"Network Bandwidth": "1M/s"}),
    ],
)
def test_a_field_given_twice_with_the_same_meaning_is_fine(tmp_path: Path, document: Any) -> None:
    other = {"task_id": "a b", "time_limit": 1, "executable": "/bin/true"}
    assert len(loaded(tmp_path, [document, other]).plan.graph) == 2


# --- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"time_limit": "1h 30m"}, {"timeout": 5400}),
        ({"cpus": 1.5}, {"resources": {"cores": 1.5}}),
        ({"threads": 3}, {"resources": {"cores": 3}}),
        ({"memory": 512}, {"resources": {"cores": 1, "memory": 512 << 20}}),
        ({"memory": "512"}, {"resources": {"cores": 1, "memory": 512 << 20}}),
        ({"memory": "1.5 gib"}, {"resources": {"cores": 1, "memory": 3 << 29}}),
        ({"resources": {"gpu": 0.5, "disk": 100, "licence": 2, "idle": 0}}, None),
        ({"network_bandwidth": "20 MB/s"}, {"resources": {"cores": 1, "network_bandwidth": 20 << 20}}),
        ({"network bandwidth": 8}, {"resources": {"cores": 1, "network_bandwidth": 8 << 20}}),
        ({"dependencies": "b"}, {"dependencies": ["b"]}),
        ({"depends-on": ["b"]}, {"dependencies": ["b"]}),
        ({"interrupt_allowed": False}, {"interruptible": False}),
        ({}, {"interruptible": True, "max_attempts": 1, "priority": 0, "niceness": 0, "outputs": []}),
        ({"priority": -3, "niceness": 19, "max_attempts": 4}, {"priority": -3, "niceness": 19, "max_attempts": 4}),
        ({"output_file": "x", "output_folder": ["y", "z"]}, {"outputs": ["x", "y", "z"]}),
        ({"description": "why"}, {"description": "why"}),
    ],
)
def test_fields_become_the_normal_form(tmp_path: Path, fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    other = {"task_id": "b", "time_limit": 1, "executable": "/bin/true"}
    plan = loaded(tmp_path, [entry(**fields) | fields, other]).plan
    document = task_document(plan.graph["a"], plan)
    if expected is None:
        expected = {"resources": {"cores": 1, "gpu": 0.5, "disk": 100 << 20, "licence": 2}}
    assert {key: document[key] for key in expected} == expected


def test_requirements_become_the_normal_form(tmp_path: Path) -> None:
    fields = {
        "required_filepath": ["a.txt", "b.txt"],
        "files": "c.txt",
        "required folder": "in",
        "required_file_expression": ["x_.*", "glob:*.csv", {"Glob": "**/*.bin"}],
        "files_in_directory": [{"Path": "tiles", "minimum": 3}, {"path": "more", "recursive": True}],
        "files in shared memory": "block",
        "parameter_available": ["season"],
        "ready_signal": "go",
    }
    found = loaded(tmp_path, {"parameters": {"season": 1}, "tasks": [entry(**fields)]})
    requires = only(found).requires
    assert requires.files == (FileNeed("a.txt"), FileNeed("b.txt"), FileNeed("c.txt"))
    assert requires.folders == (
        FolderNeed("in"),
        FolderNeed("tiles", 3, source=False),
        FolderNeed("more", recursive=True, source=False),
    )
    assert requires.match == (
        MatchNeed("x_.*"),
        MatchNeed("*.csv", "glob"),
        MatchNeed("**/*.bin", "glob"),
    )
    assert (requires.shared_memory, requires.parameters, requires.signal) == (("block",), ("season",), ("go",))


def test_a_working_directory_and_variables_make_an_environment_of_its_own(tmp_path: Path) -> None:
    variables = {"B": "2", "A": "$B `x`"}
    plan = loaded(tmp_path, [entry(working_directory="w", environment_variables=variables)]).plan
    environment = plan.environments[plan.graph["a"].policy.environment or ""]
    assert environment == Environment(path="w", variables=(("B", "2"), ("A", "$B `x`")))


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [("2031", "[1]", "[1]"), (3, "4.5", 4.5), (True, "no", False), ([1], "[2]", [2]), (None, "x", "x")],
)
def test_parameters_of_a_document_are_options_read_like_their_default(
    tmp_path: Path, default: Any, text: str, value: Any
) -> None:
    document = {"parameters": {"season": default}, "tasks": [entry(parameter_available="season")]}
    assert loaded(tmp_path, document).plan.values == {"season": default}
    assert loaded(tmp_path, document, options=[("season", text)]).plan.values == {"season": value}


# --- actions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "program"),
    [
        ({"executable": "/opt/{x}/run"}, "/opt/{{x}}/run"),
        ({"executable": "bin/run"}, "bin/run"),
        ({"executable": "run"}, "./run"),
        ({"executable": "run", "working_directory": "."}, "./run"),
        ({"executable": "bin/run", "working_directory": "w/x"}, "../../bin/run"),
        ({"executable": "w/run", "working_directory": "w"}, "./run"),
    ],
)
def test_a_relative_program_is_taken_from_the_root_and_never_from_the_path(
    tmp_path: Path, fields: dict[str, Any], program: str
) -> None:
    found = loaded(tmp_path, [entry() | fields])
    assert only(found).action == Command((program,))
    assert len(found.warnings) == (not fields["executable"].startswith("/"))


def test_behind_a_link_or_an_absolute_folder_a_relative_program_is_absolute(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    for folder in ("link", "/usr"):
        task = only(loaded(tmp_path, [entry(executable="bin/run", working_directory=folder)]))
        assert task.action == Command((str(tmp_path / "bin/run"),))


def test_functions_scripts_and_serialised_functions(tmp_path: Path) -> None:
    def action(**fields: Any) -> Any:
        return only(loaded(tmp_path, {"task_id": "a", "time_limit": 1, **fields})).action

    assert action(function="f", module="pkg.mod") == Call("pkg.mod:f")
    assert action(function_name="f", file_name="dir/file.py") == Call("dir/file.py:f")
    assert action(function="file.py:f") == Call("file.py:f")
    assert action(script="tool.py") == Script("tool.py")
    assert action(serialised_function={"Path": "f.pkl"}) == Call(Serialized(path="f.pkl"))
    assert action(serialized={"data": "aGk=", "format": "cloudpickle"}) == Call(Serialized(data="aGk="))


@pytest.mark.parametrize(
    ("mapping", "value", "words"),
    [
        (None, "a b;$(c)\n", ["--k", "a b;$(c)\n"]),
        (None, "", ["--k", ""]),
        (None, 1.50, ["--k", "1.5"]),
        (None, [1, None, "x y"], ["--k", "1", "--k", "x y"]),
        (None, [], []),
        (None, None, []),
        (None, False, []),
        (None, True, ["--k"]),
        ("{key}:{value}", True, ["k"]),
        ("-x '{key} is {value}'", "q", ["-x", "k is q"]),
        ({"k": "-K {value}"}, 3, ["-K", "3"]),
        ({"*": "{value}"}, -3, ["-3"]),
    ],
)
def test_parameters_are_mapped_without_ever_being_split(
    tmp_path: Path, mapping: Any, value: Any, words: list[str]
) -> None:
    fields = {} if mapping is None else {"parameter_mapping": mapping}
    task = only(loaded(tmp_path, [entry(parameters={"k": value}, **fields)]))
    assert map_parameters(task.parameters, task.policy.mapping) == words


# --- files that are found ----------------------------------------------------------------------------------------------


def binds(task: Task) -> list[str | None]:
    return [*(need.bind for need in task.requires.folders), *(need.bind for need in task.requires.match)]


SOURCES = {"required_folder": ["in"], "required_file_expression": ["x.*"]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"filepath_parameter": "p"}, ["p", "p"]),
        ({"filepath_parameter": ["p", "q"]}, ["p", "q"]),
        ({}, [None, None]),
        ({"filepath_parameter": "p", "files_in_directory": {"path": "n"}}, ["p", None, "p"]),
    ],
)
@pytest.mark.parametrize("single", [True, False])
def test_names_pair_with_folders_first_then_expressions(
    tmp_path: Path, fields: dict[str, Any], expected: list[str | None], single: bool
) -> None:
    task = only(loaded(tmp_path, [entry(single_file_task=single, **SOURCES, **fields)]))
    assert binds(task) == expected
    assert task.policy.foreach == (Foreach(files=True) if single else None)


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"single_file_task": True}, "/0/single_file_task"),
        ({"single_file_task": True, "required_filepath": "x"}, "/0/single_file_task"),
        ({"filepath_parameter": "p"}, "/0/filepath_parameter"),
        ({**SOURCES, "filepath_parameter": ["p", "q", "r"]}, "/0/filepath_parameter"),
        ({"required_folder": "in", "filepath_parameter": ["p", "q"]}, "/0/filepath_parameter"),
        ({**SOURCES, "filepath_parameter": "p", "parameters": {"p": 1}}, "/0/filepath_parameter"),
        ({**SOURCES, "filepath_parameter": ["p", "q"], "parameters": {"q": 1}}, "/0/filepath_parameter"),
    ],
)
def test_found_files_that_fit_nowhere_are_a_conflict(tmp_path: Path, fields: dict[str, Any], location: str) -> None:
    assert codes(problems_of(tmp_path, [entry(**fields)])) == [("shape.conflict", location)]


@pytest.mark.parametrize(("argument", "single"), [("filename", True), ("filenames", False)])
def test_a_function_with_that_argument_gets_the_files_without_being_told(
    tmp_path: Path, argument: str, single: bool
) -> None:
    (tmp_path / "m.py").write_text(f"def f({argument}): ...\ndef g(x=1): ...\n", encoding="utf-8")
    fields = {"task_id": "a", "time_limit": 1, "module": "m.py", "required_folder": "in", "single_file_task": single}
    assert binds(only(loaded(tmp_path, fields | {"function": "f"}))) == [argument]
    assert binds(only(loaded(tmp_path, fields | {"function": "g"}))) == [None]
    other = "filenames" if single else "filename"
    (tmp_path / "m.py").write_text(f"def f({other}): ...\n", encoding="utf-8")
    assert codes(problems_of(tmp_path, fields | {"function": "f"})) == [("option.missing", "/function")]


# --- arguments of functions --------------------------------------------------------------------------------------------

MODULE = """
import functools, weft
def plain(x, y=1, *, z): ...
async def any_of(x, **more): ...
def position(a, /, b): ...
@weft.task(name="t")
@weft.memory("1G")
def decorated(x): ...
@functools.cache
def wrapped(x): ...
if True:
    def under(x): ...
other = plain
raise SystemExit("the module was imported")
"""


def call(name: str, module: str = "m.py", **parameters: Any) -> dict[str, Any]:
    return {"task_id": "a", "time_limit": 1, "function": name, "module": module, "parameters": parameters}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (call("plain", x=1, z=2), []),
        (call("plain", x=1, z=2, y=3), []),
        (call("plain", x=1), [("option.missing", "/parameters")]),
        (call("plain", x=1, z=1, why=2), [("option.unknown", "/parameters/why")]),
        (call("plain", w=1), [("option.unknown", "/parameters/w"), *[("option.missing", "/parameters")] * 2]),
        (call("any_of", x=1, w=2), []),
        (call("any_of", w=2), [("option.missing", "/parameters")]),
        (call("position", b=1), [("option.missing", "/parameters")]),
        (call("decorated", y=1), [("option.unknown", "/parameters/y"), ("option.missing", "/parameters")]),
        (call("wrapped", y=1), []),
        (call("under"), [("option.missing", "/parameters")]),
        (call("other", y=1), []),
        (call("f", "absent.py", y=1), []),
        (call("f", "pkg.sub", y=1), [("option.unknown", "/parameters/y")]),
        (call("f", "json", y=1), []),
    ],
)
def test_arguments_are_checked_by_reading_the_source(
    tmp_path: Path, document: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    (tmp_path / "m.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    (tmp_path / "pkg" / "sub" / "__init__.py").write_text("def f(): ...", encoding="utf-8")
    if expected:
        assert sorted(codes(problems_of(tmp_path, document))) == sorted(expected)
    else:
        assert loaded(tmp_path, document).warnings == ()


def test_the_nearest_argument_is_offered(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(angle=1): ...", encoding="utf-8")
    (problem,) = problems_of(tmp_path, call("f", angel=2))
    assert problem.hint == "did you mean 'angle'?"


def test_files_that_are_found_are_arguments_too(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(tile): ...\ndef g(x): ...", encoding="utf-8")
    fields = {"required_folder": "in", "filepath_parameter": "tile"}
    assert binds(only(loaded(tmp_path, {**call("f"), **fields}))) == ["tile"]
    assert codes(problems_of(tmp_path, {**call("g", x=1), **fields})) == [("option.unknown", "/filepath_parameter")]


def test_a_function_that_its_source_surely_lacks_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(): ...\n", encoding="utf-8")
    (tmp_path / "star.py").write_text("from json import *\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("def (", encoding="utf-8")
    assert [warning.code for warning in loaded(tmp_path, call("g")).warnings] == ["not_found"]
    assert loaded(tmp_path, call("g", "star.py")).warnings == ()
    assert loaded(tmp_path, call("g", "broken.py")).warnings == ()


def test_a_function_carries_the_digest_of_its_source_and_a_compiled_plan_says_when_it_differs(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(): ...\n", encoding="utf-8")
    plan = loaded(tmp_path, call("f")).plan
    (tmp_path / "compiled.json").write_bytes(compile_plan(plan))
    assert load(["compiled.json"], cwd=str(tmp_path)).warnings == ()
    (tmp_path / "m.py").write_text("def f(): return 1\n", encoding="utf-8")
    changed = load(["compiled.json"], cwd=str(tmp_path))
    assert [(warning.code, warning.location) for warning in changed.warnings] == [("digest", "/tasks/a/digest")]
    assert compile_plan(changed.plan) == (tmp_path / "compiled.json").read_bytes()


# --- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"time_limit": 1, "executable": "/x"}], [("shape.missing", "/0")]),
        ([{"task_id": "a", "executable": "/x"}], [("shape.missing", "/0")]),
        ([{"executable": "/x"}], [("shape.missing", "/0"), ("shape.missing", "/0")]),
        ([entry(time_limit=None)], [("shape.type", "/0/time_limit")]),
        ([entry(task_id=None)], [("shape.type", "/0/task_id")]),
        ([entry(task_id=3)], [("shape.type", "/0/task_id")]),
        ([entry(task_id=" ")], [("name.invalid", "/0/task_id")]),
        ([entry(time_limit=0)], [("unit.time", "/0/time_limit")]),
        ([entry(time_limit="30M")], [("unit.time", "/0/time_limit")]),
        ([entry(time_limit=True)], [("unit.time", "/0/time_limit")]),
        ([entry(memory="3 apples")], [("unit.size", "/0/memory")]),
        ([entry(memory=0)], [("unit.size", "/0/memory")]),
        ([entry(resources={"network bandwidth": "x"})], [("unit.size", "/0/resources/network bandwidth")]),
        ([entry(resources={"disk": True})], [("unit.size", "/0/resources/disk")]),
        ([entry(cpu=0)], [("shape.value", "/0/cpu")]),
        ([entry(cpu=True)], [("shape.type", "/0/cpu")]),
        ([entry(cpu="2")], [("shape.type", "/0/cpu")]),
        ([entry(gpu=-1)], [("shape.value", "/0/gpu")]),
        ([entry(resources={"tape": "x", "licence": -1})], [("shape.type", "/0/resources/tape"), ("shape.value", "/0/resources/licence")]),  # noqa: E501
        ([entry(resources=3)], [("shape.type", "/0/resources")]),
        ([entry(operational="x")], [("shape.type", "/0/operational")]),
        ([entry(dependencies=None)], [("shape.type", "/0/dependencies")]),
        ([entry(dependencies=[1])], [("shape.type", "/0/dependencies/0")]),
        ([entry(required_filepath=["a", "https://x/y"])], [("shape.value", "/0/required_filepath/1")]),
        ([entry(files="s3://x")], [("shape.value", "/0/files")]),
        ([entry(required_folder=[1])], [("shape.type", "/0/required_folder/0")]),
        ([entry(required_file_expression="(")], [("pattern.invalid", "/0/required_file_expression")]),
        ([entry(required_file_expression=["ok", {"pattern": "["}])], [("pattern.invalid", "/0/required_file_expression/1")]),
        ([entry(single_file_task="yes", required_folder="x")], [("shape.type", "/0/single_file_task")]),
        ([entry(files_in_directory={"path": "x", "minimum": 0})], [("shape.value", "/0/files_in_directory/minimum")]),
        ([entry(files_in_directory=[{"minimum": 1}])], [("shape.missing", "/0/files_in_directory/0")]),
        ([entry(**{"Files in Directory": {"Path": "x", "Minimum": 0}})], [("shape.value", "/0/Files in Directory/Minimum")]),
        ([{"task_id": "a", "time_limit": 1, "serialized": {"data": "???"}}], [("shape.value", "/0/serialized")]),
        ([entry(executable=None)], [("action.none", "/0")]),
        ([entry(executable=["/bin/true"])], [("shape.type", "/0/executable")]),
        ([entry(executable="")], [("shape.value", "/0/executable")]),
        ([entry(executable="a\0b")], [("shape.value", "/0/executable")]),
        ([entry(script="x.py")], [("action.many", "/0")]),
        ([entry(executable=None, script=3, serialized={})], [("action.many", "/0"), ("shape.type", "/0/script"), ("shape.conflict", "/0/serialized")]),  # noqa: E501
        ([{"task_id": "a", "time_limit": 1, "module": "m.py"}], [("action.none", "/0/module")]),
        ([{"task_id": "a", "time_limit": 1, "function": "f"}], [("shape.missing", "/0/function")]),
        ([{"task_id": "a", "time_limit": 1, "function": "f g", "module": "m"}], [("shape.value", "/0/function")]),
        ([{"task_id": "a", "time_limit": 1, "function": "f", "module": "m/x"}], [("shape.value", "/0/module")]),
        ([entry(parameters=[])], [("shape.type", "/0/parameters")]),
        ([entry(parameters={"k": {"x": 1}, "l": [[1]]})], [("shape.type", "/0/parameters/k")]),
        ([entry(parameters={"k": "a\0"})], [("shape.value", "/0/parameters/k")]),
        ([entry(parameters={"k": True}, parameter_mapping="{value}")], [("mapping.invalid", "/0/parameters/k")]),
        ([entry(parameter_mapping="--{name}")], [("mapping.invalid", "/0/parameter_mapping")]),
        ([entry(parameter_mapping="'")], [("mapping.invalid", "/0/parameter_mapping")]),
        ([entry(Engine={"Parameters": {"k": "a\0"}})], [("shape.value", "/0/Engine/Parameters/k")]),
        ([entry(max_attempts=0)], [("shape.value", "/0/max_attempts")]),
        ([entry(niceness=20)], [("shape.value", "/0/niceness")]),
        ([entry(priority=1.5)], [("shape.type", "/0/priority")]),
        ([entry(environment_variables={"A": 1, "B": "x\0", "C=": "x"})], [("shape.type", "/0/environment_variables/A"), ("shape.value", "/0/environment_variables/B"), ("shape.value", "/0/environment_variables/C=")]),  # noqa: E501
        ([entry(environment_variables=[1])], [("shape.type", "/0/environment_variables")]),
        ([entry(working_directory="")], [("shape.value", "/0/working_directory")]),
        ([entry(), entry()], [("name.duplicate", "/1")]),
        ([entry(dependencies=["b"])], [("ref.task", "/0/dependencies/0")]),
        ([entry(dependencies="aa")], [("ref.task", "/0/dependencies")]),
        ([{"operational": entry(depends_on=["a"])}], [("graph.cycle", "/0/operational/depends_on/0")]),
        (["x", entry()], [("shape.type", "/0")]),
        ({"tasks": {"a": entry()}, "task_id": "a"}, [("shape.type", "/tasks")]),
        ({"tasks": [entry()], "name": 3}, [("shape.type", "/name")]),
        ({"tasks": [entry()], "parameters": [3]}, [("shape.type", "/parameters")]),
        ({"tasks": [entry()], "parameters": {" ": 3}}, [("name.invalid", "/parameters/ ")]),
    ],
)  # fmt: skip
def test_every_mistake_has_its_code_and_its_place(
    tmp_path: Path, document: Any, expected: list[tuple[str, str]]
) -> None:
    found = problems_of(tmp_path, document)
    assert codes(found) == expected
    assert all(problem.line and problem.column and "\n" not in problem.message for problem in found)


def test_all_mistakes_are_told_at_once_and_broken_tasks_still_exist(tmp_path: Path) -> None:
    document = [
        entry(time_limit="soon", memory="x", cpu=0),
        {"task_id": "b", "time_limit": 1, "dependencies": ["a", "c"]},
        {"task_id": "c", "time_limt": 1, "executable": "/x", "required_file_expression": "("},
    ]
    assert codes(problems_of(tmp_path, document)) == [
        ("unit.time", "/0/time_limit"),
        ("unit.size", "/0/memory"),
        ("shape.value", "/0/cpu"),
        ("action.none", "/1"),
        ("shape.missing", "/2"),
        ("pattern.invalid", "/2/required_file_expression"),
    ]


def test_an_expression_that_would_be_a_sound_glob_is_told_as_one(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, [entry(required_file_expression="*.csv")])
    assert "glob:*.csv" in str(problem.hint)


@pytest.mark.parametrize(
    ("document", "location", "hint"),
    [
        ([entry(time_limits=3)], "/0/time_limits", "did you mean 'time_limit'?"),
        ([entry(operational={"required folders": "x"})], "/0/operational/required folders", "did you mean 'required_folder'?"),
        ({"tasks": [entry()], "parameter": {}}, "/parameter", "did you mean 'parameters'?"),
        ([entry(files_in_directory=[{"Path": "x", "Minimun": 2}])], "/0/files_in_directory/0/Minimun", "did you mean 'minimum'?"),
    ],
)  # fmt: skip
def test_unknown_keys_warn_with_the_nearest_name_and_are_errors_when_strict(
    tmp_path: Path, document: Any, location: str, hint: str
) -> None:
    (warning,) = loaded(tmp_path, document).warnings
    assert (warning.code, warning.location, warning.hint) == ("shape.unknown_key", location, hint)
    assert codes(problems_of(tmp_path, document, strict=True)) == [("shape.unknown_key", location)]


def test_a_dependency_that_is_named_twice_is_one_edge_and_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, [entry(task_id="b"), entry(Operational={"Depends On": ["b", "b"]})])
    assert found.plan.graph["a"].dependencies == (Dependency("b"),)
    assert [(warning.code, warning.location) for warning in found.warnings] == [
        ("name.duplicate", "/1/Operational/Depends On/1")
    ]


def test_what_says_nothing_beside_the_action_is_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, [entry(file_name="x.py")])
    assert [(warning.code, warning.location) for warning in found.warnings] == [("shape.unknown_key", "/0/file_name")]
    told = loaded(tmp_path, [entry(parameters={"zoom": 1}, parameter_mapping={"zom": "{value}", "*": "{key}"})])
    assert [(warning.location, warning.hint) for warning in told.warnings] == [
        ("/0/parameter_mapping/zom", "did you mean 'zoom'?")
    ]
    mapped = loaded(tmp_path, call("f", "json") | {"parameter_mapping": "{value}"})
    assert [warning.location for warning in mapped.warnings] == ["/parameter_mapping"]


def test_only_a_strict_validation_wants_cpu_and_memory_to_be_said(tmp_path: Path) -> None:
    assert loaded(tmp_path, [entry()], strict=True).warnings == ()
    found = problems_of(tmp_path, [entry(), entry(task_id="b", cpu=1, memory="1G")], strict=True, advise=lambda _: ())
    assert codes(found) == [("shape.missing", "/0"), ("shape.missing", "/0")]


def test_no_message_shows_the_value_of_a_variable(tmp_path: Path) -> None:
    document = [
        entry(environment_variables={"TOKEN": "hunter2\0"}, operational={"environment_variables": {"TOKEN": "hunter3"}})
    ]
    assert "hunter" not in str(PlanError(problems_of(tmp_path, document)))


def test_an_empty_list_of_tasks_is_an_empty_plan(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, {"tasks": []}, format="odop").plan.graph) == 0


def test_advice_about_the_normal_form_points_to_the_specification(tmp_path: Path) -> None:
    from weft.formats.link import Advice

    document = [
        {"operational": {"task id": "a", "required-folder": "in"}, "time": 1, "executable": "/x"}
        | {"resources": {"GPU": 1, "tape": 2, "cores": 1}, "working directory": "w"}
    ]
    asked: dict[tuple[str | int, ...], str] = {
        ("requires", "folders"): "/0/operational/required-folder",
        ("command", 0): "/0/executable",
        ("resources", "gpu"): "/0/resources/GPU",
        ("resources", "tape"): "/0/resources/tape",
        ("resources", "cores"): "/0/resources/cores",
        ("environment",): "/0/working directory",
        ("timeout",): "/0/time",
        ("notes",): "/0",
    }
    found = loaded(tmp_path, document, advise=lambda _: [Advice(0, path, "x", "y") for path in asked])
    assert {warning.location for warning in found.warnings if warning.code == "x"} == set(asked.values())
