"""Task specifications, task plans and recorded workflows through the installed command, as their chapters show them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Weft

INSTANCE = Path(__file__).parents[1] / "data" / "wfinstances" / "helloworld-forkjoin-10-chameleon.json"
SURVEY = {
    "name": "survey",
    "parameters": {"season": "2031"},
    "tasks": [
        {
            "task id": "tile",
            "time limit": "15min",
            "cpu": 2,
            "executable": "bin/tile",
            "parameters": {"zoom": [3, 4], "fast": True, "seed": None},
            "parameter_mapping": "--{key}={value}",
        },
        {
            "operational": {
                "task_id": "shade",
                "time_limit": "1h30m",
                "required_file_expression": "tiles/t_[0-9]+\\.bin",
                "single_file_task": True,
                "filepath_parameter": "tile",
            },
            "engine": {"module": "shading.py", "function": "shade", "parameters": {"angle": 45}},
            "resources": {
                "gpu": 1,
                "network_bandwidth": "20M",
                "files_in_directory": {"path": "tiles", "minimum": 2},
                "parameter_available": "season",
            },
            "dependencies": ["tile"],
            "interrupt_allowed": False,
        },
    ],
}
CAPACITY = ("--resources", "cores=4,gpu=1,network_bandwidth=100M")


def write(folder: Path, name: str, document: Any) -> str:
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return name


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def dumper(path: Path) -> None:
    """A program that appends its arguments, as JSON, to a file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([word.encode('utf-8', 'surrogateescape').hex() for word in sys.argv[1:]]))\n"  # noqa: E501
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def ended(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "run_ended"
    return last["tasks"]  # type: ignore[no-any-return]


def run(weft: Weft, *words: str, code: int = 0, **environment: str) -> dict[str, Any]:
    return ended(weft("run", *words, "--output", "json", **environment), code)


def errors(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str | None]]:
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    return [(error["code"], error["location"]) for error in json.loads(line)["errors"]]


@pytest.fixture
def survey(weft: Weft) -> str:
    program(
        weft.folder / "bin/tile", 'mkdir -p tiles; for n in 1 2 3; do echo $n > tiles/t_$n.bin; done; echo "argv: $*"'
    )
    (weft.folder / "shading.py").write_text(
        "def shade(tile, angle):\n    return f'{open(tile).read().strip()} at {angle}'\n", encoding="utf-8"
    )
    return write(weft.folder, "survey.json", SURVEY)


# --- odop --------------------------------------------------------------------------------------------------------------


def test_the_smallest_specification_runs(weft: Weft) -> None:
    program(weft.folder / "bin/hello.sh", "echo hello from $PWD")
    write(
        weft.folder,
        "hello.json",
        [{"task_id": "hello", "time_limit": 30, "executable": "bin/hello.sh", "parameters": {}}],
    )
    done = weft("run", "hello.json")
    assert done.returncode == 0, done.stderr
    assert f"hello from {weft.folder.resolve()}" in done.stdout
    assert "is relative" in done.stderr


def test_the_survey_maps_its_tiles_and_hands_their_shades_on(weft: Weft, survey: str) -> None:
    tasks = run(weft, survey, *CAPACITY)
    assert {name: task["state"] for name, task in tasks.items()} == {"tile": "ok", "shade": "ok"}
    assert "argv: --zoom=3 --zoom=4 --fast" in weft("logs", "tile").stdout
    product = weft("show", "shade", "--product")
    assert json.loads(product.stdout) == ["1 at 45", "2 at 45", "3 at 45"]


