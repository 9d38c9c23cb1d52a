"""The wfformat dialect: every version, edges of both directions, measured values, bytes; real instances and every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.documents import codes, loaded, problems_of
from weft.errors import PlanError
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.spec.plan import Plan

INSTANCES = Path(__file__).parents[1] / "data" / "wfinstances"
DUO = """{"name": "duo", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": [{"name": "cut", "id": "cut_1", "parents": [], "children": []}]}}}"""  # noqa: E501
MEASURED = {
    "name": "duo",
    "schemaVersion": "1.5",
    "runtimeSystem": {"name": "weft", "version": "1"},
    "workflow": {
        "specification": {
            "tasks": [
                {"name": "cut", "id": "cut_1", "parents": [], "children": ["glue_1"], "outputFiles": ["piece.bin"]},
                {"name": "glue", "id": "glue_1", "parents": ["cut_1"], "children": [], "inputFiles": ["piece.bin"]},
            ],
            "files": [{"id": "piece.bin", "sizeInBytes": 4096}],
        },
        "execution": {
            "makespanInSeconds": 9.5,
            "executedAt": "2031-02-03T04:05:06Z",
            "tasks": [
                {"id": "cut_1", "runtimeInSeconds": 4.0, "memoryInBytes": 1048576},
                {"id": "glue_1", "runtimeInSeconds": 5.0, "coreCount": 2, "machines": ["n1"]},
            ],
            "machines": [{"nodeName": "n1", "cpu": {"coreCount": 4}, "memoryInBytes": 8589934592}],
        },
    },
}


def task(name: str, parents: Any = (), children: Any = (), **more: Any) -> dict[str, Any]:
    return {"name": name.upper(), "id": name, "parents": list(parents), "children": list(children), **more}


def document(*tasks: Any, execution: Any = None, files: Any = (), **top: Any) -> dict[str, Any]:
    specification = {"tasks": list(tasks), "files": list(files)}
    measured = [{"id": each["id"], "runtimeInSeconds": 1} for each in tasks if isinstance(each, dict) and "id" in each]
    given = {"tasks": measured} if execution is None else execution
    workflow = {"specification": specification, "execution": given}
    return {"name": "w", "schemaVersion": "1.5", "workflow": workflow, **top}


def edges_of(plan: Plan) -> dict[str, list[str]]:
    return {each.name: [edge.name for edge in each.dependencies] for each in plan.graph.tasks}


# --- what documents say ------------------------------------------------------------------------------------------------


def test_the_smallest_example_has_no_measurement(tmp_path: Path) -> None:
    found = loaded(tmp_path, DUO)
    (only,) = found.plan.graph.tasks
    assert (only.name, only.policy.attributes["category"], only.policy.duration) == ("cut_1", "cut", 0)
    assert [(warning.code, warning.location) for warning in found.warnings] == [("shape.missing", "/workflow")]


def test_the_larger_example_means_what_its_chapter_says(tmp_path: Path) -> None:
    found = loaded(tmp_path, MEASURED)
    plan = found.plan
    cut, glue = plan.graph.tasks
    assert found.warnings == ()
    assert edges_of(plan) == {"cut_1": [], "glue_1": ["cut_1"]}
    assert (cut.policy.duration, dict(cut.policy.resources)) == (4, {"cores": 1000, "memory": 1048576})
    assert (glue.policy.duration, dict(glue.policy.resources)) == (5, {"cores": 2000})
    assert {each.policy.executor for each in plan.graph.tasks} == {"simulated"}
    assert glue.policy.attributes == {"category": "glue", "machines": ["n1"], "bytes_from": {"cut_1": 4096}}
    assert cut.policy.attributes == {"category": "cut", "bytes_written": 4096}
    assert plan.attributes == {
        "schemaVersion": "1.5",
        "runtimeSystem": {"name": "weft", "version": "1"},
        "makespanInSeconds": 9.5,
        "executedAt": "2031-02-03T04:05:06Z",
        "machines": [{"nodeName": "n1", "cores": 4, "memory": 8 << 30}],
    }


@pytest.mark.parametrize(
    ("name", "tasks", "edges"),
    [
        ("helloworld-chain-5-chameleon", 5, 4),
        ("helloworld-forkjoin-10-chameleon", 10, 16),
        ("srasearch-chameleon-10a-002", 22, 30),
    ],
)
def test_real_instances_are_read_and_compile_to_themselves(tmp_path: Path, name: str, tasks: int, edges: int) -> None:
    raw = json.loads((INSTANCES / f"{name}.json").read_text(encoding="utf-8"))
    plan = load([str(INSTANCES / f"{name}.json")]).plan
    specified = raw["workflow"]["specification"]["tasks"]
    assert [each.name for each in plan.graph.tasks] == [each["id"] for each in specified]
    assert edges_of(plan) == {each["id"]: each["parents"] for each in specified}
    measured = {each["id"]: each["runtimeInSeconds"] for each in raw["workflow"]["execution"]["tasks"]}
    assert {each.name: each.policy.duration for each in plan.graph.tasks} == measured
    assert (len(plan.graph), sum(map(len, edges_of(plan).values()))) == (tasks, edges)
    compiled = compile_plan(plan)
    (tmp_path / "compiled.json").write_bytes(compiled)
    assert compile_plan(load([str(tmp_path / "compiled.json")]).plan) == compiled


def test_edges_of_both_directions_are_united_and_one_sided_ones_told(tmp_path: Path) -> None:
    found = loaded(tmp_path, document(task("a", children=["b"]), task("c", ["b"]), task("b", ["a"])))
    assert edges_of(found.plan) == {"a": [], "c": ["b"], "b": ["a"]}
    assert [warning.location for warning in found.warnings] == ["/workflow/specification/tasks/1/parents/0"]
    assert "'b' to 'c'" in found.warnings[0].message
    other = loaded(tmp_path, document(task("a", children=["b"]), task("b")))
    assert edges_of(other.plan) == {"a": [], "b": ["a"]}
    assert [warning.location for warning in other.warnings] == ["/workflow/specification/tasks/0/children/0"]


def test_an_edge_that_is_named_twice_is_one_and_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, document(task("a", children=["b"]), task("b", ["a", "a"])))
    assert edges_of(found.plan) == {"a": [], "b": ["a"]}
    assert [(warning.code, warning.location) for warning in found.warnings] == [
        ("name.duplicate", "/workflow/specification/tasks/1/parents/1")
    ]


