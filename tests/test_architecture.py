"""The house is built as its plan says: who may import whom, what is pure, what importing does not do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# From top to bottom. A line may import the lines below it; names on one line are strangers. `settings` stands alone
# between the adapters and `assemble`, and `files` on the adapters' line (docs/decisions/0004).
LINES = (
    ("weft", "__main__"),
    ("cli", "web", "compat"),
    ("api",),
    ("assemble",),
    ("settings",),
    ("define", "formats", "runtime", "executors", "trackers", "store", "environments", "files", "notes", "testing"),
    ("ports",),
    ("scheduling",),
    ("spec",),
    ("units",),
    ("errors", "failpoints", "collector", "values"),
)
LEVEL = {name: level for level, line in enumerate(LINES) for name in line}
ONLY = {"settings": {"spec", "units", "errors"}}
EXCEPTIONS = {("weft.define.launch", "api")}
SUPERVISOR_EXCEPTIONS = {("weft.executors.supervisor.calls", "cloudpickle")}  # late, for functions sent by value

PURE = ("spec", "scheduling")
IMPURE = frozenset(
    "asyncio concurrent ctypes datetime fcntl getpass glob io locale logging mmap multiprocessing os pathlib platform "
    "pwd queue random resource secrets select selectors shutil signal socket sqlite3 subprocess tempfile threading time "
    "urllib uuid warnings weakref".split()
)
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint"})

# Third-party packages and the only folders that may know them; True: only inside functions, wherever it is.
THIRD_PARTY = {
    "click": (("cli",), False),
    "rich": (("cli",), True),
    "pydantic": (("formats",), False),
    "pydantic_core": (("formats",), False),
    "typing_extensions": (("formats",), False),
    "jsonschema": (("formats",), True),
    "referencing": (("formats",), True),
    "yaml": (("formats", "define"), True),  # define: files of resources
    "apsw": (("store",), False),
    "psutil": (("trackers", "executors", "cli"), False),
    "cloudpickle": (("executors", "formats", "define"), True),
    "watchfiles": (("files",), True),
    "uv": (("environments",), True),
    "apprise": (("notes",), True),
}
LATE = ("rich", "pydantic", "jsonschema", "yaml", "apsw", "psutil", "cloudpickle", "uv")


class Import(NamedTuple):
    """One imported name. late: inside a function. typing: under TYPE_CHECKING."""

    module: str
    line: int
    late: bool
    typing: bool


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((SOURCE / "weft").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports_of(name: str, path: Path) -> tuple[Import, ...]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[Import] = []
    open_nodes: list[tuple[ast.AST, bool, bool]] = [(tree_of(path), False, False)]
    while open_nodes:
        node, late, typing = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late = True
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing = True
        elif isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, late, typing) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            # `from weft import spec` imports weft.spec, and `from weft.spec import tasks` weft.spec.tasks.
            found += [Import(f"{base}.{alias.name}", node.lineno, late, typing) for alias in node.names]
        open_nodes += [(child, late, typing) for child in ast.iter_child_nodes(node)]
    return tuple(found)


def part_of(module: str) -> str:
    """The name in LINES that a module of weft belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "weft"


def test_every_module_stands_on_a_line() -> None:
    strangers = [name for name, _ in modules() if "." in name and name.split(".")[1] not in LEVEL]
    assert not strangers, "modules that the plan of the house does not know"


def test_imports_go_down_only() -> None:
    wrong = []
    for name, path in modules():
        own = part_of(name)
        for imported in imports_of(name, path):
            if imported.module.split(".")[0] != "weft":
                continue
            other = part_of(imported.module)
            allowed = other == own or LEVEL[other] > LEVEL[own] or (name, other) in EXCEPTIONS
            if other == "weft" and own not in ("weft", "__main__"):
                allowed = (
                    imported.module == "weft.__version__"
                )  # the front is above everybody; its version is a constant
            if own in ONLY and other != own and other not in ONLY[own]:
                allowed = False
            if not allowed:
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", PURE)
def test_the_core_has_no_clock_no_chance_and_no_world(part: str) -> None:
    wrong = []
    for name, path in modules():
        if part_of(name) != part:
            continue
        for imported in imports_of(name, path):
            root = imported.module.split(".")[0]
            if root in IMPURE or (root != "weft" and root not in sys.stdlib_module_names):
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                wrong.append(f"{name}:{node.lineno} calls {node.func.id}")
    assert not wrong, "\n".join(wrong)


def test_the_supervisor_needs_nothing_but_the_standard_library_and_its_own_folder() -> None:
    wrong = []
    for name, path in modules():
        if not name.startswith("weft.executors.supervisor"):
            continue
        for imported in imports_of(name, path):
            root = imported.module.split(".")[0]
            # Started by its folder in isolated mode, the package has no parent: it is then called `supervisor`.
            own = imported.module.startswith("weft.executors.supervisor") or root == "supervisor"
            if (name, root) in SUPERVISOR_EXCEPTIONS and imported.late:
                continue
            if not own and (root == "weft" or root not in sys.stdlib_module_names):
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
    assert not wrong, "\n".join(wrong)


