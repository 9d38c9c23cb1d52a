"""Each example does what its page says, with the installed command."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

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
words = pytest.mark.parametrize("folder", ["words"], indirect=True)
regression = pytest.mark.parametrize("folder", ["regression"], indirect=True)
notebook = pytest.mark.parametrize("folder", ["notebook"], indirect=True)
backup = pytest.mark.parametrize("folder", ["backup"], indirect=True)
recordings = pytest.mark.parametrize("folder", ["recordings"], indirect=True)
nightly = pytest.mark.parametrize("folder", ["nightly"], indirect=True)


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


def python(folder: Path, *arguments: str) -> str:
    """What a Python program of the example prints; it ends well."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(folder: Path, *arguments: str) -> dict[str, int]:
    """Attempts by task, of those tasks that made any."""
    tasks = ended(folder, *arguments, "-j", "2")["tasks"]
    return {name: task["attempts"] for name, task in tasks.items() if task["attempts"]}


def product(folder: Path, task: str) -> str:
    shown = weft(folder, "show", task, "--product")
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def licences(folder: Path, **texts: str) -> list[str]:
    """Options of the words example: a folder of licences with these texts, and a few of the machine's own documents."""
    (folder / "licences").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / "licences" / name).write_text(text, encoding="utf-8")
    return ["-o", "documents.licences=licences", "-o", "documents.most=6"]


@words
def test_words_reports_on_the_documents_of_this_machine(folder: Path) -> None:
    attempts = ran(folder, "words.py")
    assert attempts.pop("counted") >= 2  # Python's licence, and those of its packages
    assert attempts == {"documents": 1, "sizes": 1, "totals": 1, "variety": 1, "report": 1}
    sizes, totals = json.loads(product(folder, "sizes")), json.loads(product(folder, "totals"))
    assert totals["license"] > 20
    report = product(folder, "report")
    assert report.startswith("# Words of the licences on this machine\n")
    assert f"{sizes['documents']} documents, {sizes['characters']:,} characters" in report
    assert f"| license | {totals['license']:,} |\n" in report


@words
def test_words_counts_only_the_document_that_is_new(folder: Path) -> None:
    given = licences(folder, First="warp warp", Second="shuttle")
    assert ran(folder, "words.py", *given)["counted"] == 6
    # The loader is never cached, and who iterates its stream runs with it; the rest has nothing to do.
    assert ran(folder, "words.py", *given) == {"documents": 1, "sizes": 1}

    given = [*licences(folder, Between="heddles heddles"), "-o", "documents.most=7"]
    assert ran(folder, "words.py", *given) == {
        "documents": 1, "counted": 1, "sizes": 1, "totals": 1, "variety": 1, "report": 1
    }  # fmt: skip
    assert json.loads(product(folder, "totals"))["heddles"] == 2

    assert ran(folder, "words.py", *given, "-o", "report.top=3") == {"documents": 1, "sizes": 1, "report": 1}
    assert product(folder, "report").count("\n| ") == 4


@words
def test_the_tests_of_words_put_fixed_documents_in_the_loaders_place(folder: Path) -> None:
    assert "3 passed" in python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_words.py")
    assert not (folder / ".weft").exists()


@regression
def test_the_regression_chooses_a_penalty_that_pays_on_unseen_rows(folder: Path) -> None:
    attempts = ran(folder, "regression.py")
    assert attempts == {
        "table": 1, "training": 1, "testing": 1, "candidates": 1, "validated": 25, "choice": 1, "model": 1, "evaluation": 1
    }  # fmt: skip
    choice, evaluation = json.loads(product(folder, "choice")), json.loads(product(folder, "evaluation"))
    errors = dict(choice["errors"])
    assert sorted(errors) == [0.1, 1.0, 10.0, 100.0, 1000.0]
    assert (choice["penalty"], choice["error"]) == min(errors.items(), key=lambda pair: pair[1])
    assert evaluation["rows"] == 1000
    assert evaluation["error"] < evaluation["error_without"]
    assert ran(folder, "regression.py") == {}


@regression
def test_the_regression_fits_again_only_what_an_option_changes(folder: Path) -> None:
    ran(folder, "regression.py")
    wider = ["-o", "candidates.penalties=[0.1,1.0,10.0,30.0,100.0,1000.0]"]
    attempts = ran(folder, "regression.py", *wider)
    assert attempts.pop("model", 1) == attempts.pop("evaluation", 1) == 1  # unless the new penalty is not chosen
    assert attempts == {"candidates": 1, "validated": 5, "choice": 1}
    assert ran(folder, "regression.py", *wider, "-o", "testing.share=0.25") == {"testing": 1, "evaluation": 1}
    assert json.loads(product(folder, "evaluation"))["rows"] == 500

    done = weft(folder, "run", "regression.py", "-o", "candidates.penalties=[1.0,-1.0]", "-o", "training.shar=0.5")
    assert done.returncode == 2
    assert "candidates.penalties" in done.stderr
    assert "training.shar" in done.stderr and "did you mean 'share'" in done.stderr


