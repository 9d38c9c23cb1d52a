"""Registries from the command line: `weft run module:registry --select fit -o fit.k=4`, and modules that misbehave."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from support.command_line import is_golden, weft, write

PIPELINE = '''
    """Word counts."""
    import weft
    import words

    registry = weft.Registry()
    registry.type("positive", lambda n: n > 0, parent="int")
    THRESHOLD = 2

    @registry.task
    def fetch(url: str) -> list[str]:
        return words.split(url)

    @registry.task(product="dict", deps=["fetch"], options={"k": weft.Option("positive", default=2)}, tags=["slow"])
    def fit(fetch, k, names: list[str] | None = None, fast: bool = False):
        return {"n": len([word for word in fetch if len(word) >= THRESHOLD]) * k, "names": names, "fast": fast}

    @registry.task(deps=["fit"])
    def report(fit: dict, title: str) -> str:
        return f"{title}: {fit['n']}"

    print("loaded")
'''
WORDS = """
    def split(text):
        return text.split("-")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "pipeline.py", textwrap.dedent(PIPELINE))
    write(tmp_path, "words.py", textwrap.dedent(WORDS))
    return tmp_path


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    write(folder, name, text.replace(old, new))


def run(folder: Path, *words: str) -> dict[str, Any]:
    """The tasks of a run that went well: state and cause by name."""
    answer = weft(folder, "run", *words, "--output", "json")
    assert answer.code == 0, (answer.out, answer.err)
    tasks: dict[str, Any] = answer.events[-1]["tasks"]
    return {name: task["cause"] or task["state"] for name, task in tasks.items()}


def product(folder: Path, task: str) -> Any:
    return json.loads(weft(folder, "show", "last", task, "--product").out)


GIVEN = ("-o", "fetch.url=a-bcd-ef")


@pytest.mark.parametrize("named", ["pipeline.py", "pipeline.py:registry", "pipeline:registry", "./pipeline.py"])
def test_what_is_selected_is_invoked_with_what_it_needs(folder: Path, named: str) -> None:
    assert run(folder, named, "--select", "fit", "-o", "fit.k=4", *GIVEN) == {"fetch": "ok", "fit": "ok"}
    assert product(folder, "fit") == {"n": 8, "names": None, "fast": False}


def test_options_are_read_by_their_types(folder: Path) -> None:
    more = ("-o", 'fit.names=["a", "1"]', "-o", "fit.fast=yes", "-o", "report.title=12")
    run(folder, "pipeline.py", *GIVEN, *more)
    assert product(folder, "fit") == {"n": 4, "names": ["a", "1"], "fast": True}
    assert product(folder, "report") == "12: 4"


def test_what_has_not_changed_is_up_to_date_and_what_has_is_named(folder: Path) -> None:
    select = ("pipeline.py", "--select", "fit", *GIVEN)
    run(folder, *select)
    change(folder, "pipeline.py", "def fetch", "# a comment\n\n\ndef fetch".replace("\n\n\n", "\n"))
    change(folder, "words.py", "return text", "'splits'\n    return text")
    assert run(folder, *select) == {"fetch": "cached", "fit": "cached"}
    change(folder, "pipeline.py", "THRESHOLD = 2", "THRESHOLD = 3")
    planned = weft(folder, "plan", *select, "--output", "json").object["tasks"]
    assert planned["fetch"]["action"] == "cached"
    (reason,) = planned["fit"]["reasons"]
    assert (reason["part"], reason["before"], reason["after"]) == ("constant:THRESHOLD", "2", "3")
    assert run(folder, *select) == {"fetch": "cached", "fit": "ok"}
    change(folder, "words.py", 'split("-")', 'split("-")[:]')
    explained = weft(folder, "plan", *select, "--output", "json").object["tasks"]["fetch"]["reasons"]
    assert [each["part"] for each in explained] == ["code:words.split"]
    # It makes the same as before: what follows stays as it is.
    assert run(folder, *select) == {"fetch": "ok", "fit": "cached"}


