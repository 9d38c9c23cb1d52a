"""What a command works with: settings, documents, the state folder, and where to print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from weft.cli.options import FLAGS, given, run_word
from weft.cli.output.problems import print_as_text, write_stderr, write_stdout
from weft.cli.output.terminal import Place, harmless, look
from weft.errors import PlanError, Problem, StoreError, UsageError, hint_nearest
from weft.settings import STATE_FOLDER, Settings, read, without_credentials

if TYPE_CHECKING:
    from weft.assemble import ReadPlan, RunSettings
    from weft.executors.link import Newborn
    from weft.formats.link import Advise
    from weft.formats.load import Loaded, PythonPlan, PythonRequest
    from weft.ports import RunRow, TaskRow
    from weft.spec.plan import Plan
    from weft.store.archive import SqliteArchive

COLLECTED_AFTER = 50_000  # new objects between two collections: a run makes many, and hardly ever a cycle of them


SELECTION: Final = ("select", "exclude", "until", "start_from")


class Documents(NamedTuple):
    """The plans that a command was given and how they are to be read."""

    paths: tuple[str, ...]
    inputs: tuple[str, ...]
    format: str | None
    root: str | None
    schema: str | None
    options: tuple[tuple[str, Any], ...]
    strict: bool
    shell_eval: bool
    replacements: tuple[tuple[str, str], ...] = ()
    selection: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def recorded(self) -> dict[str, Any]:
        """What a run keeps of it, so that `weft resume` reads the same documents again."""
        return {
            "paths": [_absolute(path) for path in self.paths],
            "inputs": [_absolute(path) for path in self.inputs],
            "format": self.format,
            "root": os.path.abspath(self.root) if self.root else None,
            "schema": os.path.abspath(self.schema) if self.schema else None,
            "options": [[name, value] for name, value in self.options],
            "strict": self.strict,
            "shell_eval": self.shell_eval,
            "replacements": [[name, os.path.abspath(path)] for name, path in self.replacements],
            "folder": os.getcwd(),
            "selection": {name: list(texts) for name, texts in self.selection.items() if texts},
        }


def _absolute(path: str) -> str:
    if ".py:" in path and not os.path.exists(path):  # of a registry in a file
        file, _, name = path.rpartition(":")
        return f"{os.path.abspath(file)}:{name}"
    return os.path.abspath(path) if os.path.exists(path) else path


def _has_python(paths: Sequence[str]) -> bool:
    """Whether a module is among them: what is selected of it decides which options it must be given."""
    modules = [path for path in paths if not path.endswith((".json", ".yaml", ".yml", ".toml", "-"))]
    if not modules:
        return False
    from weft.formats.detect import is_python  # late: nearly all plans are documents

    return any(is_python(path, os.getcwd()) for path in modules)


def _load_python(request: PythonRequest) -> PythonPlan:
    from weft.assemble.python_plans import load_python  # late: few plans are Python

    return load_python(request)


def _present_code(plan: Plan) -> Plan:
    from weft.assemble.python_plans import refresh

    return refresh(plan)


class Session:
    """One call of one command."""

    def __init__(self, ctx: click.Context):
        self._ctx = ctx
        self.settings: Settings = read(_settings_folder(ctx), os.environ, ctx.meta.get(FLAGS))
        self.output: str = self.settings["output"]
        ctx.obj.update(output=self.output, color=self.settings["color"])
        self.out: Place = look(1, os.environ, self.settings["color"])
        self.err: Place = look(2, os.environ, self.settings["color"])
        self.warn(self.settings.warnings)
        if self.settings["store"] not in (None, "sqlite"):
            raise UsageError(
                f"store {without_credentials(self.settings['store'])!r} is not in this version, "
                "which keeps state in the state folder",
                "leave --store away, or give the folder with --state DIR",
            )

    @property
    def wants_json(self) -> bool:
        """Whether the answer is to be one JSON object."""
        return self.output == "json"

    def warn(self, problems: Sequence[Problem]) -> None:
        """Warnings, on standard error; not with `--output quiet`."""
        if problems and self.output != "quiet":
            print_as_text(problems, self.settings["color"], "warning")

    def note(self, text: str) -> None:
        """A remark, on standard error; not with `--output quiet`."""
        if self.output != "quiet":
            write_stderr(f"weft: {text}\n")

    def say(self, text: str) -> None:
        """Result as text; not with `--output quiet`."""
        if self.output != "quiet":
            write_stdout(text)

    def give(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """Result as one JSON object."""
        write_stdout(json.dumps(value) + "\n")

    def write(self, data: str | bytes) -> None:
        """Result as it is, also with `--output quiet`: it is what the command is for."""
        if self.out.is_terminal:
            data = harmless(data.decode("utf-8", "replace") if isinstance(data, bytes) else data)
        write_stdout(data)

    @property
    def follow(self) -> bool:
        """Whether output is to be shown while tasks run."""
        return bool(given(self._ctx, "follow"))

    # --- documents -----------------------------------------------------------------------------------------------------

    def documents(self) -> Documents:
        """The plans named. Raises UsageError when there is none, and PlanError for bad options files."""
        ctx = self._ctx
        paths = tuple(given(ctx, "plans") or ())
        inputs = tuple(given(ctx, "inputs") or ())
        if not paths and not inputs:
            raise UsageError("no plan is named", f"name one, as in: {ctx.command_path} plan.json")
        root = given(ctx, "root")
        if root is not None and not os.path.isdir(root):
            raise UsageError(f"--root {root!r} is no folder that exists", "name the folder that paths start from")
        options = [*_from_files(given(ctx, "option_files") or ()), *map(_split_option, given(ctx, "options") or ())]
        return Documents(
            paths,
            inputs,
            given(ctx, "format"),
            given(ctx, "root"),
            given(ctx, "schema"),
            tuple(options),
            self.settings["strict"],
            self.settings["shell_eval"],
            tuple(map(_split_replacement, given(ctx, "replacements") or ())),
            {name: tuple(given(ctx, name) or ()) for name in SELECTION} if _has_python(paths) else {},
        )

    def read_for_run(self, documents: Documents) -> ReadPlan:
        """Like `load`, but documents that a run has recorded, and that have not changed, are not checked again."""
        import gc

        from weft import assemble

        paths = (*documents.paths, *documents.inputs)
        start = documents.root or (os.path.dirname(os.path.abspath(paths[0])) if paths else os.getcwd())
        state = self.settings["state"] or os.path.join(start, STATE_FOLDER)
        besides = (documents.schema,) if documents.schema else ()
        read_files = (*paths, *besides, *(path for _, path in documents.replacements))
        was_told = False

        def load() -> Loaded:
            nonlocal was_told
            was_told = True
            return self.load(documents, is_current=True)

        gc.disable()  # it would walk the plan over and over while it grows, and it holds no cycle
        read = assemble.read_plan(read_files, state, documents.recorded(), load)
        gc.freeze()
        gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
        gc.enable()
        if not was_told:
            self.warn(read.warnings)
        if read.plan.environments:
            self._tell_early_variables(read.plan, documents)
        if not os.path.isdir(read.plan.root):
            hint = "name the folder of this machine with --root; weft compile --relocatable leaves it out"
            raise UsageError(f"the plan's root {read.plan.root!r} is no folder that exists", hint)
        return read

    def _tell_early_variables(self, plan: Plan, documents: Documents) -> None:
        from weft.cli.early_variables import early_problems

        names = (*documents.paths, *documents.inputs)
        found = early_problems(plan, names[0] if len(names) == 1 else None)
        if found and documents.strict:
            raise PlanError(found)
        self.warn(found)

    def load(
        self,
        documents: Documents | None = None,
        advise: Advise | None = None,
        *,
        is_preview: bool = False,
        is_current: bool = False,
        is_open: bool = False,
    ) -> Loaded:
        """Read the plans and tell their warnings. Raises PlanError.

        advise: finds more of them. is_preview: only to be looked at. is_current: with the code that functions have now.
        is_open: options of the plan may stay without values.
        """
        from weft.formats.load import load

        documents = documents or self.documents()
        loaded = load(
            (*documents.paths, *documents.inputs),
            format=documents.format,
            root=documents.root,
            options=documents.options,
            strict=documents.strict,
            schema=documents.schema,
            shell_eval=documents.shell_eval,
            replacements=documents.replacements,
            as_json=documents.inputs,
            python=_load_python,
            selection=documents.selection,
            stdin=sys.stdin.buffer.read,
            advise=advise,
            is_preview=is_preview,
            present=_present_code if is_current else None,
            is_open=is_open,
        )
        self.warn(loaded.warnings)
        return loaded

    def run_settings(
        self,
        state: str | None = None,
        recorded: Mapping[str, Any] | None = None,
        newborn: Newborn | None = None,
    ) -> RunSettings:
        """How to run. state: the folder, when it was found without a plan."""
        from weft.assemble import RunSettings

        settings, ctx = self.settings, self._ctx
        chosen: dict[str, Any] = {name: tuple(given(ctx, name) or ()) for name in SELECTION}
        return RunSettings(
            jobs=settings["jobs"],
            resources=settings["resources"],
            reserve=settings["reserve"],
            opportunistic=settings["opportunistic"],
            trackers=settings["trackers"],
            # Only when somebody said so: a run that is taken up keeps the executor that it was started with.
            executor=settings["executor"] if settings.origin("executor") != "default" else None,
            state=state or settings["state"],
            fail_fast=settings["fail_fast"],
            force=bool(given(ctx, "force")),
            use_cache=settings["cache"],
            timeout=settings["timeout"],
            wait=settings["wait"],
            durability=settings["durability"],
            queues=settings["queues"],
            clusters=settings["clusters"],
            scale_on=settings["workflow"].get("scale_on"),
            recorded=recorded or {},
            newborn=newborn,
            **chosen,
        )

    # --- state ---------------------------------------------------------------------------------------------------------

    def state(self) -> str:
        """The state folder: given, else `.weft` in the root, in this folder, or in the nearest one above that has it."""
        stated: str | None = self.settings["state"]
        if stated is not None:
            folder = os.path.abspath(stated)
            if not os.path.isdir(folder):
                raise StoreError(
                    "there is no state folder here; nothing was run with it yet", folder, "weft run PLAN makes it"
                )
            return folder
        root = given(self._ctx, "root")
        start = os.path.abspath(root) if root else os.getcwd()
        folder = start
        while True:
            state = os.path.join(folder, STATE_FOLDER)
            if os.path.isdir(state):
                return state
            parent = os.path.dirname(folder)
            if parent == folder or root:
                hint = "it lies beside the plan that was run: go there with -C DIR, or name it with --state DIR"
                raise StoreError("no state folder is found here or above; nothing was run here yet", start, hint)
            folder = parent

    def archive(self, root: str | None = None) -> SqliteArchive:
        """The recorded runs. root: of the plan whose state is meant, when there is one. Raises StoreError."""
        from weft import assemble

        if root is not None and self.settings["state"] is None:
            return assemble.archive(os.path.join(root, STATE_FOLDER))
        return assemble.archive(self.state())

    def answer(self, record: dict[str, Any], text: str) -> int:
        """Give a record, or what it says in words. The exit code of a question that has an answer."""
        if self.wants_json:
            self.give(record)
        else:
            self.say(text)
        return 0

    def find(self, archive: SqliteArchive, word: str | None) -> RunRow:
        """The run that a RUN argument names; None: the last one."""
        return archive.find(run_word(word) if word is not None else "last")

    def find_instance(self, archive: SqliteArchive, run: RunRow, name: str) -> tuple[int, int | None]:
        """The task, and the instance when `NAME[ITEM]` was said. Raises UsageError with the nearest name."""
        from weft import assemble

        rows = archive.tasks(run.run)
        by_name = {row.name: row for row in rows}
        if name not in by_name and name.endswith("]"):
            for row in rows:
                if row.instances and name.startswith(f"{row.name}["):
                    return row.task, self._item_index(archive, run, row, name)
        return assemble.row_of(rows, name, run.run).task, None

    def _item_index(self, archive: SqliteArchive, run: RunRow, row: TaskRow, name: str) -> int:
        items = self.items_of(archive, run, row.task)
        item = name[len(row.name) + 1 : -1]
        if item in items:
            return items.index(item)
        raise UsageError(f"task {row.name!r} has no instance {item!r}", hint_nearest(item, items), "ref.instance")

    def items_of(self, archive: SqliteArchive, run: RunRow, task: int) -> Sequence[str]:
        """The items of a mapped task, in order; none for other tasks."""
        return [item for item, _, _ in archive.items(run.run, task).get(task, ())]

    def task_state(self, archive: SqliteArchive, run: RunRow, task: int) -> str:
        """The present state of a task."""
        states: dict[int, str] = {row.task: row.state for row in archive.tasks(run.run)}
        return states[task]

    def check_tasks(self, archive: SqliteArchive, run: RunRow, names: Sequence[str]) -> None:
        """Raises UsageError with the nearest name when the run has no such task."""
        from weft import assemble

        if names:
            rows = archive.tasks(run.run)
            for name in names:
                assemble.row_of(rows, name, run.run)

    def find_run_and_task(self, archive: SqliteArchive, words: Sequence[str]) -> tuple[RunRow, str]:
        """What `[RUN] TASK` names. Raises UsageError when these are not one or two words."""
        if not 1 <= len(words) <= 2:
            raise UsageError(f"{self._ctx.command_path} takes [RUN] TASK", f"see {self._ctx.command_path} --help")
        run = self.find(archive, words[0] if len(words) == 2 else None)
        return run, run_word(words[-1])

    def split_run(self, archive: SqliteArchive, words: Sequence[str]) -> tuple[RunRow, tuple[str, ...]]:
        """What `[RUN] [TASK...]` names: the first word is a run unless it is a task of the last run."""
        names = tuple(run_word(word) for word in words)
        last = archive.find("last")
        if not names:
            return last, ()
        if looks_like_run(names[0]) and names[0] not in {row.name for row in archive.tasks(last.run)}:
            return archive.find(names[0]), names[1:]
        return last, names


def looks_like_run(word: str) -> bool:
    """Whether a word can be meant as a run: `last`, a negative count, or the beginning of an id (32 hex characters)."""
    if word == "last" or (word[:1] == "-" and word[1:].isdigit()):
        return True
    return 4 <= len(word) <= 32 and all(character in "0123456789abcdef" for character in word)


def _settings_folder(ctx: click.Context) -> str:
    root = given(ctx, "root")
    if root:
        return str(root)
    paths: tuple[str, ...] = (*(given(ctx, "plans") or ()), *(given(ctx, "inputs") or ()))
    for path in paths:
        file = path.rpartition(":")[0] if ".py:" in path and not os.path.exists(path) else path
        if os.path.isfile(file):
            return os.path.dirname(os.path.abspath(file))
    return os.getcwd()


def _split_replacement(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign or not name.strip() or not path:
        raise UsageError(f"--replace {text!r} is not TASK=FILE", "as in --replace fetch=fixtures/fetch.json")
    return name.strip(), path


def _split_option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise UsageError(f"-o {text!r} is not NAME=VALUE", "as in -o season=2031, or -o fit.k=4 for a task's own")
    return name.strip(), value


def _from_files(paths: Sequence[str]) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = []
    for path in paths:
        table = _read_table(path)
        for name, value in table.items():
            if isinstance(value, Mapping):  # the options of a task, by its name
                options.extend((f"{name}.{key}", part) for key, part in value.items())
            else:
                options.append((str(name), value))
    return options


def _read_table(path: str) -> Mapping[str, Any]:
    from weft.formats.mistakes import Mistakes, to_problem
    from weft.formats.parse import parse
    from weft.formats.read import FORMAT_BY_SUFFIX, read_text

    format = FORMAT_BY_SUFFIX.get(os.path.splitext(path)[1].lower())
    if format is None:
        message = f"the kind of options file {path!r} is unknown"
        raise PlanError([Problem("read.suffix", message, path, hint="use .json, .toml or .yaml")])
    mistakes = Mistakes()
    read_in = read_text(path, path, mistakes)
    data = parse(read_in.text, format, path, mistakes) if read_in is not None else None
    if mistakes.errors:
        raise PlanError(to_problem(mistake, {}) for mistake in mistakes.errors)
    if not isinstance(data, Mapping):
        raise PlanError([Problem("shape.type", "an options file holds an object of names and values", path, "")])
    return data