def test_values_need_nothing_but_the_standard_library_and_speak_an_older_python() -> None:
    wrong = []
    for name, path in modules():
        if not name.startswith("weft.values"):
            continue
        for imported in imports_of(name, path):
            root = imported.module.split(".")[0]
            if not imported.module.startswith("weft.values") and root not in sys.stdlib_module_names:
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
            if imported.module.startswith("weft") and "from weft" in path.read_text(encoding="utf-8"):
                wrong.append(f"{name}: workers of other interpreters import it as a package of another name")
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))
    assert not wrong, "\n".join(wrong)


def test_workers_need_little_and_speak_an_older_python() -> None:
    """They run in the interpreters of environments, which have nothing of ours but the package itself."""
    wrong = []
    own = ("weft.executors.worker", "weft.executors.supervisor", "weft.values", "weft.spec.types")
    for name, path in modules():
        if not name.startswith("weft.executors.worker.") and name != "weft.executors.worker":
            continue
        for imported in imports_of(name, path):
            root = imported.module.split(".")[0]
            if not imported.module.startswith(own) and root not in sys.stdlib_module_names:
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
            if imported.module.startswith("weft.spec.types") and not imported.late:
                wrong.append(f"{name}:{imported.line} needs a newer Python for whoever checks no types")
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))
    assert not wrong, "\n".join(wrong)


def test_packages_of_others_are_known_to_their_adapters_only() -> None:
    wrong = []
    for name, path in modules():
        for imported in imports_of(name, path):
            root = imported.module.split(".")[0]
            if root in ("weft", "supervisor") or root in sys.stdlib_module_names or imported.typing:
                continue
            folders, only_late = THIRD_PARTY.get(root, ((), False))
            if part_of(name) not in folders or (only_late and not imported.late and not _is_late_itself(name)):
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
    assert not wrong, "\n".join(wrong)


def _is_late_itself(name: str) -> bool:
    """Whether nobody imports this module but inside functions (or modules of which that is true)."""
    open_names, seen = [name], {name}
    while open_names:
        current = open_names.pop()
        for other, path in modules():
            for imported in imports_of(other, path):
                exact = imported.module == current or imported.module.startswith(f"{current}.")
                if not exact or imported.late or imported.typing or other in seen:
                    continue
                if other.endswith((".cli.main", "weft.__init__")) or other == "weft":
                    return False
                seen.add(other)
                open_names.append(other)
    return True


def test_files_are_of_a_size_that_can_be_read() -> None:
    long = [
        f"{name}: {lines} lines"
        for name, path in modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    ]
    assert not long, "\n".join(long)


PROBE = """
import sys, threading
events = []
WORLD = "subprocess.Popen os.posix_spawn os.fork os.mkdir os.remove os.rename socket.connect socket.bind".split()
def hook(name, arguments):
    if name in WORLD:
        events.append(name)
    if name == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append(f"open {arguments[0]} {arguments[1]}")
sys.addaudithook(hook)
import weft, weft.cli.main
late = sorted(set(sys.argv[1:]) & set(sys.modules))
print(events, threading.active_count(), late)
"""


def test_importing_weft_and_its_command_does_nothing_and_loads_no_optional_package(tmp_path: Path) -> None:
    pytest.importorskip("weft.cli.main")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *LATE], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("[] 1 []", "")
    assert not list(tmp_path.iterdir())


RUN = """
import sys
from weft.cli.main import run
code = run(["run", "plan.json", "--output", "quiet"])
print(code, *sorted(sys.modules))
"""

NEEDLESS = (
    "weft.assemble.inspection",
    "weft.assemble.products",
    "weft.assemble.questions",
    "weft.environments",
    "weft.executors.hosts",
    "weft.executors.pool",
    "weft.executors.singles",
    "weft.files",
    "weft.formats.file_cycles",
    "weft.formats.function_sources",
    "weft.formats.notes",
    "weft.formats.option_values",
    "weft.formats.positions",
    "weft.notes",
    "weft.runtime.feeds",
    "weft.runtime.products",
    "weft.runtime.recovery",
    "weft.runtime.streams",
    "weft.spec.mapping",
    "weft.spec.notes",
    "weft.spec.shelltext",
    "weft.values",
    *(name for name in THIRD_PARTY if name not in ("apsw", "click")),
    *("asyncio", "multiprocessing", "secrets", "shutil", "sqlite3", "subprocess"),
)
"""What a run of programs alone has no use for: loading it would take longer than such a run does."""


def test_a_run_of_programs_alone_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"weft": 1, "tasks": {"a": {"command": ["/bin/true"]}}}', encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    code, *loaded = done.stdout.split()
    needless = [name for name in loaded if any(name == each or name.startswith(f"{each}.") for each in NEEDLESS)]
    assert (code, needless, done.stderr) == ("0", [], "")


HIDDEN = """
import importlib, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"hidden: {name}", name=name)
sys.meta_path.insert(0, Hide())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def test_the_core_is_importable_without_any_package_of_others(tmp_path: Path) -> None:
    names = [
        name for name, _ in modules() if part_of(name) in ("spec", "scheduling", "units", "errors", "ports", "runtime")
    ]
    hidden = ",".join(THIRD_PARTY)
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, hidden, *names], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
