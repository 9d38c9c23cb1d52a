"""Options that several commands share. Each puts what it was given into the context; `Session` makes values of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from weft.cli.main import change_folder

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]

FLAGS: Final = "weft.flags"  # settings given as flags: name -> (value, flag)
GIVEN: Final = "weft.given"  # everything else: name -> value
FILE: Final = click.Path()  # checks nothing here; shells complete names of files for it


def given(ctx: click.Context, name: str) -> Any:
    """What a shared option was given; None when it was not."""
    return ctx.meta.get(GIVEN, {}).get(name)


def _setting(name: str, value_of: Callable[[Any], Any] = lambda value: value) -> Callable[..., None]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if isinstance(value, str):
            value = run_word(value)
        if value is not None and value is not False:
            ctx.meta.setdefault(FLAGS, {})[name] = (value_of(value), max(parameter.opts, key=len))

    return keep


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if parameter.name is not None:
        ctx.meta.setdefault(GIVEN, {})[parameter.name] = value


def _all(*options: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def setting(flag: str, name: str, help: str, **more: Any) -> Callable[[Any], Any]:
    """An option that is the strongest source of a setting."""
    names = flag.split("/")
    # Each flag has a name of its own: two for one setting (`--fail-fast`, `--keep-going`) would both hear of either.
    long_name = names[-1].removeprefix("--").replace("-", "_")
    value_of = more.pop("value_of", lambda value: value)
    return click.option(
        *names, f"flag_{long_name}", callback=_setting(name, value_of), expose_value=False, help=help, **more
    )


def option(*names: str, **more: Any) -> Callable[[Any], Any]:
    """An option that `given` answers."""
    return click.option(*names, callback=_keep, expose_value=False, **more)


_state = _all(
    setting("--state", "state", "State folder; default: .weft beside the plan.", metavar="DIR"),
    setting("--store", "store", "Where state is kept; this version knows the state folder only.", metavar="URL"),
)

_place = _all(
    setting("--color", "color", "auto, always or never.", metavar="WHEN"),
    click.option(
        "-C", "folder", metavar="DIR", callback=change_folder, is_eager=True, expose_value=False, help="Work in DIR."
    ),
)

common = _all(_state, setting("--output", "output", "text, json or quiet.", metavar="KIND"), _place)

view = _all(
    _state,
    setting(
        "-o/--output",
        "output",
        "table (or text), json or quiet.",
        metavar="KIND",
        value_of=lambda value: "text" if value == "table" else value,
    ),
    _place,
)
"""`common` of the verbs of workflows.md 9."""

root = option("--root", metavar="DIR", help="Folder of the plan, with its .weft; default: this one, or one above.")
"""Of commands that read what is recorded."""

documents = _all(
    click.argument("plans", metavar="[PLAN]...", nargs=-1, type=FILE, callback=_keep, expose_value=False),
    option(
        "--input", "inputs", metavar="FILE", type=FILE, multiple=True, help="A plan, read as JSON whatever its name is."
    ),
    option("--format", "format", metavar="DIALECT", help="Dialect of the plans; default: detected."),
    option("--schema", metavar="FILE", type=FILE, help="A JSON Schema that the documents must also fulfil."),
    option(
        "-o",
        "--option",
        "options",
        metavar="TASK.KEY=VALUE",
        multiple=True,
        help="Value of a task's or, as KEY=VALUE, of a plan's option.",
    ),
    option(
        "--options-file",
        "option_files",
        metavar="FILE",
        type=FILE,
        multiple=True,
        help="Options from JSON, TOML or YAML.",
    ),
    option(
        "--replace",
        "replacements",
        metavar="TASK=FILE",
        multiple=True,
        help="The value in FILE stands for TASK and its product.",
    ),
    option("--root", metavar="DIR", help="Folder that relative paths start from; default: that of the first plan."),
    setting("--strict", "strict", "Warnings are errors.", is_flag=True),
    setting(
        "--no-shell-eval",
        "shell_eval",
        "Refuse values that are the output of a shell command.",
        is_flag=True,
        value_of=lambda value: not value,
    ),
)

selection = _all(
    option("--select", metavar="EXPR", multiple=True, help="Run only these: name, glob, +a, a+, tag:x, a & b, !a."),
    option("--exclude", metavar="EXPR", multiple=True, help="Take these away, last."),
    option("--until", metavar="EXPR", multiple=True, help="These and all they depend on."),
    option("--from", "start_from", metavar="EXPR", multiple=True, help="These and all that follow them."),
)

capacity = _all(
    setting("-j/--jobs", "jobs", "Most attempts at once; also the budget of cores.", metavar="N"),
    setting("--resources", "resources", "Capacities, as cores=4,memory=8G,license=2.", metavar="NAME=AMOUNT,..."),
    setting("--reserve", "reserve", "Kept for the host's own work, as cores=1,memory=2G.", metavar="NAME=AMOUNT,..."),
    setting("--executor", "executor", "local; noop or simulated to try a graph out.", metavar="NAME"),
)

limits = _all(
    capacity,
    setting(
        "--opportunistic",
        "opportunistic",
        "Use only what the host leaves free, and give way when it needs more.",
        is_flag=True,
    ),
    setting("--timeout", "timeout", "Time limit of the whole run.", metavar="DURATION"),
    setting("--wait", "wait", "How long to wait for requirements that do not hold yet.", metavar="DURATION"),
    setting("--fail-fast", "fail_fast", "Stop starting after the first failure.", is_flag=True),
    setting(
        "-k/--keep-going",
        "fail_fast",
        "Go on with what does not depend on a failure (default).",
        is_flag=True,
        value_of=lambda value: not value,
    ),
    setting(
        "--no-cache",
        "cache",
        "Neither take over nor keep results of other runs.",
        is_flag=True,
        value_of=lambda value: not value,
    ),
)

running = _all(
    limits,
    option("--force", is_flag=True, help="Run tasks though they are up to date."),
    option("--follow", is_flag=True, help="Show output while tasks run."),
)


class RunCommand(click.Command):
    """A command that takes RUN, which may be a negative count (`-1` the last one, `-2` the one before)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"{COUNT_MARK}{word}" if _is_count(word) else word for word in args])


COUNT_MARK: Final = "\x00"


def _is_count(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1:].isascii() and word[1:].isdigit()


def run_word(word: str) -> str:
    """A RUN argument as it was written."""
    return word.removeprefix(COUNT_MARK)