FILES = [{"id": "f", "sizeInBytes": 7}, {"id": "g", "sizeInBytes": 5}, {"id": "zero", "sizeInBytes": 0}]


def test_bytes_pass_from_makers_to_readers_or_are_staged(tmp_path: Path) -> None:
    makers = task("a", children=["b"], outputFiles=["f", "zero"])
    found = loaded(tmp_path, document(makers, task("b", ["a"], inputFiles=["f", "g", "zero"]), files=FILES))
    a, b = found.plan.graph.tasks
    assert (a.policy.attributes["bytes_written"], found.warnings) == (7, ())
    assert (b.policy.attributes["bytes_from"], b.policy.attributes["bytes_staged"]) == ({"a": 7}, 5)


def test_a_file_makes_an_edge_only_where_no_edge_is_declared(tmp_path: Path) -> None:
    makes, reads = task("a", outputFiles=["f"]), task("b", inputFiles=["f"])
    alone = loaded(tmp_path, document(makes, reads, files=FILES))
    assert edges_of(alone.plan) == {"a": [], "b": ["a"]}
    beside = loaded(tmp_path, document(makes, reads, task("c", children=["d"]), task("d", ["c"]), files=FILES))
    assert edges_of(beside.plan) == {"a": [], "b": [], "c": [], "d": ["c"]}
    for found in (alone, beside):
        assert [warning.location for warning in found.warnings] == ["/workflow/specification/tasks/1"]


def test_a_file_that_is_not_listed_counts_nothing_and_is_told_once(tmp_path: Path) -> None:
    tasks = (task("a", children=["b"], outputFiles=["h"]), task("b", ["a"], inputFiles=["h"]))
    found = loaded(tmp_path, document(*tasks, files=FILES))
    assert [warning.location for warning in found.warnings] == ["/workflow/specification/tasks/0/outputFiles/0"]
    assert found.plan.graph["b"].policy.attributes["bytes_from"] == {"a": 0}


