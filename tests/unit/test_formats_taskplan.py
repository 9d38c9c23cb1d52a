"""The taskplan dialect: environments, notes and jobs; every field and every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.documents import codes, loaded, problems_of
from weft.errors import PlanError
from weft.formats.compile import compile_plan
from weft.formats.link import link
from weft.formats.load import load
from weft.formats.mistakes import Mistakes
from weft.formats.taskplan import draft_of
from weft.spec.actions import Command, Expand, Shell
from weft.spec.environments import Environment, ShellValue
from weft.spec.tasks import Dependency

GREET = """{"envs": {"plain": {}}, "jobs": {"greet": {"env": "plain", "command": ["echo", "good morning"]}}}"""
LAB = {
    "envs": {
        "lab": {
            "runtime": "python3",
            "requirements": ["numpy>=2"],
            "path": "work",
            "variables": {"DAY": "`date +%F`", "RESULT": "${HOME}/result_$DAY.csv"},
        }
    },
    "notes": {
        "diary": {"class_name": "SimpleFileLog", "path": "diary_$OX_TASK_JOB_NAME.log"},
        "alarm": {"class_name": "telegram", "token": "$BOT_TOKEN", "chat_id": "42", "conditions": ["only_if_failed"]},
    },
    "jobs": {
        "measure": {
            "env": "lab",
            "note": ["diary", "alarm"],
            "command": ["python", "measure.py", "--to", "$RESULT"],
            "timeout": "10min",
        },
        "count": {
            "env": "lab",
            "note": "diary",
            "shell": True,
            "command": ['wc -l < "$RESULT"'],
            "dependencies": ["measure"],
        },
    },
}


def job(**fields: Any) -> dict[str, Any]:
    return {"jobs": {"a": {"command": ["true"], **fields}}}


def env(**fields: Any) -> dict[str, Any]:
    return {"envs": {"e": fields}, "jobs": {}}


def test_the_smallest_example_is_one_command_in_file_order(tmp_path: Path) -> None:
    found = loaded(tmp_path, GREET)
    (task,) = found.plan.graph.tasks
    assert task.action == Command(("echo", "good morning"))
    assert (task.policy.environment, found.plan.order, found.warnings) == ("plain", "file", ())
    assert found.plan.sources[0].dialect == "taskplan"


def test_the_larger_example_means_what_its_chapter_says(tmp_path: Path) -> None:
    plan = loaded(tmp_path, LAB).plan
    measure, count = plan.graph.tasks
    assert measure.action == Command(("python", "measure.py", "--to", Expand("$RESULT")))
    assert (measure.policy.timeout, measure.policy.notes) == (600, ("diary", "alarm"))
    assert count.action == Shell('wc -l < "$RESULT"')
    assert count.dependencies == (Dependency("measure"),)
    assert plan.environments["lab"] == Environment(
        "python3",
        ("numpy>=2",),
        "work",
        (("DAY", ShellValue("date +%F")), ("RESULT", Expand("${HOME}/result_$DAY.csv"))),
    )
    assert plan.notes["diary"].kind == "file"
    assert plan.notes["alarm"].conditions == ("only_if_failed",)
    assert dict(measure.policy.resources) == {"cores": 1000}


def test_plain_data_of_a_module_gives_what_its_document_gives(tmp_path: Path) -> None:
    mistakes = Mistakes()
    draft = draft_of(LAB, "plan.py", mistakes, folder=str(tmp_path), key=str(tmp_path / "plan.py"), digest="00")
    plan = link([draft], str(tmp_path), None, (), mistakes)
    assert not mistakes.errors
    assert plan is not None
    document = loaded(tmp_path, LAB).plan
    assert (plan.graph.tasks, plan.environments, plan.notes) == (
        document.graph.tasks,
        document.environments,
        document.notes,
    )
    assert (plan.order, plan.sources[0].dialect, plan.sources[0].path) == ("file", "taskplan", "plan.py")
    draft_of({"jobs": {"x": {}}}, "plan.py", mistakes, allow_shell=False)
    assert [(mistake.code, mistake.file, mistake.location) for mistake in mistakes.errors] == [
        ("shape.missing", "plan.py", "/jobs/x")
    ]


def test_a_compiled_task_plan_compiles_to_itself(tmp_path: Path) -> None:
    first = compile_plan(loaded(tmp_path, LAB).plan)
    assert compile_plan(loaded(tmp_path, first.decode(), "compiled.json").plan) == first


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("`date`", ShellValue("date")),
        ("`echo $A`", ShellValue("echo $A")),
        ("` `", ShellValue(" ")),
        ("``", "``"),
        ("`", "`"),
        ("a `date`", "a `date`"),
        ("`date` $A", Expand("`date` $A")),
        ("$A", Expand("$A")),
        ("100$$", Expand("100$$")),
        ("", ""),
    ],
)
def test_values_of_variables_are_text_substituted_or_evaluated(tmp_path: Path, text: str, value: Any) -> None:
    plan = loaded(tmp_path, env(variables={"__why": 3, "_X1": text})).plan
    assert plan.environments["e"].variables == (("_X1", value),)


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        (
            {"command": ["a b", "$X", "{y}", "", "${Z} c"]},
            Command(("a b", Expand("$X"), "{{y}}", "", Expand("${Z} c"))),
        ),
        ({"command": ["$PROGRAM"]}, Command((Expand("$PROGRAM"),))),
        ({"command": ["a", "b c", "$X"], "shell": True}, Shell("a b c $X")),
        ({"command": "a 'b c' | {d}", "shell": True}, Shell("a 'b c' | {d}")),
        ({"command": ["a"], "shell": False}, Command(("a",))),
        ({"command": ["a"], "shell": None}, Command(("a",))),
    ],
)
def test_commands_stay_words_and_scripts_stay_text(tmp_path: Path, fields: dict[str, Any], action: Any) -> None:
    found = loaded(tmp_path, {"jobs": {"a": fields}})
    assert found.plan.graph["a"].action == action
    assert found.warnings == ()


def test_one_text_without_a_shell_is_split_with_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, job(command="echo 'a b' $X"))
    assert found.plan.graph["a"].action == Command(("echo", "a b", Expand("$X")))
    assert [(warning.code, warning.location) for warning in found.warnings] == [("shape.value", "/jobs/a/command")]


def test_every_addition_means_what_it_means_in_the_normal_form(tmp_path: Path) -> None:
    fields = {"timeout": "1h", "resources": {"cores": 2, "memory": "1G"}, "max_attempts": 3, "outputs": "x"}
    fields |= {"cache": "always", "priority": 4, "description": "why", "note": "", "env": None}
    task = loaded(tmp_path, job(**fields)).plan.graph["a"]
    policy = task.policy
    assert (policy.timeout, dict(policy.resources)) == (3600, {"cores": 2000, "memory": 1 << 30})
    assert (policy.retries.max_attempts, task.outputs, policy.cache) == (3, ("x",), "always")
    assert (policy.priority, policy.description, policy.notes, policy.environment) == (4, "why", (), None)
    assert loaded(tmp_path, job(timeout=None)).plan.graph["a"].policy.timeout is None


def test_several_plans_are_united_and_refer_to_each_other(tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"envs": {"e": {}}, "notes": {"n": {"class_name": "echo"}}}', encoding="utf-8")
    (tmp_path / "jobs.json").write_text(
        '{"jobs": {"a": {"command": ["x"], "env": "e", "note": "n"}, "b": {"command": ["y"], "dependencies": ["a"]}}}',
        encoding="utf-8",
    )
    plan = load(["jobs.json", "more.json"], cwd=str(tmp_path)).plan
    assert [task.name for task in plan.graph.tasks] == ["a", "b"]
    assert (plan.graph["a"].policy.environment, plan.graph["a"].policy.notes) == ("e", ("n",))


def test_the_same_name_in_two_plans_is_told_with_both_places(tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text('{"envs": {"e": {}}, "jobs": {"a": {"command": ["x"]}}}', encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["one.json", "two.json"], cwd=str(tmp_path))
    found = caught.value.problems()
    assert codes(found) == [("name.duplicate", "/envs/e"), ("name.duplicate", "/jobs/a")]
    assert all("one.json" in problem.message and "two.json" in problem.message for problem in found)


def test_braces_of_a_script_stay_braces_beside_a_plan_with_options(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text(json.dumps(job(command="echo {x} ${y}", shell=True)), encoding="utf-8")
    (tmp_path / "options.json").write_text(
        '{"weft": 1, "options": {"x": {"default": 1}}, "tasks": {}}', encoding="utf-8"
    )
    plan = load(["jobs.json", "options.json"], cwd=str(tmp_path)).plan
    assert plan.graph["a"].action == Shell("echo {{x}} ${y}")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"jobs": []}, [("shape.type", "/jobs")]),
        ({"envs": 1, "notes": "x", "jobs": True}, [("shape.type", "/envs"), ("shape.type", "/notes"), ("shape.type", "/jobs")]),
        ({"jobs": {"a": []}}, [("shape.type", "/jobs/a")]),
        ({"jobs": {"": {"command": ["x"]}}}, [("name.invalid", "/jobs/")]),
        ({"envs": {"e": []}}, [("shape.type", "/envs/e")]),
        ({"notes": {"n": 3}}, [("shape.type", "/notes/n")]),
        ({"jobs": {"a": {}}}, [("shape.missing", "/jobs/a")]),
        (job(command=None), [("shape.type", "/jobs/a/command")]),
        (job(command=[]), [("shape.value", "/jobs/a/command")]),
        (job(command=" "), [("shape.value", "/jobs/a/command")]),
        (job(command=[""], shell=True), [("shape.value", "/jobs/a/command")]),
        (job(command=["x", 3]), [("shape.type", "/jobs/a/command/1")]),
        (job(command=["x", "a\0"]), [("shape.value", "/jobs/a/command/1")]),
        (job(command={"x": 1}), [("shape.type", "/jobs/a/command")]),
        (job(command="a 'b"), [("shape.value", "/jobs/a/command")]),
        (job(shell="yes"), [("shape.type", "/jobs/a/shell")]),
        (job(timeout=0), [("unit.time", "/jobs/a/timeout")]),
        (job(timeout=-3), [("unit.time", "/jobs/a/timeout")]),
        (job(timeout="1:30"), [("unit.time", "/jobs/a/timeout")]),
        (job(env="none"), [("ref.environment", "/jobs/a/env")]),
        (job(env=3), [("shape.type", "/jobs/a/env")]),
        (job(env=""), [("ref.environment", "/jobs/a/env")]),
        (job(note="none"), [("ref.note", "/jobs/a/note")]),
        (job(note=["none"]), [("ref.note", "/jobs/a/note/0")]),
        (job(dependencies="a"), [("shape.type", "/jobs/a/dependencies")]),
        (job(dependencies=None), [("shape.type", "/jobs/a/dependencies")]),
        (job(dependencies=["b"]), [("ref.task", "/jobs/a/dependencies/0")]),
        (job(dependencies=["a"]), [("graph.cycle", "/jobs/a/dependencies/0")]),
        (job(cache="sometimes"), [("shape.value", "/jobs/a/cache")]),
        (job(max_attempts=0), [("shape.value", "/jobs/a/max_attempts")]),
        (job(resources={"memory": 5}), [("unit.size", "/jobs/a/resources/memory")]),
        (env(runtime=3.11), [("shape.type", "/envs/e/runtime")]),
        (env(runtime=""), [("shape.value", "/envs/e/runtime")]),
        (env(requirements="numpy"), [("shape.type", "/envs/e/requirements")]),
        (env(requirements=["a", 1, "b\nc"]), [
            ("shape.type", "/envs/e/requirements/1"),
            ("shape.value", "/envs/e/requirements/2"),
        ]),
        (env(path=["x"]), [("shape.type", "/envs/e/path")]),
        (env(variables=["X=1"]), [("shape.type", "/envs/e/variables")]),
        (env(variables={"A": 1, "B": None, "C": "x\0"}), [
            ("shape.type", "/envs/e/variables/A"),
            ("shape.type", "/envs/e/variables/B"),
            ("shape.value", "/envs/e/variables/C"),
        ]),
        (env(variables={"1A": "x", "A-B": "x", "": "x"}), [
            ("name.invalid", "/envs/e/variables/1A"),
            ("name.invalid", "/envs/e/variables/A-B"),
            ("name.invalid", "/envs/e/variables/"),
        ]),
        (env(fingerprint=1), [("shape.type", "/envs/e/fingerprint")]),
        ({"notes": {"n": {}}}, [("shape.missing", "/notes/n")]),
        ({"notes": {"n": {"class_name": "SimpleFileLog"}}}, [("shape.missing", "/notes/n")]),
        ({"notes": {"n": {"class_name": "echo", "path": "x"}}}, [("shape.unknown_key", "/notes/n/path")]),
        ({"notes": {"n": {"class_name": "ehco"}}}, [("ref.note_class", "/notes/n/class_name")]),
        ({"notes": {"n": {"class_name": "echo", "conditions": ["only_if"]}}}, [("shape.value", "/notes/n/conditions/0")]),
    ],
)  # fmt: skip
def test_every_mistake_has_its_code_and_its_place(
    tmp_path: Path, document: Any, expected: list[tuple[str, str]]
) -> None:
    found = problems_of(tmp_path, document)
    assert codes(found) == expected
    assert all(problem.line and problem.column and "\n" not in problem.message for problem in found)


@pytest.mark.parametrize(
    ("document", "location", "hint"),
    [
        ({"jobs": {}, "job": {}}, "/job", "did you mean 'jobs'?"),
        (job(depends=["x"]), "/jobs/a/depends", "did you mean 'dependencies'?"),
        (env(runtimes="x"), "/envs/e/runtimes", "did you mean 'runtime'?"),
    ],
)
def test_unknown_keys_warn_with_the_nearest_name_and_are_errors_when_strict(
    tmp_path: Path, document: Any, location: str, hint: str
) -> None:
    (warning,) = loaded(tmp_path, document).warnings
    assert (warning.code, warning.location, warning.hint) == ("shape.unknown_key", location, hint)
    assert codes(problems_of(tmp_path, document, strict=True)) == [("shape.unknown_key", location)]


def test_comments_never_warn(tmp_path: Path) -> None:
    document = {"__": 1, "comment": 2, "title": "x", **job(__x=1, comment="y"), "envs": {"e": {"__y": 1}}}
    assert loaded(tmp_path, document).warnings == ()


def test_an_absolute_folder_is_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, env(path="/srv"))
    assert found.plan.environments["e"].path == "/srv"
    assert [warning.location for warning in found.warnings] == ["/envs/e/path"]


def test_each_backtick_is_refused_when_no_shell_may_evaluate_it(tmp_path: Path) -> None:
    document = env(variables={"A": "`a`", "B": "b", "C": "`c`"})
    found = problems_of(tmp_path, document, shell_eval=False)
    assert codes(found) == [("policy.refused", "/envs/e/variables/A"), ("policy.refused", "/envs/e/variables/C")]


def test_no_message_shows_the_value_of_a_variable(tmp_path: Path) -> None:
    document = env(variables={"TOKEN": "hunter2\0", "KEY": ["hunter3"], "8": "`hunter4`"})
    assert "hunter" not in str(PlanError(problems_of(tmp_path, document, shell_eval=False)))


def schema_of_variables(schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"envs": {"additionalProperties": {"properties": {"variables": schema}}}}}


@pytest.mark.parametrize(
    "schema",
    [
        schema_of_variables({"maxProperties": 0}),
        schema_of_variables({"additionalProperties": {"enum": []}}),
        {"anyOf": [{"properties": {"envs": {"maxProperties": 0}}}, {"properties": {"envs": {"const": 1}}}]},
        {"not": {}},
    ],
)
def test_no_violation_of_a_schema_shows_the_value_of_a_variable(tmp_path: Path, schema: Any) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    problems = problems_of(tmp_path, env(variables={"TOKEN": "hunter2"}), schema=str(tmp_path / "schema.json"))
    assert [problem.code for problem in problems] == ["schema.violation"]
    assert "hunter" not in str(PlanError(problems))