OUTPUT = [
    "total 385",
    "total 506 squares computed 1",
    "mean 1.9 highest 1.9",
    "again: {'measured': 'cached', 'scaled': 'cached', 'highest': 'cached', 'mean': 'cached'}",
]


@notebook
def test_the_notebook_runs_as_a_script_and_computes_nothing_twice(folder: Path) -> None:
    first = python(folder, "notebook.py").splitlines()
    assert [line for line in first if " ok " not in line] == OUTPUT
    assert sum(line.startswith("scaled ok ") for line in first) == 20  # each item
    assert "mean ok {'measured > scaled': 20, 'measured > highest': 20, 'scaled > mean': 20}" in first
    second = python(folder, "notebook.py").splitlines()
    assert "total 506 squares computed 0" in second


KERNEL = """
import ast, asyncio, linecache, re, sys

def cells():
    with open("notebook.py", encoding="utf-8") as file:
        return re.split(r"^# %%.*\\n", file.read(), flags=re.M)[1:]

async def kernel():  # as IPython does it: a loop that runs, cells compiled one by one, their lines known under a made-up name
    names = sys.modules["__main__"].__dict__
    names["get_ipython"] = lambda: None
    for number, cell in enumerate(cells()):
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
        code = compile(cell, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, names)
        if outcome is not None:
            await outcome
    await names["watching"]

asyncio.run(kernel())
"""


@notebook
def test_the_cells_of_the_notebook_run_in_a_kernel_whose_loop_is_running(folder: Path) -> None:
    printed = python(folder, "-c", KERNEL).splitlines()
    assert [line for line in printed if " ok " not in line] == OUTPUT


@backup
def test_the_backup_packs_every_file_and_proves_it(folder: Path) -> None:
    tasks = ended(folder, "backup.json", "-j", "2")["tasks"]
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(tasks, "ok")
    sources = [path for path in (folder / "incoming").rglob("*") if path.is_file()]
    assert len(sources) == _files_of("json") + _files_of("email") + _files_of("logging")
    assert tasks["pack"]["instances"] == tasks["pack"]["attempts"] == len(sources)
    listed = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(listed) == len(sources)
    for path in sources:
        name = path.relative_to(folder).as_posix()
        archive = (folder / "packed" / f"{name}.xz").read_bytes()
        assert lzma.decompress(archive) == path.read_bytes()
        assert f"{hashlib.sha256(archive).hexdigest()}  packed/{name}.xz" in listed


@backup
def test_the_backup_packs_only_what_is_new_and_tells_what_cannot_be_read(folder: Path) -> None:
    ran(folder, "backup.json")
    assert ran(folder, "backup.json") == {"collect": 1, "verify": 1, "restore": 1}
    (folder / "incoming" / "own file; $(x).csv").write_text("1,2\n", encoding="utf-8")
    assert ran(folder, "backup.json") == {"collect": 1, "pack": 1, "manifest": 1, "verify": 1, "restore": 1}

    (folder / "incoming" / "late.md").write_text("no task packs this kind\n", encoding="utf-8")
    tasks = ended(folder, "backup.json", exit_code=1)["tasks"]
    assert {name: task["cause"] for name, task in tasks.items() if task["state"] != "ok"} == {"restore": "exit:1"}
    assert "incoming/late.md" in weft(folder, "logs", "restore", "--stderr").stdout


@backup
def test_the_backup_compiles_to_a_plan_that_runs_elsewhere(folder: Path, tmp_path: Path) -> None:
    compiled = weft(folder, "compile", "backup.json", "--relocatable", "-O", "native.json")
    assert compiled.returncode == 0, compiled.stderr
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    shutil.rmtree(folder)
    assert ended(elsewhere, "native.json", "-j", "2")["counts"]["ok"] == 5


