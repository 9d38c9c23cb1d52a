"""Help: complete, and without importing what it does not need."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from support.command_line import environment, is_golden, weft
from weft.cli.main import COMMANDS


def test_help_is_the_golden_one(tmp_path: Path) -> None:
    is_golden("help.txt", weft(tmp_path, "--help"), tmp_path)
    assert weft(tmp_path, "-h").out == weft(tmp_path, "--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, tmp_path: Path) -> None:
    answer = weft(tmp_path, name, "--help")
    assert answer.code == 0 and answer.out.startswith(f"Usage: weft {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_stands_in_a_module_of_its_name(name: str) -> None:
    assert import_module(f"weft.cli.{name}").command.name == name


def modules_of(folder: Path, *words: str) -> set[str]:
    """Modules that are imported when a command has ended."""
    script = (
        "import sys, weft.cli.main as main\n"
        f"code = main.run({list(words)!r})\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment(folder), capture_output=True, check=True, timeout=60
    )
    return set(done.stderr.decode().split())


def test_help_imports_no_command_and_no_optional_package(tmp_path: Path) -> None:
    loaded = modules_of(tmp_path, "--help")
    assert not {
        name for name in loaded if name.startswith("weft.") and not name.startswith(("weft.cli", "weft.errors"))
    }
    assert not {f"weft.cli.{name}" for name in COMMANDS} & loaded
    assert not {"rich", "pydantic", "apsw", "yaml", "psutil", "jsonschema", "cloudpickle", "asyncio"} & loaded


def test_a_plain_run_imports_no_terminal_package(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"weft": 1, "tasks": {"a": {"command": ["true"]}}}')
    loaded = modules_of(tmp_path, "run", "plan.json", "--output", "quiet")
    assert "weft.assemble" in loaded
    assert not {"rich", "yaml", "jsonschema", "cloudpickle", "asyncio"} & loaded


def test_the_version_is_printed(tmp_path: Path) -> None:
    from weft import __version__

    assert weft(tmp_path, "--version").out == f"weft {__version__}\n"


def test_without_words_help_goes_to_stderr_and_the_exit_code_is_two(tmp_path: Path) -> None:
    answer = weft(tmp_path)
    assert (answer.out, answer.code) == ("", 2) and answer.err.startswith("Usage: weft")
