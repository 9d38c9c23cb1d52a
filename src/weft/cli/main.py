"""The entry of the command line: finds the command, and turns every error into text, JSON and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from weft.errors import Problem, WeftError, hint_nearest

COMMANDS: Final[Mapping[str, str]] = {
    "run": "Run a plan.",
    "plan": "Say what a run would do, and why; run nothing.",
    "validate": "Check plans and list every mistake.",
    "compile": "Write a plan in its canonical form.",
    "graph": "Draw or export the graph of a plan.",
    "simulate": "Say what a run would take on other hosts; run nothing.",
    "status": "Show how a run stands, task by task.",
    "show": "Show one task of a run: what it is and its attempts.",
    "logs": "Print what a task wrote.",
    "usage": "Show what tasks took: time, CPU, memory.",
    "explain": "Say why a task ran, was cached, waits or failed.",
    "resume": "Continue a run that did not end well.",
    "retry": "Run chosen tasks of a run again, and what follows them.",
    "watch": "Run a plan again whenever files that it requires come or change.",
    "cancel": "Give up a run, or some of its tasks.",
    "workflow": "Show, continue and change recorded workflows.",
    "task": "Show and change single tasks of recorded workflows.",
    "cache": "List, clear and verify what is kept for later runs.",
    "schema": "Print the JSON Schema of plan documents.",
    "doctor": "Show settings, limits of this machine and the state's health.",
    "completion": "Print a completion script for a shell.",
}
"""Commands in the order of `weft --help`, with the line that it shows: so that help imports none of them."""

LATER: Final = frozenset({"report", "ui"})

OLD_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "workflow_status": ("workflow", "status"),
    "workflow_tasks": ("workflow", "tasks"),
    "workflow_resume": ("workflow", "resume"),
    "workflow_reset": ("workflow", "reset"),
    "concurrency_limit": ("workflow", "concurrency"),
    "get_filepaths": ("workflow", "logs"),
    "task_template_resources": ("workflow", "resources", "usage"),
    "create_resource_yaml": ("workflow", "resources", "yaml"),
    "task_status": ("task", "status"),
    "task_dependencies": ("task", "dependencies"),
    "update_task_status": ("task", "update"),
}
"""Commands by the names that the original system has for them (workflows.md 9)."""

OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {**OLD_NAMES, "tasks": ("workflow", "tasks")}

COLLECTED_AFTER: Final = 50_000
"""New objects between two collections: loading code makes many, as runs do, and hardly ever a cycle of them."""

INTERRUPTED_EXIT: Final = 130
PIPE_EXIT: Final = 141
BUG_EXIT: Final = 70


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"weft.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        args = [*OTHER_NAMES.get(args[0], args[:1]), *args[1:]]
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = "it comes in a later version" if name in LATER else hint_nearest(name, COMMANDS)
            raise _Refused(f"no such command {name!r}", hint or "see weft --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class _Refused(click.UsageError):
    """A usage error with its own hint."""

    def __init__(self, message: str, hint: str | None):
        super().__init__(message)
        self.hint = hint


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from weft import __version__

    click.echo(f"weft {__version__}")
    ctx.exit()


def change_folder(_ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """`-C DIR`: go there before anything else is looked at."""
    if value is None:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise _Refused(f"-C {value!r}: {error.strerror}", "name a folder that exists") from error


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="weft COMMAND --help tells more of each.",
)
@click.option(
    "-C", "folder", metavar="DIR", callback=change_folder, is_eager=True, expose_value=False, help="Work in DIR."
)
@click.option(
    "--version", is_flag=True, callback=_version, is_eager=True, expose_value=False, help="Print the version."
)
def weft() -> None:
    """Describe work once, run it everywhere."""


def main() -> NoReturn:
    """The command `weft`, for whoever has a process to go on with: raises SystemExit."""
    sys.exit(run(sys.argv[1:]))


def console() -> NoReturn:
    """The command `weft` as a process of its own, which ends here."""
    gc.set_threshold(COLLECTED_AFTER)
    gc.enable()
    _hold_standard_descriptors()
    code = run(sys.argv[1:], is_alone=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the reader has gone, or the stream was closed: `run` has seen to what that means
    # Everything is durable and closed by now; taking a plan of a million tasks apart object by object takes seconds.
    os._exit(code)


def _hold_standard_descriptors() -> None:
    """Take the places of standard streams that were closed.

    Whatever is opened first would get them, the database for one, and what we print would be written into it. The null device,
    open for reading, is an empty input, and an output that refuses what is written, as a closed one does.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDONLY)  # the lowest free number: that of the stream
        os.set_inheritable(descriptor, True)
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def run(argv: Sequence[str], is_alone: bool = False) -> int:
    """Do what the words say; the exit code. Errors are printed here and nowhere else. is_alone: this process ends with it."""
    meta: dict[str, Any] = {"is_alone": is_alone}
    try:
        if "_WEFT_COMPLETE" in os.environ:
            return int(weft.main(list(argv), prog_name="weft"))
        code = weft.main(list(argv), prog_name="weft", standalone_mode=False, obj=meta)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except WeftError as error:
        if error.problems()[0].code == "output":
            _forget_stdout()
        return _fail(error.problems(), error.exit_code, meta, argv, error.warnings)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        return _fail([_usage_problem(error)], 2, meta, argv)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_EXIT
    except Exception as error:  # noqa: BLE001 - the last line of defence: everything else is our bug
        if isinstance(error, OSError) and (refused := _refused_output()) is not None:
            return _fail(refused.problems(), refused.exit_code, meta, argv)
        return _fail([_bug(error)], BUG_EXIT, meta, argv)