def test_a_compiled_specification_runs_elsewhere_with_the_same_files(weft: Weft, survey: str) -> None:
    compiled = weft("compile", survey, "--relocatable", "-O", "compiled.json")
    assert compiled.returncode == 0, compiled.stderr
    other = weft.folder / "elsewhere"
    other.mkdir()
    for name in ("bin", "shading.py", "compiled.json"):
        (shutil.copytree if name == "bin" else shutil.copy)(weft.folder / name, other / name)
    tasks = run(weft, "elsewhere/compiled.json", *CAPACITY)
    assert {task["state"] for task in tasks.values()} == {"ok"}
    assert sorted(path.name for path in (other / "tiles").iterdir()) == ["t_1.bin", "t_2.bin", "t_3.bin"]
    assert not (weft.folder / "tiles").exists()
    again = weft("compile", "elsewhere/compiled.json", "--relocatable")
    assert again.stdout == (other / "compiled.json").read_text(encoding="utf-8")


def test_a_compiled_plan_of_another_machine_wants_a_root(weft: Weft) -> None:
    write(weft.folder, "spec.json", [{"task_id": "a", "time_limit": 9, "executable": "/bin/true"}])
    compiled = json.loads(weft("compile", "spec.json").stdout)
    absent = weft.folder / "absent"
    write(weft.folder, "compiled.json", {**compiled, "root": str(absent)})
    refused = weft("run", "compiled.json")
    assert refused.returncode == 2 and "--root" in refused.stderr and not absent.exists()
    assert weft("run", "compiled.json", "--root", ".").returncode == 0


def test_an_unknown_resource_stops_its_task_and_no_other(weft: Weft) -> None:
    task = {"time_limit": 30, "executable": "/bin/true"}
    plan = write(
        weft.folder, "plan.json", [{"task_id": "a", "resources": {"tape": 1}, **task}, {"task_id": "b", **task}]
    )
    warned = weft("validate", plan)
    assert (warned.returncode, "tape" in warned.stderr) == (0, True)
    tasks = run(weft, plan, code=1)
    assert (tasks["a"]["state"], tasks["a"]["cause"], tasks["b"]["state"]) == ("skipped", "unsatisfiable:tape", "ok")
    assert run(weft, plan, "--resources", "tape=1")["a"]["state"] == "ok"


HOSTILE = [
    "a b",
    "; rm -rf x",
    "$(touch made)",
    "`touch made`",
    "'\"",
    "line\nbreak",
    "--zoom=9",
    "{key}",
    "${HOME}",
    "é",
    "",
]


def test_a_hostile_value_stays_one_argument(weft: Weft) -> None:
    dumper(weft.folder / "bin/dump")
    fields = {"executable": "bin/dump", "parameters": {"k y": HOSTILE}, "parameter_mapping": "--{key} 'v={value}'"}
    plan = write(weft.folder, "plan.json", {"task_id": "a", "time_limit": 30, **fields})
    run(weft, plan)
    words = [bytes.fromhex(word).decode() for word in json.loads(weft("logs", "a").stdout)]
    assert words == [word for value in HOSTILE for word in ("--k y", f"v={value}")]
    assert not (weft.folder / "made").exists()