@recordings
def test_the_recordings_are_judged_once_each(folder: Path) -> None:
    assert ran(folder, "recordings.py") == {"record": 1, "judge": 12, "table": 1, "usable": 1}
    lines = (folder / "recordings.csv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert [row["tone"] for row in rows] == "A A# B C C# D D# E F F# G G#".split()  # what was recorded, in this order
    assert {row["verdict"] for row in rows} == {"good", "clipped", "too quiet"}
    assert json.loads(product(folder, "usable")) == [row["path"] for row in rows if row["verdict"] == "good"]

    given = ["recordings.py", "-o", "record.number=14"]
    assert ran(folder, *given) == {"record": 1, "judge": 2, "table": 1, "usable": 1}
    assert ran(folder, *given) == {"record": 1}


@recordings
def test_the_script_of_the_recordings_works_without_weft(folder: Path) -> None:
    ran(folder, "recordings.py")
    assert "'tone': 'A#'" in python(folder, "recordings.py", "field/take_01.wav")


PYFLAKES = """
import ast, pathlib, sys
found = 0
for folder in sys.argv[1:]:
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import) and node.names[0].name.startswith("unused"):
                found += 1
                print(f"{path}:{node.lineno}:1: '{node.names[0].name}' imported but unused")
sys.exit(found > 0)
"""
MARKDOWN = """
def markdown(text, extensions=()):
    return "<h1>" + text.splitlines()[0].lstrip("# ") + "</h1>"
"""


def packages(folder: Path) -> dict[str, str]:
    """Stand-ins for the packages that the nightly plan asks for, and how uv finds them without a network."""
    for name, version, file, source in (
        ("pyflakes", "3.2.0", "pyflakes/__main__.py", PYFLAKES),
        ("Markdown", "3.7", "markdown.py", MARKDOWN),
    ):
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(file, source)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(
                f"{info}/RECORD", "".join(f"{path},,\n" for path in [*archive.namelist(), f"{info}/RECORD"])
            )
    return {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(folder / "cache")}


@nightly
def test_the_nightly_plan_reports_on_sources_and_lets_nothing_get_worse(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "a project" / "src"
    sources.mkdir(parents=True)
    (sources / "one.py").write_text("import unused_one  # TODO: away with it\n", encoding="utf-8")
    summary = tmp_path / "summary.md"
    given = {
        **packages(tmp_path),
        "NIGHTLY_SOURCES": str(sources),
        "NIGHTLY_DAY": "2031-02-03",
        "NIGHTLY_ALARM_URL": "http://127.0.0.1:9/nobody-listens",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    tasks = ended(folder, "nightly.json", "-j", "2")["tasks"]
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(tasks, "ok")
    reports = folder / "reports" / "2031-02-03"
    assert (reports / "page.html").read_text(encoding="utf-8").endswith("<h1>Sources on 2031-02-03</h1>\n")
    assert "1 lines are marked as unfinished" in (reports / "page.md").read_text(encoding="utf-8")
    assert json.loads((folder / "allowed.json").read_text(encoding="utf-8")) == {"... imported but unused": 1}
    assert "**flakes**: 1 messages of 1 kinds" in summary.read_text(encoding="utf-8")
    assert (folder / "reports" / "diary.log").read_text(encoding="utf-8").count("exit code 0") == 4
    assert len(list((folder / ".weft" / "environments").glob("*/weft-ready"))) == 2  # one for each environment

    (sources / "two.py").write_text("import unused_two\n", encoding="utf-8")
    last = ended(folder, "nightly.json", "-j", "2", exit_code=1)
    assert {name: task["cause"] for name, task in last["tasks"].items()} == {
        "flakes": None, "leftovers": None, "page": None, "ratchet": "exit:1"
    }  # fmt: skip
    assert (last["notes"]["alarm"]["sent"], last["notes"]["alarm"]["unsent"]) == (0, 1)  # which changes nothing else
    assert "2, and 1 are allowed" in weft(folder, "logs", "ratchet", "--stderr").stdout


def test_the_workflow_file_of_the_guide_starts_commands_that_exist() -> None:
    page = (EXAMPLES.parent / "docs" / "guide" / "scheduled.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    steps = yaml.safe_load(text)["jobs"]["nightly"]["steps"]
    lines = [command for step in steps for command in step.get("run", "").split(" && ") if command.startswith("weft ")]
    assert [line.split()[1] for line in lines] == ["validate", "run", "status", "usage"]
    for line in lines:
        help_text = weft(EXAMPLES, line.split()[1], "--help").stdout
        for flag in re.findall(r"--[a-z-]+", line):
            assert flag in help_text, line
    folders = {step["working-directory"] for step in steps if "working-directory" in step}
    assert all((EXAMPLES.parent / name / "nightly.json").is_file() for name in folders)


PAGES = [*sorted((EXAMPLES.parent / "docs" / "guide").glob("*.md")), EXAMPLES.parent / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_plan_that_a_page_shows_is_a_sound_one(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```json\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.json").write_text(block, encoding="utf-8")
        done = weft(tmp_path, "validate", f"{number}.json")
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


def test_the_pipeline_of_the_front_page_does_what_is_said_of_it(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "pipeline.py").write_text(source, encoding="utf-8")
    (tmp_path / "people.csv").write_text("ann,red\nbob,green\n", encoding="utf-8")
    assert ran(tmp_path, "pipeline.py") == {"words": 1, "length": 4, "longest": 1}
    assert ran(tmp_path, "pipeline.py", "-o", "longest.at_least=7") == {"longest": 1}
    assert product(tmp_path, "longest") == "7\n"
    told = python(
        tmp_path,
        "-c",
        "import weft.testing\nfrom pipeline import registry\nrun_here = weft.testing.run_here\n"
        + "print("
        + re.findall(r"`weft\.testing\.(run_here\(.*?\)\[\"longest\"\] == 2)`", page)[0]
        + ")",
    )
    assert told == "True\n"