def _refused_output() -> WeftError | None:
    """What standard output says to the words that click could not write: those of `--help` and `--version`."""
    from weft.cli.output.problems import write_stdout

    try:
        write_stdout("")
    except WeftError as error:
        _forget_stdout()
        return error
    return None


def _usage_problem(error: click.UsageError) -> Problem:
    hint = getattr(error, "hint", None)
    message = error.message
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in _parameters(error.ctx) for name in (*parameter.opts, *parameter.secondary_opts)]
        hint = hint_nearest(error.option_name, [name for name in known if name.startswith("--")])
        message = f"no such option {error.option_name!r}"
    elif not isinstance(error, _Refused):
        message = error.format_message().rstrip(".")
        message = message[:1].lower() + message[1:]
    if hint is None and error.ctx is not None:
        hint = f"see {error.ctx.command_path} --help"
    return Problem("usage", message, hint=hint)


def _parameters(ctx: click.Context | None) -> list[click.Parameter]:
    return ctx.command.get_params(ctx) if ctx is not None else []


def _bug(error: Exception) -> Problem:
    if os.environ.get("WEFT_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({os.path.basename(frame.tb_frame.f_code.co_filename)}, line {frame.tb_lineno})" if frame else ""
    hint = "this is a bug in weft: please report it; WEFT_DEBUG=1 shows the traceback"
    return Problem("internal", f"{text}{where}", hint=hint)


def _fail(
    problems: Sequence[Problem],
    code: int,
    meta: Mapping[str, Any],
    argv: Sequence[str],
    warnings: Sequence[Problem] = (),
) -> int:
    from weft.cli.output.problems import print_as_json, print_as_text

    try:
        if _wants_json(meta, argv):
            print_as_json(problems, warnings)
        else:
            if meta.get("output") != "quiet":
                print_as_text(warnings, meta.get("color", "auto"), "warning")
            print_as_text(problems, meta.get("color", "auto"))
    except BrokenPipeError:
        _forget_stdout()
    return code


def _wants_json(meta: Mapping[str, Any], argv: Sequence[str]) -> bool:
    """What the command found out, else, when it did not come so far, what the words and the environment say."""
    if "output" in meta:
        return bool(meta["output"] == "json")
    has_short = any(word in ("workflow", "task") or word in OTHER_NAMES for word in argv)  # else -o is --option
    for place, word in enumerate(argv):
        if (word == "--output" or (word == "-o" and has_short)) and place + 1 < len(argv):
            return argv[place + 1] == "json"
        if word.startswith("--output="):
            return word == "--output=json"
    return os.environ.get("WEFT_OUTPUT") == "json"


def _forget_stdout() -> None:
    # The interpreter flushes standard output once more at its end, and would complain about the closed pipe.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