def test_the_reasons_name_what_has_changed(folder: Path) -> None:
    select = ("pipeline.py", "--select", "fit", *GIVEN)
    run(folder, *select)
    change(folder, "pipeline.py", "THRESHOLD = 2", "THRESHOLD = 3")
    change(folder, "words.py", 'split("-")', 'split("-")[:]')
    is_golden("python_changed.txt", weft(folder, "plan", *select), folder)
    run(folder, *select)
    explained = weft(folder, "explain", "fit").out
    assert "constant THRESHOLD changed from 2 to 3" in explained


def test_a_run_is_taken_up_again_with_the_present_module(folder: Path) -> None:
    change(folder, "pipeline.py", "return words.split(url)", "return 1 / 0")
    answer = weft(folder, "run", "pipeline.py:registry", "--select", "fit", *GIVEN)
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.out + answer.err
    change(folder, "pipeline.py", "return 1 / 0", "return words.split(url)")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    resumed = weft(elsewhere, "resume", "--state", str(folder / ".weft"))
    assert resumed.code == 0, resumed.err
    assert "fetch" in resumed.err
    assert product(folder, "fit")["n"] == 4


def test_excluded_tasks_need_no_options(folder: Path) -> None:
    run(folder, "pipeline.py", "--select", "fetch", *GIVEN)
    assert run(folder, "pipeline.py", "--until", "fit", "--exclude", "fetch") == {"fit": "ok"}


def test_a_task_that_is_replaced_by_a_value_needs_no_options(folder: Path) -> None:
    write(folder, "fetch.json", ["ab", "abc"])
    run(folder, "pipeline.py", "--select", "fit", "--replace", "fetch=fetch.json")
    assert product(folder, "fit")["n"] == 4


def test_a_compiled_registry_runs_like_the_registry(folder: Path) -> None:
    compiled = weft(folder, "compile", "pipeline.py", *GIVEN, "-o", "report.title=x")
    write(folder, "compiled.json", compiled.out)
    assert weft(folder, "compile", "compiled.json").out == compiled.out
    assert set(run(folder, "compiled.json").values()) == {"ok"}
    assert product(folder, "report") == "x: 4"


def test_a_registry_and_a_document_make_one_plan(folder: Path) -> None:
    write(folder, "more.json", {"weft": 1, "tasks": {"after": {"command": ["true"], "dependencies": ["fit"]}}})
    select = ("-o", "report.title=x", *GIVEN)
    assert set(run(folder, "pipeline.py", "more.json", *select)) == {"fetch", "fit", "report", "after"}


def test_weft_task_defines_in_the_default_registry(folder: Path) -> None:
    write(
        folder,
        "plain.py",
        "import weft\n\n@weft.task('greet')\ndef hello(name: str = 'you') -> str:\n    return name\n",
    )
    assert run(folder, "plain.py", "-o", "greet.name=me") == {"greet": "ok"}
    assert product(folder, "greet") == "me"


def test_a_module_of_a_package_is_imported_as_one(folder: Path) -> None:
    (folder / "pkg").mkdir()
    write(folder, "pkg/__init__.py", "")
    write(folder, "pkg/shared.py", "N = 3\n")
    write(
        folder, "pkg/flow.py", "import weft\nfrom .shared import N\nr = weft.Registry()\n@r.task\ndef a(): return N\n"
    )
    for named in ("pkg.flow", "pkg.flow:r", "pkg/flow.py"):
        run(folder, named, "--force", "--state", ".weft")
        assert product(folder, "a") == 3