def test_hostile_names_of_files_stay_one_argument(weft: Weft) -> None:
    dumper(weft.folder / "bin/dump")
    names = ["a b", "-rf", "$(touch made)", "x;y", "line\nbreak"]
    (weft.folder / "in").mkdir()
    for name in names:
        (weft.folder / "in" / name).touch()
    fields = {"executable": "bin/dump", "required_folder": "in", "filepath_parameter": "f", "single_file_task": True}
    plan = write(weft.folder, "plan.json", {"task_id": "a", "time_limit": 30, **fields})
    assert run(weft, plan)["a"]["instances"]
    for name in names:
        (line,) = weft("logs", f"a[in/{name}]").stdout.splitlines()
        assert [bytes.fromhex(word).decode() for word in json.loads(line)] == ["--f", f"in/{name}"]
    assert not (weft.folder / "made").exists()


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"required_filepath": "absent"}, "unmet:file:absent"),
        ({"files": "folder"}, "unmet:file:folder"),
        ({"required_folder": "folder"}, "unmet:folder:folder"),
        ({"files_in_directory": {"path": "two", "minimum": 3}}, "unmet:folder:two"),
        ({"required_file_expression": "x.*"}, "unmet:match:x.*"),
        ({"required_file_expression": "glob:*.x"}, "unmet:match:glob:*.x"),
        ({"single_file_task": True, "required_folder": "folder"}, "unmet:folder:folder"),
        ({"parameter_available": "season"}, "unmet:parameter:season"),
        ({"ready_signal": "go"}, "unmet:signal:go"),
        ({"shared_memory_files": "weft-test-absent"}, "unmet:shared_memory:weft-test-absent"),
    ],
)
def test_what_is_not_met_skips_the_task_and_its_followers(weft: Weft, fields: dict[str, Any], cause: str) -> None:
    (weft.folder / "folder").mkdir()
    (weft.folder / "folder" / ".hidden").touch()
    (weft.folder / "two").mkdir()
    for name in "ab":
        (weft.folder / "two" / name).touch()
    task = {"time_limit": 30, "executable": "/bin/true"}
    document = [
        {"task_id": "a", **task, **fields},
        {"task_id": "b", **task, "dependencies": "a"},
        {"task_id": "c", **task},
    ]
    tasks = run(weft, write(weft.folder, "plan.json", document), code=1)
    assert {name: (each["state"], each["cause"]) for name, each in tasks.items()} == {
        "a": ("skipped", cause),
        "b": ("skipped", "dependency:a"),
        "c": ("ok", None),
    }


def test_requirements_that_hold_let_the_task_start(weft: Weft) -> None:
    (weft.folder / "in").mkdir()
    (weft.folder / "in" / "t_1.bin").touch()
    (weft.folder / "go").touch()
    fields = {
        "required_filepath": "in/t_1.bin",
        "required_folder": "in",
        "required_file_expression": ["in/t_[0-9]\\.bin", "glob:**/*.bin"],
        "ready_signal": "go",
        "parameter_available": "season",
    }
    plan = write(weft.folder, "plan.json", {"task_id": "a", "time_limit": 30, "executable": "/bin/true", **fields})
    assert run(weft, plan, "-o", "season=2031")["a"]["state"] == "ok"


def test_a_program_that_a_dependency_makes_is_there_in_time_and_one_that_is_not_is_not_found(weft: Weft) -> None:
    program(weft.folder / "bin/make", "cp bin/make bin/made")
    document = [
        {"task_id": "make", "time_limit": 30, "executable": "bin/make"},
        {"task_id": "made", "time_limit": 30, "executable": "bin/made", "dependencies": "make"},
        {"task_id": "never", "time_limit": 30, "executable": "sh"},
    ]
    tasks = run(weft, write(weft.folder, "plan.json", document), code=1)
    assert {name: each["cause"] for name, each in tasks.items()} == {"make": None, "made": None, "never": "not_found"}


@pytest.mark.parametrize("limit", ["30 days", 1e300])
def test_a_time_limit_may_be_longer_than_the_system_can_wait(weft: Weft, limit: str | float) -> None:
    (weft.folder / "m.py").write_text("def f(): return 1\n", encoding="utf-8")
    common: dict[str, Any] = {"time_limit": limit}
    specifications = [
        {"task_id": "a program", "executable": "/bin/true", **common},
        {"task_id": "a function", "function": "f", "module": "m.py", **common},
    ]
    write(weft.folder, "spec.json", specifications)
    write(weft.folder, "list.json", [{"name": "a snippet", "type": "eval", "arguments": "1", "timeout": limit}])
    tasks = run(weft, "spec.json", "list.json", "--wait", "30 days")
    names = ("a program", "a function", "a snippet")
    assert {name: (task["state"], task["attempts"]) for name, task in tasks.items()} == dict.fromkeys(names, ("ok", 1))


def test_a_time_limit_ends_the_whole_group(weft: Weft) -> None:
    program(weft.folder / "bin/slow", "sleep 600 & sleep 600")
    plan = write(weft.folder, "plan.json", {"task_id": "a", "time_limit": "300ms", "executable": "bin/slow"})
    assert run(weft, plan, code=1)["a"]["cause"] == "timeout"


