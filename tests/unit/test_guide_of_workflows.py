"""What the guide of workflows says can be done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import weft
from weft.settings import read

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "workflows.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.M | re.S)
SCRIPTS = [block for language, block in BLOCKS if language == "python"]


def run(folder: Path, script: str) -> str:
    """What a script prints. It runs in a folder where `fit.py` and `total.py` print their arguments."""
    for name in ("fit.py", "total.py"):
        (folder / name).write_text("import sys\nprint(*sys.argv[1:])\n", encoding="utf-8")
    (folder / "survey.py").write_text(script, encoding="utf-8")
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    done = subprocess.run(
        [sys.executable, "survey.py"],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_first_script_runs(tmp_path: Path) -> None:
    found = run(tmp_path, SCRIPTS[0] + "\nprint(result, result.done_count, *result.task_final_statuses)\n")
    assert found == "D 3 fit_place-north fit_place-south total_data-d5\n"


def test_its_functions_become_tasks(tmp_path: Path) -> None:
    (functions,) = (script for script in SCRIPTS if "task_generator" in script)
    start = 'import weft\n\nworkflow = weft.Tool("survey").create_workflow()\n\n'
    guarded = functions.replace("\n\n\nby_place", '\n\n\nif __name__ == "__main__":\n    by_place').replace(
        "\nworkflow.", "\n    workflow."
    )
    found = run(tmp_path, f"{start}{guarded}    print(workflow.run(), workflow.tasks[-1].name)\n")
    assert found == "D grow_place-east\n"


def test_its_settings_are_settings(tmp_path: Path) -> None:
    (text,) = (block for language, block in BLOCKS if language == "toml")
    (tmp_path / "weft.toml").write_text(text, encoding="utf-8")
    settings = read(str(tmp_path), {"HOME": str(tmp_path)})
    assert settings.warnings == () and set(tomllib.loads(text)) == {"queues", "clusters", "workflow"}
    assert settings["queues"].executors == {"long": "local"}


def test_its_document_is_a_plan(tmp_path: Path) -> None:
    (text,) = (block for language, block in BLOCKS if language == "json")
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    assert (
        len(weft.load(str(tmp_path / "plan.json")).graph.tasks)
        == len(json.loads(text)["arrays"][0]["args"]["place"]) + 1
    )


@pytest.mark.parametrize("name", ["Tool", "task_generator", "add_task_attributes"])
def test_it_names_what_workflows_are_made_with(name: str) -> None:
    assert f"weft.{name}" in GUIDE