GOLDEN = {
    "python_plan": ["plan", "pipeline.py", "--select", "fit", *GIVEN],
    "python_missing": ["run", "pipeline.py"],
    "python_mistakes": [
        *("run", "pipeline:registry", "-o", "fit.kk=4", "-o", "fitt.k=4", "-o", "k=4", "-o", "fit.k=x"),
        *("-o", "fetch.url=x", "-o", "fit.names=a", "-o", "report.title=x"),
    ],
    "python_predicate": ["run", "pipeline.py", "--select", "fit", "-o", "fit.k=-4", *GIVEN],
    "python_selection": ["run", "pipeline.py", "--select", "fitt"],
    "python_no_registry": ["run", "words.py"],
    "python_no_such_registry": ["run", "pipeline.py:registy"],
    "python_no_module": ["run", "pipelin:registry"],
    "python_definition": ["run", "definition.py"],
    "python_raises": ["run", "raises.py"],
    "python_exits": ["run", "exits.py"],
    "python_dies": ["run", "dies.py"],
    "python_syntax": ["run", "syntax.py"],
    "python_two": ["run", "two.py"],
    "python_runs": ["run", "runs.py"],
}
MODULES = {
    "definition.py": """
        import weft
        registry = weft.Registry()
        @registry.task(product="lisst", deps=["nope"], timeout="never", retries=3)
        def fit(k: int = "x"): ...
    """,
    "raises.py": "def f():\n    return 1 / 0\n\n\nf()\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "dies.py": "import os\nprint('last words', flush=True)\nos._exit(0)\n",
    "syntax.py": "x = (\n",
    "two.py": "import weft\na = weft.Registry()\nb = a.child()\n",
    "runs.py": "import weft\nr = weft.Registry()\n@r.task\ndef a(): return 1\nr.invoke('a').run()\n@r.task\ndef b(): return 2\n",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_told_is_the_golden_text(name: str, folder: Path) -> None:
    for file, source in MODULES.items():
        write(folder, file, textwrap.dedent(source))
    answer = weft(folder, *GOLDEN[name])
    assert "Traceback" not in answer.err
    is_golden(f"{name}.txt", answer, folder)
    assert not (folder / ".weft").exists()


def test_with_json_output_mistakes_are_one_event(folder: Path) -> None:
    (event,) = weft(folder, "run", "pipeline.py", "-o", "fit.kk=4", "--output", "json").events
    found = {(error["code"], error["location"], error["hint"]) for error in event["errors"]}
    assert ("option.unknown", "fit.kk", "did you mean 'k'?") in found
    assert {code for code, _, _ in found} == {"option.unknown", "option.missing"}


def test_prints_forks_and_changes_of_folder_do_not_disturb(folder: Path) -> None:
    source = """
        import os, threading, time
        import weft
        r = weft.Registry()
        print("noise" * 100_000)
        os.chdir("/")
        os.fork()
        threading.Thread(target=time.sleep, args=(60,)).start()
        @r.task
        def a() -> str:
            return "made"
    """
    write(folder, "noisy.py", textwrap.dedent(source))
    answer = weft(folder, "validate", "noisy.py")
    assert (answer.out, answer.err, answer.code) == ("ok: 1 task\n", "", 0)


def test_a_file_named_like_a_module_of_python_is_refused(folder: Path) -> None:
    write(folder, "sched.py", "import weft\nr = weft.Registry()\n")
    answer = weft(folder, "validate", "sched.py")
    assert answer.code == 2
    assert "rename it" in answer.err


def test_a_plan_foretells_that_what_gathers_cached_items_is_cached(folder: Path) -> None:
    (folder / "items.py").write_text(
        "import weft\n"
        "registry = weft.Registry()\n"
        "registry.task(lambda: iter([1, 2]), name='rows', product=weft.stream_of('int'))\n"
        "registry.task(lambda row: row + 1, name='more', deps=[weft.each('rows')], product='int')\n"
        "registry.task(lambda more: sum(more), name='total', deps=[weft.gather('more')], product='int')\n",
        encoding="utf-8",
    )
    run(folder, "items.py")
    foretold = weft(folder, "plan", "items.py", "--output", "json").object["tasks"]
    assert {name: task["action"] for name, task in foretold.items()} == dict.fromkeys(foretold, "cached")


def test_variables_of_a_registry_that_a_shell_evaluates_are_refused_where_none_may(folder: Path) -> None:
    source = """
        import weft
        registry = weft.Registry()
        registry.environment("e", variables={"DAY": {"shell": "touch evaluated"}})
        @registry.task(environment="e")
        def a(): ...
    """
    write(folder, "shell.py", textwrap.dedent(source))
    refused = weft(folder, "run", "shell.py", "--no-shell-eval")
    assert refused.code == 2 and "[policy.refused]" in refused.err
    assert not (folder / "evaluated").exists()
