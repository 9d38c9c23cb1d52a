"""`weft workflow`, `weft task` and `weft usage` on recorded workflows, and the example that shows them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.weft_process import clean_environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "locations"
LIMIT = 120  # seconds; only so that nothing hangs

SURVEY = """
import sys
import weft

tool = weft.Tool("survey")
say = tool.get_task_template("say", "sh -c {script} {place}", node_args=["place"], op_args=["script"])
total = tool.get_task_template("total", "echo total {data}", task_args=["data"])
flow = tool.create_workflow(workflow_args=sys.argv[1], name="survey " + sys.argv[1])
says = say.create_tasks(place=["east", "north", "south"], script=sys.argv[2], max_attempts=2)
flow.add_tasks(says)
flow.add_task(total.create_task(data="d5", upstream_tasks=says))
print(flow.run(resume=len(sys.argv) > 3))
"""
FAILING = "echo $0 >&2; test $0 != south"


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python program of the user's."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def ended(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, after its end."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "weft"), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def weft(folder: Path, *arguments: str, code: int = 0) -> str:
    """What the installed command writes to stdout."""
    done = ended(folder, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + (done.stderr if code else "")


def told_by(folder: Path, *arguments: str) -> str:
    """What the installed command writes to stderr when all goes well."""
    done = ended(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def ask(folder: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(weft(folder, *arguments, "--output", "json"))
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two workflows: one done, one with a failure."""
    folder = tmp_path_factory.mktemp("survey")
    (folder / "survey.py").write_text(SURVEY, encoding="utf-8")
    assert script(folder, "survey.py", "a", "true").stdout == "D\n"
    assert script(folder, "survey.py", "b", FAILING).stdout == "E\n"
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(recorded, tmp_path / "survey", symlinks=True))


def names(found: dict[str, Any]) -> dict[str, str]:
    return {task["name"]: task["status"] for task in found["tasks"]}


def test_workflows_are_listed_newest_first_with_tasks_by_label(recorded: Path) -> None:
    entries = ask(recorded, "workflow", "status")["workflows"]
    shown = [
        (each["name"], each["status"], each["done"], each["fatal"], each["pending"], each["retries"])
        for each in entries
    ]
    assert shown == [("survey b", "F", 2, 1, 1, 1), ("survey a", "D", 4, 0, 0, 0)]
    assert [line.split()[1:4] for line in weft(recorded, "workflow", "status").splitlines()[1:]] == [
        ["survey", "b", "F"],
        ["survey", "a", "D"],
    ]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("-l", "1"), ["survey b"]),
        (("-w", "1"), ["survey a"]),
        (("-w", "survey b"), ["survey b"]),
        (("-w", "b"), ["survey b"]),
        (("-s", "D"), ["survey a"]),
        (("-u", "nobody-here"), []),
    ],
)
def test_some_workflows_can_be_asked_for(recorded: Path, arguments: tuple[str, ...], wanted: list[str]) -> None:
    assert [each["name"] for each in ask(recorded, "workflow", "status", *arguments)["workflows"]] == wanted


def test_old_names_of_the_verbs_do_the_same(recorded: Path) -> None:
    assert weft(recorded, "workflow_status") == weft(recorded, "workflow", "status")
    assert weft(recorded, "workflow_tasks", "-w", "2") == weft(recorded, "workflow", "tasks", "-w", "2")
    assert weft(recorded, "task_template_resources", "-t", "say") == weft(
        recorded, "workflow", "resources", "usage", "-t", "say"
    )


def test_the_short_option_for_the_kind_of_output(recorded: Path) -> None:
    for words in (
        ("workflow", "status"),
        ("workflow_tasks", "-w", "1"),
        ("task", "status", "-t", "total_data-d5", "-w", "1"),
    ):
        assert json.loads(weft(recorded, *words, "-o", "json")) == ask(recorded, *words)
        assert weft(recorded, *words, "-o", "table") == weft(recorded, *words)
    refused = json.loads(weft(recorded, "workflow_tasks", "-w", "9", "-o", "json", code=2))
    assert refused["event"] == "error"
    assert json.loads(weft(recorded, "task", "status", "--nonsense", "-o", "json", code=2))["event"] == "error"