def test_functions_scripts_and_serialised_functions_run(weft: Weft) -> None:
    (weft.folder / "tool.py").write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    (weft.folder / "pkg").mkdir()
    (weft.folder / "pkg" / "__init__.py").touch()
    (weft.folder / "pkg" / "sums.py").write_text("def add(x, y=1): return x + y", encoding="utf-8")
    pickled = "import base64, cloudpickle; print(base64.b64encode(cloudpickle.dumps(lambda n: n * 2)).decode())"
    data = subprocess.run([sys.executable, "-c", pickled], capture_output=True, encoding="ascii", check=True).stdout
    (weft.folder / "double.pkl").write_bytes(base64.b64decode(data))
    document = [
        {"task_id": "script", "time_limit": 60, "script": "tool.py", "parameters": {"level": 3, "v": True}},
        {"task_id": "add", "time_limit": 60, "function": "add", "module": "pkg.sums", "parameters": {"x": 4}},
        {"task_id": "file", "time_limit": 60, "function": "add", "file": "pkg/sums.py", "parameters": {"x": 1, "y": 1}},
        {"task_id": "data", "time_limit": 60, "serialized": {"data": data.strip()}, "parameters": {"n": 4}},
        {"task_id": "path", "time_limit": 60, "serialized": {"path": "double.pkl"}, "parameters": {"n": 5}},
    ]
    run(weft, write(weft.folder, "plan.json", document))
    assert weft("logs", "script").stdout == "['--level', '3', '--v']\n"
    products = {name: json.loads(weft("show", name, "--product").stdout) for name in ("add", "file", "data", "path")}
    assert products == {"add": 5, "file": 2, "data": 8, "path": 10}


def test_everything_is_found_from_a_working_directory_of_its_own(weft: Weft) -> None:
    program(weft.folder / "bin/show", 'pwd; echo "$GREETING $*"; cat "$2"')
    (weft.folder / "in").mkdir()
    (weft.folder / "in" / "a").write_text("content\n", encoding="utf-8")
    (weft.folder / "work" / "deep").mkdir(parents=True)
    (weft.folder / "mod.py").write_text(
        "import os\ndef read(filename): return [os.path.basename(os.getcwd()), open(filename).read()]\n",
        encoding="utf-8",
    )
    own = {"time_limit": 60, "working_directory": "work/deep", "environment_variables": {"GREETING": "$HOME `x`"}}
    found = {"required_folder": "in", "single_file_task": True}
    document = [
        {"task_id": "show", "executable": "bin/show", "filepath_parameter": "f", **own, **found},
        {"task_id": "file", "function": "read", "module": "mod.py", **own, **found},
        {"task_id": "module", "function": "read", "module": "mod", **own, **found},
    ]
    plan = write(weft.folder, "plan.json", document)
    run(weft, plan)
    path = weft.folder.resolve() / "in/a"
    assert weft("logs", "show[in/a]").stdout.splitlines() == [
        str(weft.folder.resolve() / "work/deep"),
        f"$HOME `x` --f {path}",
        "content",
    ]
    for name in ("file", "module"):
        assert json.loads(weft("show", name, "--product").stdout) == [["deep", "content\n"]]


def test_with_several_names_a_file_goes_to_that_of_its_source(weft: Weft) -> None:
    for name in ("one/a", "two/b"):
        (weft.folder / name).parent.mkdir()
        (weft.folder / name).touch()
    (weft.folder / "mod.py").write_text("def f(x, y): return [x, y]\n", encoding="utf-8")
    program(weft.folder / "bin/show", 'echo "$*"')
    found = {"required_folder": ["one", "two"], "single_file_task": True, "filepath_parameter": ["x", "y"]}
    document = [
        {"task_id": "f", "time_limit": 60, "function": "f", "module": "mod.py", **found},
        {"task_id": "p", "time_limit": 60, "executable": "bin/show", **found},
    ]
    run(weft, write(weft.folder, "plan.json", document))
    assert json.loads(weft("show", "f", "--product").stdout) == [["one/a", None], [None, "two/b"]]
    assert weft("logs", "p[one/a]").stdout == "--x one/a\n"
    assert weft("logs", "p[two/b]").stdout == "--y two/b\n"


