"""Virtual environments that uv really makes, from packages that lie on this machine."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from weft.environments.installations import NOTHING_ASKED, Installation, InstallationFailed, Installations, Installer
from weft.environments.local_requirements import digest_local, local_paths
from weft.errors import InternalError
from weft.spec.environments import Environment

LIMIT = 60.0


def wheel(folder: Path, text: str = "1", name: str = "thing") -> str:
    """A package of one module, as pip takes it without building."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VALUE = {text!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return f"./{path.name}"


def installations(tmp_path: Path, **more: str) -> Installations:
    environ = {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "uv"), **more}
    return Installations(str(tmp_path / "made"), environ)


def value_in(found: Installation | InstallationFailed) -> str:
    assert isinstance(found, Installation), found
    assert found.python is not None
    command = [found.python, "-c", "import thing; print(thing.VALUE)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def failure(found: Installation | InstallationFailed) -> InstallationFailed:
    assert isinstance(found, InstallationFailed)
    return found


def test_nothing_is_made_when_nothing_is_asked(tmp_path: Path) -> None:
    assert installations(tmp_path).prepare(Environment(path="x"), str(tmp_path)) is NOTHING_ASKED
    assert not (tmp_path / "made").exists()


def test_equal_content_is_installed_once_and_other_content_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    line = wheel(root)
    environment = Environment(requirements=(line,))
    first = installations(tmp_path).prepare(environment, str(root))
    assert value_in(first) == "1"
    assert isinstance(first, Installation)
    marker = Path(str(first.bin_folder)).parent / "weft-ready"
    made = marker.stat().st_mtime_ns
    assert installations(tmp_path).prepare(Environment(requirements=(line,), path="other"), str(root)) == first
    assert marker.stat().st_mtime_ns == made
    wheel(root, "2")
    second = installations(tmp_path).prepare(environment, str(root))
    assert second != first
    assert value_in(second) == "2"
    assert value_in(first) == "1"


def test_an_interpreter_alone_gives_an_environment_too(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"
    for wanted in (version, f"python{version}", sys.executable):
        found = installations(tmp_path, PATH=path).prepare(Environment(python=wanted), str(tmp_path))
        assert isinstance(found, Installation), found
        assert os.path.exists(str(found.python))


@pytest.mark.parametrize("wanted", ["python9.9", "9.9", "bin/python", "/no/python", "-h"])
def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path, wanted: str) -> None:
    found = failure(installations(tmp_path).prepare(Environment(python=wanted), str(tmp_path)))
    assert repr(wanted) in found.text


def test_a_script_that_leads_to_an_interpreter_is_asked_which_one_and_one_that_does_not_is_named(
    tmp_path: Path,
) -> None:
    for name, body in (("broken", "echo no such version >&2; exit 127"), ("leading", f'exec {sys.executable} "$@"')):
        (tmp_path / name).mkdir()
        script = tmp_path / name / "python3.77"
        script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        script.chmod(0o755)
    paths = os.pathsep.join([str(tmp_path / "broken"), str(tmp_path / "leading")])
    found = Installations(str(tmp_path / "kept"), {**os.environ, "PATH": paths})
    refused: list[str] = []
    python = found.find_python("3.77", str(tmp_path), refused)
    assert python is not None and os.path.samefile(python, sys.executable)
    assert refused == [f"{tmp_path}/broken/python3.77 does not start: no such version"]
    alone = Installations(str(tmp_path / "kept"), {**os.environ, "PATH": str(tmp_path / "broken")})
    failed = alone.prepare(Environment("python3.77"), str(tmp_path))
    assert isinstance(failed, InstallationFailed)
    assert "'python3.77'" in failed.text and "does not start: no such version" in failed.text


def test_a_failed_installation_leaves_its_log_and_nothing_half_made(tmp_path: Path) -> None:
    found = failure(installations(tmp_path).prepare(Environment(requirements=("./gone.whl",)), str(tmp_path)))
    assert found.text.startswith("installing the requirements failed: error: ") and "gone" in found.text[:150]
    assert found.log is not None
    assert "gone" in Path(found.log).read_text()
    assert [name for name in os.listdir(tmp_path / "made") if not name.endswith((".log", ".lock"))] == []


def test_what_is_half_made_is_made_again(tmp_path: Path) -> None:
    line = wheel(tmp_path)
    found = installations(tmp_path).prepare(Environment(requirements=(line,)), str(tmp_path))
    assert isinstance(found, Installation)
    os.unlink(Path(str(found.bin_folder)).parent / "weft-ready")
    os.unlink(str(found.python))
    assert value_in(installations(tmp_path).prepare(Environment(requirements=(line,)), str(tmp_path))) == "1"


def test_the_installer_answers_each_name_once_and_rings(tmp_path: Path) -> None:
    line = wheel(tmp_path)
    environments = {
        "a": Environment(requirements=(line,)),
        "b": Environment(requirements=(line,)),
        "c": Environment(python="9.9"),
    }
    installer = Installer(environments, str(tmp_path), installations(tmp_path))
    try:
        for name in ("a", "b", "c", "a"):
            installer.ask(name)
        found: dict[str, Installation | InstallationFailed] = {}
        deadline = time.monotonic() + LIMIT
        while len(found) < 3:
            assert select.select(installer.bells(), [], [], max(0.0, deadline - time.monotonic()))[0]
            found.update(installer.answers())
        assert found["a"] == found["b"]
        assert isinstance(found["c"], InstallationFailed)
        assert installer.answers() == []
    finally:
        installer.close()
        installer.close()


def test_closing_ends_what_is_being_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    started = tmp_path / "started"
    os.mkfifo(started)
    slow.write_text(f"#!/bin/sh\necho > {started}\nexec sleep 600\n")
    slow.chmod(0o700)
    monkeypatch.setattr("weft.environments.installations._uv", lambda: str(slow))
    installer = Installer({"a": Environment(python=sys.executable)}, str(tmp_path), installations(tmp_path))
    installer.ask("a")
    started.read_text()
    installer.close()
    ((name, result),) = installer._answers
    assert (name, type(result)) == ("a", InstallationFailed)


def test_a_failure_of_ours_reaches_the_loop(tmp_path: Path) -> None:
    installer = Installer({}, str(tmp_path), installations(tmp_path))
    try:
        installer.ask("nobody")
        assert select.select(installer.bells(), [], [], LIMIT)[0]
        with pytest.raises(InternalError, match="nobody"):
            installer.answers()
    finally:
        installer.close()


# --- local requirements ------------------------------------------------------------------------------------------------


def test_lines_that_name_something_local_are_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("numpy\n./inner  # comment\n-r more.txt\n")
    lines = (
        "numpy>=2",
        "# ./comment",
        "./a",
        "-e ../b",
        "c @ file:///c%20d",
        "d.whl ; python_version > '3'",
        "e @ https://host/e.whl",
        "f[x]",
        "./g[x,y]",
        "--index-url https://host/simple",
        "-r more.txt",
    )
    root = str(tmp_path)
    assert list(local_paths(lines, root)) == [
        f"{root}/./a",
        f"{root}/../b",
        "/c d",
        f"{root}/d.whl",
        f"{root}/./g",
        f"{root}/more.txt",
        f"{root}/./inner",
        f"{root}/more.txt",
    ]


def test_a_local_package_counts_by_its_sources_not_by_what_building_leaves(tmp_path: Path) -> None:
    package = tmp_path / "p"
    for name in ("src/m.py", ".git/x", "build/y", "src/__pycache__/z", "p.egg-info/w"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("1")
    before = digest_local(["./p"], str(tmp_path))
    for name in (".git/x", "build/y", "src/__pycache__/z", "p.egg-info/w"):
        (package / name).write_text("2")
    assert digest_local(["./p"], str(tmp_path)) == before
    (package / "src/m.py").write_text("2")
    assert digest_local(["./p"], str(tmp_path)) != before
    assert digest_local(["numpy"], str(tmp_path)) == ""
