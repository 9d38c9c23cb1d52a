"""`weft validate`: every mistake and every warning of plans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from weft.cli import options
from weft.cli.early_variables import CODE, early_variables
from weft.cli.session import Session
from weft.errors import cut

if TYPE_CHECKING:
    from weft.formats.link import Advice
    from weft.spec.actions import Action
    from weft.spec.plan import Plan


@click.command("validate")
@options.documents
@options.capacity
@options.common
@click.pass_context
def command(ctx: click.Context) -> int:
    """Check PLANs: every mistake with its file, place and a hint; exit 2 if there is any. Nothing is run.

    What is not there now (required files, programs, resources) is a warning: it may be there when the plan runs.
    """
    from weft.cli.output.report import numbered

    session = Session(ctx)
    loaded = session.load(advise=lambda plan: _advice(session, plan), is_preview=True)
    tasks = len(loaded.plan.graph)
    if session.wants_json:
        session.give({"ok": True, "tasks": tasks, "warnings": [problem.as_json() for problem in loaded.warnings]})
        return 0
    warned = len(loaded.warnings)
    extra = f", {warned} {'warning' if warned == 1 else 'warnings'}" if warned else ""
    session.say(f"ok: {numbered(tasks)}{extra}\n")
    return 0


def _advice(session: Session, plan: Plan) -> Iterator[Advice]:
    """What a run would refuse, cut, or find missing if it started now."""
    from weft import assemble
    from weft.assemble.questions import unsatisfiable
    from weft.assemble.queue_cuts import placed_cuts
    from weft.assemble.run_settings import check_settings, refusals, with_executors
    from weft.files.outlook import outlook
    from weft.formats.link import Advice

    settings = session.run_settings()
    plan = with_executors(plan, settings)
    check_settings(plan, settings)
    tasks = plan.graph.tasks
    for index, key, refused in refusals(plan, settings, tasks):
        yield Advice(index, (key,), refused.code, refused.message, refused.hint, is_error=True)
    for index, text in placed_cuts(tasks, settings.queues):
        hint = "ask for less, name another queue, or see [queues] of weft.toml"
        yield Advice(index, ("queue",), "queue", f"{text}; it is cut to that", hint)
    if settings.executor in ("noop", "simulated"):
        return
    for lack in outlook(plan, assemble.state_folder(plan.root, settings)):
        message = f"task {cut(tasks[lack.task].name)!r}: {lack.text}"
        yield Advice(lack.task, lack.path, lack.code, message, lack.hint)
    for index, task in enumerate(tasks):
        for word, secret in _secrets_in(task.action):
            message = f"task {cut(task.name)!r} puts {cut(secret)!r} into its arguments, which everybody here can read"
            hint = "hand it over as a variable of the environment"
            yield Advice(index, ("command", word), "secret", message, hint)
    for early in early_variables(plan):
        yield Advice(early.task, ("environment",), CODE, early.message, early.hint)
    for index, name, text in unsatisfiable(plan, range(len(tasks)), settings):
        message = f"task {cut(tasks[index].name)!r} {text}"
        yield Advice(
            index, ("resources", name), "unsatisfiable", message, f"it will be skipped; --resources {name}=N gives it"
        )


def _secrets_in(action: Action) -> Iterator[tuple[int, str]]:
    """(word, name) of each parameter or variable in a command's words that is named like a secret."""
    from weft.environments.variables import references
    from weft.spec.actions import Command
    from weft.spec.secrets import is_secret_name
    from weft.spec.slots import slots_in

    for index, word in enumerate(action.argv if isinstance(action, Command) else ()):
        for name in slots_in(word) if isinstance(word, str) else references(word.text):
            if is_secret_name(name):
                yield index, name