def test_a_function_whose_arguments_changed_is_read_again(weft: Weft) -> None:
    (weft.folder / "mod.py").write_text("def f(x=1): return x\n", encoding="utf-8")
    document = {"task_id": "f", "time_limit": 60, "function": "f", "module": "mod.py", "parameters": {"x": 2}}
    plan = write(weft.folder, "plan.json", document)
    run(weft, plan)
    (weft.folder / "mod.py").write_text("def f(y=1): return y\n", encoding="utf-8")
    assert errors(weft("run", plan, "--output", "json")) == [("option.unknown", "/parameters/x")]


def test_a_bad_specification_tells_everything_and_leaves_nothing(weft: Weft) -> None:
    document = [
        {"task id": "a", "time limit": "soon", "executable": "/bin/true", "memory": "much"},
        {"task_id": "b", "time_limit": 1, "dependencies": ["A"], "executable": "/bin/true", "script": "x.py"},
        {"task_id": "c", "time_limit": 1, "executable": "/x", "required_file_expression": "*.csv"},
    ]
    found = weft("run", write(weft.folder, "plan.json", document), "--output", "json")
    assert errors(found) == [
        ("unit.time", "/0/time limit"),
        ("unit.size", "/0/memory"),
        ("action.many", "/1"),
        ("ref.task", "/1/dependencies/0"),
        ("pattern.invalid", "/2/required_file_expression"),
    ]
    assert "Traceback" not in found.stderr
    assert not (weft.folder / ".weft").exists()


# --- taskplan ----------------------------------------------------------------------------------------------------------


def test_the_smallest_task_plan_runs(weft: Weft) -> None:
    plan = {"envs": {"plain": {}}, "jobs": {"greet": {"env": "plain", "command": ["echo", "good morning"]}}}
    done = weft("run", write(weft.folder, "plan.json", plan))
    assert done.returncode == 0, done.stderr
    assert "good morning" in done.stdout


def wheel(folder: Path) -> str:
    path = folder / "thing-1.0-py3-none-any.whl"
    info = "thing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing.py", "VALUE = 'a thing'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"thing.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return f"./{path.name}"


def test_the_laboratory_measures_counts_and_writes_its_diary(weft: Weft) -> None:
    (weft.folder / "work").mkdir()
    text = "import sys, thing\nopen(sys.argv[2], 'w').write(f'{thing.VALUE}\\n')\n"
    (weft.folder / "work" / "measure.py").write_text(text, encoding="utf-8")
    variables = {"__note": 1, "DAY": "`date +%F`", "RESULT": "${HOME}/result $DAY.csv"}
    plan = {
        "envs": {"lab": {"requirements": [wheel(weft.folder)], "path": "work", "variables": variables}},
        "notes": {"diary": {"class_name": "SimpleFileLog", "path": "diary_$OX_TASK_JOB_NAME.log"}},
        "jobs": {
            "measure": {
                "env": "lab",
                "note": ["diary"],
                "timeout": "10min",
                "command": ["python", "measure.py", "--to", "$RESULT"],
            },
            "count": {
                "env": "lab",
                "note": "diary",
                "shell": True,
                "dependencies": ["measure"],
                "command": ['cat "$RESULT";', "echo $OX_TASK_JOB_NAME"],
            },
        },
    }
    name = write(weft.folder, "plan.json", plan)
    offline: dict[str, Any] = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(weft.folder / "uv"), "HOME": str(weft.folder)}
    assert {task["state"] for task in run(weft, name, **offline).values()} == {"ok"}
    assert weft("logs", "count").stdout == "a thing\ncount\n"
    assert (weft.folder / "diary_measure.log").exists()
    assert (weft.folder / "diary_count.log").exists()
    (made,) = (path.name for path in weft.folder.glob("result *.csv"))
    assert len(made) == len("result 2031-02-03.csv")