def test_tasks_have_a_verb_of_their_own(recorded: Path) -> None:
    assert weft(recorded, "tasks", "-w", "2") == weft(recorded, "workflow", "tasks", "-w", "2")
    found = json.loads(weft(recorded, "tasks", "-w", "2", "-o", "json"))
    assert len(found["tasks"]) == 4


def test_tasks_in_the_state_folder_of_others_are_left_away(recorded: Path) -> None:
    owner = recorded.joinpath(".weft").owner()
    every = ask(recorded, "workflow", "tasks", "-w", "2")
    assert ask(recorded, "workflow_tasks", "-w", "2", "-u", owner, "-u", "nobody-here") == every
    assert ask(recorded, "workflow", "tasks", "-w", "2", "-u", "nobody-here")["tasks"] == []


def test_tasks_of_a_workflow_by_label(recorded: Path) -> None:
    assert names(ask(recorded, "workflow", "tasks", "-w", "2")) == {
        "say_place-east": "DONE",
        "say_place-north": "DONE",
        "say_place-south": "FATAL",
        "total_data-d5": "PENDING",
    }
    found = ask(recorded, "workflow", "tasks", "-w", "2", "-s", "fatal")["tasks"]
    assert [(task["name"], task["cause"], task["retries"]) for task in found] == [("say_place-south", "exit:1", 1)]
    (number,) = [task["task_id"] for task in found]
    assert names(ask(recorded, "task", "status", "-t", str(number))) == {"say_place-south": "FATAL"}
    assert names(ask(recorded, "task", "status", "-t", "say_place-south", "-w", "a")) == {"say_place-south": "DONE"}


def test_dependencies_of_a_task_in_both_directions(recorded: Path) -> None:
    (found,) = ask(recorded, "task", "dependencies", "-t", "say_place-south", "-w", "2")["tasks"]
    assert (found["upstream"], [task["name"] for task in found["downstream"]]) == ([], ["total_data-d5"])
    (found,) = ask(recorded, "task", "dependencies", "-t", "total_data-d5", "-w", "2")["tasks"]
    assert len(found["upstream"]) == 3


