"""Each example does what its page says, with the installed command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT = 120  # seconds; only so that nothing hangs


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the example that the test is about."""
    name = request.param
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    return tmp_path / name


def weft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, in the folder of the example."""
    command = [str(Path(sys.executable).parent / "weft"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, encoding="utf-8", timeout=LIMIT, check=False
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def ended(folder: Path, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    done = weft(folder, "run", *arguments, "--output", "json")
    assert done.returncode == exit_code, done.stdout + done.stderr
    last = lines_of(done)[-1]
    assert last["event"] == "run_ended"
    return last


census = pytest.mark.parametrize("folder", ["census"], indirect=True)
tasklist = pytest.mark.parametrize("folder", ["tasklist"], indirect=True)


@census
def test_the_census_makes_its_summary_chart_and_report_from_real_sources(folder: Path) -> None:
    counts = ended(folder, "census.json", "-j", "2")["counts"]
    names = json.loads((folder / "census.json").read_text(encoding="utf-8"))["tasks"]
    assert counts == {"ok": len(names), "failed": 0, "skipped": 0, "cancelled": 0, "cached": 0}

    summary = json.loads((folder / "results" / "summary.json").read_text(encoding="utf-8"))
    counted = {package["package"]: package for package in summary["packages"]}
    assert counted["json"]["files"] == _files_of("json")
    assert counted["json"]["classes"] >= 3  # JSONDecodeError, JSONDecoder, JSONEncoder
    assert summary["totals"]["lines"] == sum(package["lines"] for package in counted.values())
    chart = ElementTree.parse(folder / "results" / "chart.svg").getroot()
    assert chart.tag == "{http://www.w3.org/2000/svg}svg"
    report = (folder / "results" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# The standard library, counted\n")
    assert f"{summary['totals']['lines']:,} lines" in report


def _files_of(package: str) -> int:
    import importlib.util

    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return len(list(Path(spec.origin).parent.glob("*.py")))


@census
def test_a_second_census_does_nothing_and_a_changed_option_only_what_shows_it(folder: Path) -> None:
    first = ended(folder, "census.json", "-j", "2")["counts"]
    again = ended(folder, "census.json", "-j", "2")["counts"]
    assert (again["ok"], again["cached"]) == (first["ok"], first["ok"])

    changed = ended(folder, "census.json", "-j", "2", "-o", "top=5")["tasks"]
    assert {name for name, task in changed.items() if task["cause"] != "cached"} == {"chart", "report"}
    assert (folder / "results" / "chart.svg").read_text(encoding="utf-8").count("</g>") == 5

    explained = weft(folder, "explain", "chart", "--output", "json")
    assert explained.returncode == 0, explained.stderr
    assert any(reason.get("part") for reason in json.loads(explained.stdout)["reasons"])


@census
def test_the_census_hands_on_its_totals_and_draws_its_graph(folder: Path) -> None:
    ended(folder, "census.json", "-j", "2")
    shown = weft(folder, "show", "summary", "--product")
    assert shown.returncode == 0, shown.stderr
    summary = json.loads((folder / "results" / "summary.json").read_text(encoding="utf-8"))
    assert json.loads(shown.stdout) == summary["totals"]

    drawn = weft(folder, "graph", "census.json", "--as", "svg")
    assert drawn.returncode == 0, drawn.stderr
    titles = {
        title.text for title in ElementTree.fromstring(drawn.stdout.encode()).iter("{http://www.w3.org/2000/svg}title")
    }
    assert any(title and title.startswith("analyse-json") for title in titles)


@tasklist
def test_the_task_list_runs_as_its_founding_command_line_says(folder: Path) -> None:
    done = weft(folder, "run", "--input", "words.json", "--schema", "schema.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Started: words\n" in done.stdout
    assert "Ended : longest\n" in done.stdout
    assert "longest: shuttle\nfirst: heddle\n" in done.stdout
    assert (folder / "sorted.txt").read_text() == "heddle\nshuttle\nwarp\nweft\n"


@tasklist
def test_what_follows_a_failure_is_skipped_and_the_rest_goes_on(folder: Path) -> None:
    tasks = ended(folder, "failing.json", exit_code=1)["tasks"]
    assert {name: (task["state"], task["cause"]) for name, task in tasks.items()} == {
        "fetch": ("ok", None),
        "broken": ("failed", "exit:7"),
        "raises": ("failed", "exception"),
        "never": ("skipped", "dependency:broken"),
        "nor this": ("skipped", tasks["nor this"]["cause"]),
        "unrelated": ("ok", None),
    }
    assert tasks["nor this"]["cause"] in ("dependency:broken", "dependency:raises")


PAGES = [*sorted((EXAMPLES.parent / "docs" / "guide").glob("*.md")), EXAMPLES.parent / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_plan_that_a_page_shows_is_a_sound_one(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```json\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.json").write_text(block, encoding="utf-8")
        done = weft(tmp_path, "validate", f"{number}.json")
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