def test_only_running_a_plan_evaluates_its_backticks(weft: Weft) -> None:
    plan = {
        "envs": {"e": {"variables": {"A": "`touch evaluated; echo x`"}}},
        "jobs": {"a": {"env": "e", "command": ["echo", "$A"]}},
    }
    name = write(weft.folder, "plan.json", plan)
    for words in (["validate"], ["plan"], ["graph"], ["compile"], ["run", "-n"]):
        done = weft(*words, name)
        assert done.returncode == 0, done.stderr
    refused = weft("run", name, "--no-shell-eval", "--output", "json")
    assert errors(refused) == [("policy.refused", "/envs/e/variables/A")]
    assert not (weft.folder / "evaluated").exists()
    run(weft, name)
    assert (weft.folder / "evaluated").exists()
    assert weft("logs", "a").stdout == "x\n"


def test_variables_are_made_anew_for_every_attempt_and_their_failure_is_one_jobs_own(weft: Weft) -> None:
    count = "`echo x >> count; wc -l < count`"
    plan: dict[str, Any] = {
        "envs": {"counting": {"variables": {"N": count}}, "broken": {"variables": {"X": "`exit 3`"}}},
        "jobs": {
            "twice": {"env": "counting", "command": ["test", "$N", "-ge", "2"], "max_attempts": 3},
            "set-up": {"env": "broken", "command": ["touch", "made"]},
            "after": {"command": ["true"], "dependencies": ["set-up"]},
            "folder": {"env": "nowhere", "command": ["true"]},
        },
    }
    plan["envs"]["nowhere"] = {"path": "absent"}
    tasks = run(weft, write(weft.folder, "plan.json", plan), code=1)
    assert {name: each["cause"] for name, each in tasks.items()} == {
        "twice": None,
        "set-up": "setup",
        "after": "dependency:set-up",
        "folder": "setup",
    }
    assert tasks["twice"]["attempts"] == 2
    assert not (weft.folder / "made").exists()


def test_one_worker_takes_jobs_in_file_order(weft: Weft) -> None:
    jobs: dict[str, Any] = {name: {"command": f"echo {name} >> order", "shell": True} for name in "dbca"}
    jobs["b"]["dependencies"] = ["c"]
    run(weft, write(weft.folder, "plan.json", {"jobs": jobs}), "-j", "1")
    assert (weft.folder / "order").read_text(encoding="utf-8").split() == ["d", "c", "b", "a"]


def test_an_item_stays_one_argument_whatever_its_variable_holds(weft: Weft) -> None:
    dumper(weft.folder / "dump")
    hostile = "a b;$(touch made)`touch made`'\"{x}$HOME\nend"
    plan = {
        "envs": {"e": {"variables": {"LITERAL": "$$HOME"}}},
        "jobs": {
            "a": {"env": "e", "command": ["./dump", "$HOSTILE", "${HOSTILE}!", "$$", "$ABSENT", "{y}", "$LITERAL"]}
        },
    }
    run(weft, write(weft.folder, "plan.json", plan), HOSTILE=hostile)
    words = [bytes.fromhex(word).decode() for word in json.loads(weft("logs", "a").stdout)]
    assert words == [hostile, f"{hostile}!", "$", "$ABSENT", "{y}", "$HOME"]
    assert not (weft.folder / "made").exists()