def test_logs_say_which_bytes_of_which_file(recorded: Path) -> None:
    (entry,) = ask(recorded, "workflow", "logs", "-w", "2", "-j", "south")["logs"]
    place = entry["stderr"]
    data = Path(place["path"]).read_bytes()
    assert data[place["offset"] : place["offset"] + place["length"]] == b"south\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("workflow", "tasks", "-w", "9"), "no workflow '9'"),
        (("workflow", "tasks", "-w", "survey c"), "did you mean 'survey"),
        (("workflow", "tasks", "-w", "2", "-s", "DONNE"), "did you mean 'DONE'?"),
        (("workflow", "status", "-s", "DONE"), "G, Q, R, D, H, F, A"),
        (("workflow", "status", "-o", "xml"), "expected text, json or quiet"),
        (("workflow", "concurrency", "-w", "2", "-m", "1", "--template", "sai"), "did you mean 'say'?"),
        (("workflow", "resources", "usage", "-t", "sai"), "did you mean 'say'?"),
        (("workflow", "resources", "usage", "-t", "say", "-a", '{"plaice": ["x"]}'), "did you mean 'place'?"),
        (("workflow", "resources", "usage", "-t", "say", "-a", "nonsense"), "no JSON"),
        (("task", "status", "-t", "say_place-soth", "-w", "2"), "did you mean 'say_place-south'?"),
        (("task", "status", "-t", "say_place-south"), "workflows 2, 1"),
        (("task", "update", "-t", "say_place-south", "-w", "2", "-s", "X"), "-s"),
        (("workflow", "resume", "-w", "2", "-t", "soon"), "no time"),
    ],
)
def test_what_does_not_exist_is_told_with_what_is_near(
    recorded: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in weft(recorded, *arguments, code=2)


def test_a_resume_without_the_script_runs_what_is_not_done(folder: Path) -> None:
    weft(folder, "workflow", "resume", "-w", "2", code=1)
    weft(folder, "task", "update", "-t", "say_place-south", "-w", "2", "-s", "D")
    assert ask(folder, "workflow", "status", "-w", "2")["workflows"][0]["status"] == "H"
    out = weft(folder, "workflow", "resume", "-w", "2")
    assert [line for line in out.splitlines() if line.startswith("Started")] == ["Started: total_data-d5"]
    assert ask(folder, "workflow", "status", "-w", "2")["workflows"][0]["status"] == "D"
    assert "4 tasks: 4 ok" in weft(folder, "workflow", "resume", "-w", "2")


def test_explain_says_whether_a_shell_reads_the_command(tmp_path: Path) -> None:
    templates = {
        "plain": {"command_template": "echo {x}", "node_args": ["x"]},
        "piped": {"command_template": "echo {x} | cat", "node_args": ["x"], "shell": True},
    }
    tasks = [{"name": name, "template": name, "args": {"x": "a"}} for name in templates]
    (tmp_path / "plan.json").write_text(json.dumps({"templates": templates, "tasks": tasks}), encoding="utf-8")
    weft(tmp_path, "run", "plan.json")
    assert "its command is started without a shell\n" in weft(tmp_path, "explain", "plain")
    assert "its command is read by a shell\n" in weft(tmp_path, "explain", "piped")
    assert [ask(tmp_path, "explain", name)["shell"] for name in templates] == [False, True]


DOCUMENT: dict[str, Any] = {
    "tool": "survey",
    "workflow": {"name": "yearly", "workflow_args": "d5", "max_concurrently_running": 5},
    "templates": {
        "fit": {
            "command_template": "test -e needed -o {place} != south",
            "node_args": ["place"],
            "max_attempts": 1,
            "max_concurrently_running": 3,
        },
        "total": {"command_template": "echo {data}", "task_args": ["data"]},
    },
    "arrays": [{"template": "fit", "args": {"place": ["north", "south"]}}],
    "tasks": [
        {
            "name": "sum",
            "template": "total",
            "args": {"data": "x"},
            "upstream_tasks": ["fit_place-north", "fit_place-south"],
        }
    ],
}


def test_a_workflow_that_is_a_document_is_shown_and_changed_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(DOCUMENT), encoding="utf-8")
    (tmp_path / "plain.json").write_text('{"weft": 1, "tasks": {"a": {"command": ["true"]}}}', encoding="utf-8")
    weft(tmp_path, "run", "plain.json")
    weft(tmp_path, "run", "flow.json", code=1)
    (row,) = ask(tmp_path, "workflow", "status")["workflows"]
    about = [row[key] for key in ("workflow_id", "name", "workflow_args", "tool", "status", "tasks", "done", "fatal")]
    assert about == [2, "yearly", "d5", "survey", "F", 3, 1, 1]
    for word in ("2", "yearly", "d5"):
        listed = ask(tmp_path, "workflow", "tasks", "-w", word)
        assert names(listed) == {"fit_place-north": "DONE", "fit_place-south": "FATAL", "sum": "PENDING"}
    assert ask(tmp_path, "task", "status", "-t", "sum")["tasks"][0]["workflow_id"] == 2
    assert ask(tmp_path, "workflow", "concurrency", "-w", "yearly", "-m", "2")["live"] is False
    weft(tmp_path, "workflow", "concurrency", "-w", "yearly", "-m", "1", "--template", "fit")
    (tmp_path / "needed").touch()
    weft(tmp_path, "workflow", "resume", "-w", "d5")
    assert ask(tmp_path, "workflow", "status")["workflows"][0]["status"] == "D"
    logged = {row["name"]: row for row in ask(tmp_path, "workflow", "logs", "-w", "2", "-a", "total")["logs"]}
    assert list(logged) == ["sum"]
    assert ask(tmp_path, "workflow", "reset", "-w", "2")["reset"] == 3
    weft(tmp_path, "workflow", "resume", "-w", "2")
    weft(tmp_path, "run", "flow.json")  # the same document again is the same workflow
    assert [row["workflow_id"] for row in ask(tmp_path, "workflow", "status")["workflows"]] == [3]