def test_a_task_without_a_measurement_counts_nothing_and_is_told(tmp_path: Path) -> None:
    execution = {"tasks": [{"id": "a", "runtimeInSeconds": 0}]}
    found = loaded(tmp_path, document(task("a"), task("b"), execution=execution))
    assert [each.policy.duration for each in found.plan.graph.tasks] == [0, 0]
    assert [warning.location for warning in found.warnings] == ["/workflow/specification/tasks/1"]


def test_a_number_beyond_all_bounds_is_told(tmp_path: Path) -> None:
    execution = {"tasks": [{"id": "a", "runtimeInSeconds": 10**400}]}
    with pytest.raises(PlanError) as caught:
        loaded(tmp_path, document(task("a"), execution=execution))
    (problem,) = caught.value.problems()
    assert (problem.code, problem.location) == ("shape.value", "/workflow/execution/tasks/0/runtimeInSeconds")


def test_what_was_measured_besides_is_kept_and_steers_nothing(tmp_path: Path) -> None:
    measured = {"id": "a", "runtimeInSeconds": 1.25, "avgCPU": 90.5, "readBytes": 3, "writtenBytes": 4, "priority": 9}
    measured |= {"energyInKWh": 0.5, "avgPowerInW": 2, "command": {"program": "x", "arguments": ["; y"]}, "odd": 1}
    found = loaded(tmp_path, document(task("a", odd=1), execution={"tasks": [measured], "odd": 1}, odd=1))
    policy = found.plan.graph["a"].policy
    assert (policy.priority, policy.duration, found.warnings) == (0, 1.25, ())
    assert policy.attributes == {
        "category": "A",
        **{key: measured[key] for key in ("avgCPU", "readBytes", "writtenBytes", "priority")},
        **{key: measured[key] for key in ("energyInKWh", "avgPowerInW", "command")},
    }


def test_a_host_with_next_to_no_memory_is_told_and_one_named_twice_is_one(tmp_path: Path) -> None:
    machines = [
        {"nodeName": "n", "cpu": {"coreCount": 4}, "memoryInBytes": 196483612},
        {"nodeName": "n", "cpu": {"coreCount": 8}},
        {"nodeName": "m"},
    ]
    execution = {"tasks": [{"id": "a", "runtimeInSeconds": 1}], "machines": machines}
    found = loaded(tmp_path, document(task("a"), execution=execution))
    assert found.plan.attributes["machines"] == [
        {"nodeName": "n", "cores": 4, "memory": 196483612},
        {"nodeName": "m"},
    ]
    assert [warning.location for warning in found.warnings] == ["/workflow/execution/machines/0/memoryInBytes"]


def test_ids_may_hold_slashes_and_spaces_and_names_may_repeat(tmp_path: Path) -> None:
    first, second = task("x/1 a", children=["x/2 b"]), task("x/2 b", ["x/1 a"])
    first["name"] = second["name"] = "same"
    plan = loaded(tmp_path, document(first, second)).plan
    assert edges_of(plan) == {"x/1 a": [], "x/2 b": ["x/1 a"]}


# --- versions ----------------------------------------------------------------------------------------------------------


def old(version: str, tasks: list[dict[str, Any]], key: str = "tasks", **workflow: Any) -> dict[str, Any]:
    return {"name": "w", "schemaVersion": version, "wms": {"name": "p"}, "workflow": {key: tasks, **workflow}}


V14 = [
    {
        "name": "cut",
        "id": "ID1",
        "parents": [],
        "children": ["glue"],
        "runtimeInSeconds": 4,
        "cores": 2,
        "memoryInBytes": 9,
        "energy": 3,
        "avgPower": 4,
        "machine": "n1",
        "command": {"program": "x"},
        "files": [{"link": "output", "name": "p", "sizeInBytes": 7}],
    },
    {
        "name": "glue",
        "id": "ID2",
        "parents": ["ID1"],
        "children": [],
        "runtimeInSeconds": 5,
        "files": [{"link": "input", "name": "p", "sizeInBytes": 7, "path": "/x"}],
    },
]


def renamed(tasks: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    def each(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): each(inner) for key, inner in value.items()}
        return [each(item) for item in value] if isinstance(value, list) else value

    return [each(item) for item in tasks]