def test_a_program_that_is_not_found_is_told_as_the_plan_has_it(weft: Weft) -> None:
    """What a variable holds is told nowhere, however the program fails to start."""
    (weft.folder / "hidden-value").touch(mode=0o600)
    plan = {
        "envs": {
            "text": {"variables": {"WORD": "hidden-value"}},
            "shell": {"variables": {"WORD": "hidden-value", "DAY": "`echo hidden-value`"}},
        },
        "jobs": {
            f"{environment} {number}": {"env": environment, "command": [program]}
            for environment in ("text", "shell")
            for number, program in enumerate(("$WORD", "no-$WORD", "./$WORD", "/nowhere/${WORD}"))
        },
    }
    path = write(weft.folder, "plan.json", plan)
    told = weft("run", path)
    assert {task["cause"] for task in json.loads(weft("status", "--output", "json").stdout)["tasks"].values()} == {
        "not_found"
    }
    shown = [weft(*words).stdout for words in (("status",), ("show", "text 1"), ("explain", "shell 2"))]
    assert "no-$WORD" in told.stdout and "hidden-value" not in "".join((told.stdout, told.stderr, *shown))


def test_a_variable_that_uses_a_later_one_is_told_by_every_run(weft: Weft) -> None:
    plan = {
        "envs": {"e": {"variables": {"FIRST": "$SECOND", "SECOND": "2"}}},
        "jobs": {"a": {"env": "e", "command": ["echo", "$FIRST"]}},
    }
    path = write(weft.folder, "plan.json", plan)
    for _ in range(2):
        told = weft("run", path)
        assert "variable FIRST uses $SECOND before it is defined" in told.stderr
        assert "$SECOND\n" in told.stdout
    assert "before it is defined" not in weft("run", path, SECOND="3").stderr
    assert weft("run", path, "--strict").returncode == 2


def test_task_plans_and_specifications_run_together(weft: Weft) -> None:
    write(weft.folder, "jobs.json", {"jobs": {"a": {"command": "echo {x} > made", "shell": True}}})
    specification = {"task_id": "b", "time_limit": 30, "executable": "/bin/cat", "dependencies": "a"}
    specification |= {"required_folder": "in", "parameter_mapping": "{value}", "filepath_parameter": "f"}
    write(weft.folder, "spec.json", {"parameters": {"x": 1}, "tasks": [specification]})
    (weft.folder / "in").mkdir()
    (weft.folder / "in" / "f").write_text("found\n", encoding="utf-8")
    assert {task["state"] for task in run(weft, "jobs.json", "spec.json").values()} == {"ok"}
    assert (weft.folder / "made").read_text(encoding="utf-8") == "{x}\n"
    assert weft("logs", "b").stdout == "found\n"


# --- wfformat ----------------------------------------------------------------------------------------------------------


def test_a_recorded_workflow_can_be_looked_at_and_is_never_executed(weft: Weft) -> None:
    shutil.copy(INSTANCE, weft.folder / "wf.json")
    assert weft("validate", "wf.json").returncode == 0
    graph = json.loads(weft("graph", "wf.json", "--as", "json").stdout)
    assert (len(graph["tasks"]), len(graph["edges"])) == (10, 16)
    planned = weft("plan", "wf.json", "--output", "json")
    assert len(json.loads(planned.stdout)["tasks"]) == 10
    compiled = weft("compile", "wf.json", "-O", "compiled.json")
    assert compiled.returncode == 0, compiled.stderr
    assert weft("compile", "compiled.json").stdout == (weft.folder / "compiled.json").read_text(encoding="utf-8")
    for words in (
        ["wf.json", "--executor", "local"],
        ["wf.json", "--executor", "noop"],
        ["compiled.json", "--executor", "local"],
    ):
        refused = weft("run", *words, "--output", "json")
        assert errors(refused) == [("policy.refused", None)]
        assert "simulated" in json.loads(refused.stdout)["errors"][0]["message"]
    assert not (weft.folder / ".weft").exists()
    simulated = weft("run", "compiled.json", "--output", "json")
    assert {task["state"] for task in ended(simulated).values()} == {"ok"}
    assert "simulated" in simulated.stderr