def test_a_cap_that_a_document_does_not_count_says_how_it_would(tmp_path: Path) -> None:
    document = {**DOCUMENT, "workflow": {"workflow_args": "d5"}}
    (tmp_path / "flow.json").write_text(json.dumps(document), encoding="utf-8")
    weft(tmp_path, "run", "flow.json", code=1)
    told = weft(tmp_path, "workflow", "concurrency", "-w", "d5", "-m", "2", code=2)
    assert "max_concurrently_running" in told


def test_documents_grow_as_the_settings_say(tmp_path: Path) -> None:
    document = {
        "templates": {"nap": {"command_template": "sleep {x}", "node_args": ["x"]}},
        "tasks": [{"template": "nap", "args": {"x": 60}, "name": "nap", "max_attempts": 2}],
    }
    document["tasks"][0]["compute_resources"] = {"runtime": 0.2, "memory": "100M"}  # type: ignore[index]
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    asked = []
    for scale_on in ("exhausted", "any"):
        (tmp_path / "weft.toml").write_text(f'[workflow]\nscale_on = "{scale_on}"\n', encoding="utf-8")
        weft(tmp_path, "run", "plan.json", code=1)
        last = ask(tmp_path, "show", "nap")["attempts"][1]["request"]
        asked.append((last["timeout"], last["memory"] >> 20))
    assert asked == [(0.3, 100), (0.3, 150)]


ASKED = """
import weft

tool = weft.Tool("asked")
hold = tool.get_task_template("hold", "test -e {file}", node_args=["file"])
flow = tool.create_workflow(workflow_args="asked", name="asked")
asked = {"cores": 0.5, "stdout": "copies/", "project": "proj_x"}
options = {"compute_resources_callable": lambda: asked, "resource_scales": {"memory": lambda old: old + 1}}
flow.add_task(hold.create_task(name="hold", file="there", max_attempts=1, **options))
print(flow.run())
"""


def test_a_resume_without_the_script_keeps_what_its_functions_gave_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(ASKED, encoding="utf-8")
    assert script(tmp_path, "asked.py").stdout == "E\n"
    told = weft(tmp_path, "workflow", "resume", "-w", "asked", code=1)
    assert told.count("in its script only: amounts stay as they are") == 1
    (tmp_path / "there").touch()
    weft(tmp_path, "workflow", "resume", "-w", "asked")
    attempts = ask(tmp_path, "show", "hold")["attempts"]
    given = {"cores": 0.5, "stdout": "copies/", "project": "proj_x"}
    assert [{name: attempt["request"][name] for name in given} for attempt in attempts] == [given] * 3
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == [f"hold.{n}.out" for n in (1, 2, 3)]
    assert "cores=0.5 project=proj_x stdout=copies/" in weft(tmp_path, "show", "hold")
    for verb in (("resume",), ("workflow", "resume", "-w", "asked")):
        told = told_by(tmp_path, *verb)
        assert told.count("\n") == 1
        assert told.endswith("all of them ok already\n")


def test_marking_a_task_with_all_that_it_waits_for_completes_a_workflow(folder: Path) -> None:
    answer = ask(folder, "task", "update", "-t", "total_data-d5", "-w", "2", "-s", "D", "-r")
    assert answer["changed"] == 2
    assert ask(folder, "workflow", "status", "-w", "2")["workflows"][0]["status"] == "D"


def test_a_task_that_is_reset_takes_its_followers_along(folder: Path) -> None:
    assert ask(folder, "task", "update", "-t", "say_place-east", "-w", "1", "-s", "G")["changed"] == 2
    out = weft(folder, "workflow", "resume", "-w", "1")
    assert [line for line in out.splitlines() if line.startswith("Started")] == [
        "Started: say_place-east",
        "Started: total_data-d5",
    ]