V13 = renamed(V14, {"runtimeInSeconds": "runtime", "sizeInBytes": "size", "memoryInBytes": "memory"})
V11 = renamed(V13, {"command": "arguments"})


@pytest.mark.parametrize(
    ("raw", "memory"),
    [
        (old("1.4", V14, machines=[{"nodeName": "n1", "cpu": {"count": 4}}], makespanInSeconds=9), 9),
        (old("1.3", V13, machines=[{"nodeName": "n1", "cpu": {"count": 4}}], makespan=9), 9000),
        (old("1.2", V13, "jobs", machines=[{"nodeName": "n1", "cpu": {"count": 4}}], makespan=9), 9000),
        (old("1.1", V11, "jobs", machines=[{"nodeName": "n1", "cpu": {"count": 4}}], makespan=9), 9000),
        (old("1.0", V11, "jobs", machines=[{"nodeName": "n1", "cpu": {"count": 4}}], makespan=9), 9000),
    ],
)
def test_older_versions_are_read_by_renaming(tmp_path: Path, raw: dict[str, Any], memory: int) -> None:
    found = loaded(tmp_path, raw)
    plan = found.plan
    cut, glue = plan.graph.tasks
    assert edges_of(plan) == {"ID1": [], "ID2": ["ID1"]}
    assert dict(cut.policy.resources) == {"cores": 2000, "memory": memory}
    assert (cut.policy.duration, glue.policy.duration) == (4, 5)
    assert glue.policy.attributes == {"category": "glue", "bytes_from": {"ID1": 7}}
    assert dict(cut.policy.attributes) == {
        "category": "cut",
        "energyInKWh": 3,
        "avgPowerInW": 4,
        "command": {"program": "x"},
        "machines": ["n1"],
        "bytes_written": 7,
    }
    assert plan.attributes["runtimeSystem"] == {"name": "p"}
    assert plan.attributes["makespanInSeconds"] == 9
    assert plan.attributes["machines"] == [{"nodeName": "n1", "cores": 4}]
    assert found.warnings == ()


def test_the_oldest_tasks_may_have_no_id(tmp_path: Path) -> None:
    tasks = [
        {"name": "a", "children": ["b"], "runtime": 1, "parents": []},
        {"name": "b", "parents": ["a"], "runtime": 1},
    ]
    assert edges_of(loaded(tmp_path, old("1.0", tasks, "jobs")).plan) == {"a": [], "b": ["a"]}
    assert codes(problems_of(tmp_path, old("1.3", tasks[:1]))) == [("shape.missing", "/workflow/tasks/0")]


def test_a_name_of_several_tasks_names_none_of_them(tmp_path: Path) -> None:
    tasks = [{"name": "a", "id": "1", "runtime": 1}, {"name": "a", "id": "2", "runtime": 1}]
    tasks += [{"name": "b", "id": "3", "runtime": 1, "parents": ["a"]}]
    (problem,) = problems_of(tmp_path, old("1.3", tasks))
    assert (problem.code, problem.location, problem.hint) == (
        "ref.task",
        "/workflow/tasks/2/parents/0",
        "name the task by its id",
    )


def test_the_newest_version_only_adds_what_is_ignored(tmp_path: Path) -> None:
    raw = {**MEASURED, "schemaVersion": "1.6", "metrics": {"x": 1}}
    assert loaded(tmp_path, raw).plan.graph.tasks == loaded(tmp_path, MEASURED).plan.graph.tasks


def test_another_version_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {**MEASURED, "schemaVersion": "2.0"})
    assert (problem.code, problem.location) == ("shape.value", "/schemaVersion")
    assert "1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6" in str(problem.hint)


# --- mistakes ----------------------------------------------------------------------------------------------------------

TASKS = "/workflow/specification/tasks"
RUNS = "/workflow/execution/tasks"


def measured(**fields: Any) -> dict[str, Any]:
    return document(task("a"), execution={"tasks": [{"id": "a", "runtimeInSeconds": 1, **fields}]})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"schemaVersion": "1.5", "workflow": {}}, [("shape.missing", ""), ("shape.missing", "/workflow")]),
        ({"name": 3, "schemaVersion": 1.5, "workflow": 4}, [
            ("shape.type", "/name"),
            ("shape.type", "/schemaVersion"),
            ("shape.type", "/workflow"),
        ]),
        (document() | {"name": " "}, [("name.invalid", "/name")]),
        ({"name": "w", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": {}}}}, [("shape.type", TASKS)]),
        ({"name": "w", "schemaVersion": "1.4", "workflow": {}}, [("shape.missing", "/workflow")]),
        (document("x"), [("shape.type", f"{TASKS}/0")]),
        (document({"name": "x"}), [("shape.missing", f"{TASKS}/0")]),
        (document({"id": "x"}), [("shape.missing", f"{TASKS}/0")]),
        (document(task("a") | {"id": "\n"}), [("name.invalid", f"{TASKS}/0/id")]),
        (document(task("a"), task("a")), [("name.duplicate", f"{RUNS}/1/id"), ("name.duplicate", f"{TASKS}/1")]),
        (document(task("a") | {"parents": "b"}), [("shape.type", f"{TASKS}/0/parents")]),
        (document(task("a", [3])), [("shape.type", f"{TASKS}/0/parents/0")]),
        (document(task("alpha"), task("b", ["alpah"], ["none"])), [
            ("ref.task", f"{TASKS}/1/parents/0"),
            ("ref.task", f"{TASKS}/1/children/0"),
        ]),
        (document(task("a", ["a"])), [("graph.cycle", f"{TASKS}/0/parents/0")]),
        (document(task("a", [], ["b"]), task("b", [], ["a"])), [("graph.cycle", f"{TASKS}/1/children/0")]),
        (document(task("a"), files=[{"id": "f"}]), [("shape.missing", "/workflow/specification/files/0")]),
        (document(task("a"), files=[{"id": "f", "sizeInBytes": -1}]), [
            ("shape.value", "/workflow/specification/files/0/sizeInBytes"),
        ]),
        (document(task("a", inputFiles=[1])), [("shape.type", f"{TASKS}/0/inputFiles/0")]),
        (document(task("a"), execution=[]), [("shape.type", "/workflow/execution")]),
        (document(task("a"), execution={"tasks": [{"id": "b", "runtimeInSeconds": 1}]}), [("ref.task", f"{RUNS}/0/id")]),
        (document(task("a"), execution={"tasks": [{"id": "a"}]}), [("shape.missing", f"{RUNS}/0")]),
        (measured(runtimeInSeconds=-1), [("shape.value", f"{RUNS}/0/runtimeInSeconds")]),
        (measured(runtimeInSeconds="1"), [("shape.type", f"{RUNS}/0/runtimeInSeconds")]),
        (measured(runtimeInSeconds=True), [("shape.type", f"{RUNS}/0/runtimeInSeconds")]),
        (measured(coreCount="x", memoryInBytes=-3), [
            ("shape.type", f"{RUNS}/0/coreCount"),
            ("shape.value", f"{RUNS}/0/memoryInBytes"),
        ]),
        (document(task("a"), execution={"machines": [{"cpu": {}}], "makespanInSeconds": "x"}), [
            ("shape.missing", "/workflow/execution/machines/0"),
            ("shape.type", "/workflow/execution/makespanInSeconds"),
        ]),
        (old("1.4", [{**V14[0], "children": [], "files": [{"name": "f", "link": "in"}, {"link": "input"}]}]), [
            ("shape.value", "/workflow/tasks/0/files/0/link"),
            ("shape.missing", "/workflow/tasks/0/files/1"),
        ]),
    ],
)  # fmt: skip
def test_every_mistake_has_its_code_and_its_place(tmp_path: Path, raw: Any, expected: list[tuple[str, str]]) -> None:
    found = problems_of(tmp_path, raw, format="wfformat")
    assert sorted(codes(found)) == sorted(expected)
    assert all(problem.line and problem.column and "\n" not in problem.message for problem in found)


def test_the_nearest_id_is_offered(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, document(task("alpha"), task("b", ["alpah"])))
    assert problem.hint == "did you mean 'alpha'?"


def test_warnings_are_errors_when_strict(tmp_path: Path) -> None:
    assert codes(problems_of(tmp_path, DUO, strict=True)) == [("shape.missing", "/workflow")]