def test_a_reset_workflow_runs_again_whole_or_in_part(folder: Path) -> None:
    assert ask(folder, "workflow", "reset", "-w", "2", "-p")["reset"] == 2
    assert list(names(ask(folder, "workflow", "tasks", "-w", "2", "-s", "DONE"))) == [
        "say_place-east",
        "say_place-north",
    ]
    assert ask(folder, "workflow", "reset", "-w", "2")["reset"] == 2
    assert not ask(folder, "workflow", "tasks", "-w", "2", "-s", "DONE")["tasks"]
    assert script(folder, "survey.py", "b", "true", "resume").stdout == "D\n"


def test_a_workflow_that_is_done_stays_done_when_nothing_of_it_is_reset(folder: Path) -> None:
    assert ask(folder, "workflow", "reset", "-w", "1", "-p")["reset"] == 0
    weft(folder, "workflow", "concurrency", "-w", "1", "-m", "2")
    assert ask(folder, "workflow", "status", "-w", "1")["workflows"][0]["status"] == "D"
    assert "WorkflowAlreadyComplete" in script(folder, "survey.py", "a", "true", "resume").stderr


def test_tasks_that_were_reset_have_the_letter_of_tasks_that_never_ran(folder: Path) -> None:
    weft(folder, "workflow", "reset", "-w", "2")
    letters = {entry["name"]: entry["letter"] for entry in ask(folder, "workflow", "tasks", "-w", "2")["tasks"]}
    assert set(letters.values()) == {"G"}


def test_a_cap_holds_for_the_next_resume(folder: Path) -> None:
    answer = ask(folder, "workflow", "concurrency", "-w", "1", "-m", "1", "--template", "say")
    assert answer == {"workflow_id": 1, "template": "say", "max_concurrently_running": 1, "live": False}
    weft(folder, "workflow", "reset", "-w", "1")
    lines = [line for line in weft(folder, "workflow", "resume", "-w", "1", "-j", "3").splitlines() if ": say" in line]
    assert [line.split()[0].rstrip(":") for line in lines] == ["Started", "Ended"] * 3


def test_usage_tells_what_was_asked_for_and_suggests(folder: Path) -> None:
    entry = ask(folder, "usage", "--safety", "2")["templates"]["say"]
    assert entry["tasks"] == 3
    assert entry["requested"] == {"cores": 1, "memory": None, "timeout": None}
    assert entry["suggested"]["memory"] >= 64 << 20
    weft(folder, "usage", "--suggest", "resources.yaml")
    written = yaml.safe_load((folder / "resources.yaml").read_text(encoding="utf-8"))
    assert set(written["task_template_resources"]) == {"say"}
    assert yaml.safe_load(weft(folder, "workflow", "resources", "yaml", "-c", "slurm"))["task_template_resources"][
        "total"
    ] == {"slurm": {"memory": "64M", "runtime": 10}}


def test_ids_of_templates_are_shown_and_serve_as_their_names_do(folder: Path) -> None:
    usage = ask(folder, "usage")["templates"]
    say, total = usage["say"]["id"], usage["total"]["id"]
    by_name = ask(folder, "workflow", "resources", "usage", "-t", "say")
    assert by_name["ids"] == [say] and say != total
    assert ask(folder, "workflow", "resources", "usage", "-t", say[:8]) == by_name
    assert f"template say ({say})" in weft(folder, "workflow", "resources", "usage", "-t", say)
    answer = ask(folder, "workflow", "concurrency", "-w", "1", "-m", "1", "--template", say)
    assert (answer["template"], answer["max_concurrently_running"]) == ("say", 1)
    logged = ask(folder, "workflow", "logs", "-w", "1", "-a", total[:10])["logs"]
    assert [entry["name"] for entry in logged] == ["total_data-d5"]
    shown = script(folder, "-c", "import sys; sys.argv[1:] = ['c', 'true']\n" + SURVEY + "\nprint(say.id)")
    assert shown.stdout.split()[-1] == say, shown.stderr


def test_a_cap_of_a_later_version_of_a_template_is_that_of_its_name(tmp_path: Path) -> None:
    again = (
        'again = tool.get_task_template("say", "echo again {place}", node_args=["place"])\n'
        'flow.add_task(again.create_task(place="west"))\nprint(again.id)\nprint(flow.run('
    )
    (tmp_path / "survey.py").write_text(SURVEY.replace("print(flow.run(", again), encoding="utf-8")
    version = script(tmp_path, "survey.py", "a", "true").stdout.split()[0]
    used = ask(tmp_path, "workflow", "resources", "usage", "-t", version)
    assert (used["num_tasks"], used["ids"]) == (1, [version])
    answer = ask(tmp_path, "workflow", "concurrency", "-w", "1", "-m", "2", "--template", version)
    assert answer["max_concurrently_running"] == 2


def test_usage_of_a_template_over_all_workflows(recorded: Path) -> None:
    every = ask(recorded, "workflow", "resources", "usage", "-t", "say", "--ci", "0.9")
    assert every["num_tasks"] == 5
    assert every["min_runtime"] <= every["mean_runtime"] <= every["max_runtime"]
    assert every["ci_mem"] is not None
    some = ask(recorded, "workflow", "resources", "usage", "-t", "say", "-a", '{"place": ["south"]}')
    assert some["num_tasks"] == 1


def test_nothing_is_suggested_for_a_run_without_templates(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"weft": 1, "tasks": {"a": {"command": ["true"]}}}', encoding="utf-8")
    weft(tmp_path, "run", "plan.json")
    assert "templates" in weft(tmp_path, "usage", "--suggest", "-", code=2)
    assert weft(tmp_path, "workflow", "status") == "no workflow is recorded here\n"


def test_the_example_of_locations_does_what_its_page_says(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "locations")
    folder = tmp_path / "locations"
    done = script(folder, "model.py")
    assert done.stdout == "D: 49 of 49 done, 0 of them before\n", done.stdout + done.stderr
    page = (folder / "places-d1.md").read_text(encoding="utf-8")
    assert page.count("\n| ") == 17
    usage = ask(folder, "usage")
    assert usage["tasks"]["fit_place-larch_method-trend"]["attempts"] == 3
    assert usage["tasks"]["fit_place-elm_method-trend"]["attempts"] == 1
    assert usage["templates"]["fit"]["requested"]["memory"] == 256 << 20
    failed = script(folder, "model.py", "--data", "d2", "--gaps", "fail")
    assert failed.returncode == 1
    assert "oak: 6 months are missing" in failed.stdout
    found = ask(folder, "workflow", "tasks", "-w", "places d2", "-s", "FATAL")
    assert list(names(found)) == ["clean_place-oak_size-80"]
    resumed = script(folder, "model.py", "--data", "d2", "--resume")
    assert resumed.stdout == "D: 49 of 49 done, 45 of them before\n", resumed.stderr


def test_a_document_whose_cluster_is_not_here_says_how_to_place_it(tmp_path: Path) -> None:
    document = {
        "templates": {
            "say": {"command_template": "echo {word}", "node_args": ["word"], "default_cluster_name": "slurm"}
        },
        "tasks": [{"template": "say", "args": {"word": "hi"}}],
    }
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    assert '[clusters] slurm = "local"' in weft(tmp_path, "run", "plan.json", code=2)
    for place in ("local", "sequential"):
        (tmp_path / "weft.toml").write_text(f'[clusters]\nslurm = "{place}"\n', encoding="utf-8")
        assert "\nhi\n" in weft(tmp_path, "run", "plan.json")
    (tmp_path / "weft.toml").write_text('[clusters]\nslurm = "dummy"\n', encoding="utf-8")
    done = weft(tmp_path, "run", "plan.json")
    assert "\nhi\n" not in done and "1 ok" in done
    (tmp_path / "weft.toml").write_text('[clusters]\nslurm = "sequential"\n', encoding="utf-8")
    weft(tmp_path, "workflow", "reset", "-w", "3")
    weft(tmp_path, "workflow", "resume", "-w", "3")
    assert weft(tmp_path, "logs", "say_word-hi") == "hi\n", "what is recorded names the cluster still"
    (tmp_path / "weft.toml").write_text('[clusters]\nslurm = "mars"\n', encoding="utf-8")
    assert "which the settings have for 'slurm'" in weft(tmp_path, "run", "plan.json", code=2)
