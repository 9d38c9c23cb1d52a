"""`weft validate`: every mistake and every warning of plans."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("validate")
@options.documents
@options.common
@click.pass_context
def command(ctx: click.Context) -> int:
    """Check PLANs: every mistake with its file, place and a hint. Nothing is run; exit 2 if there is any mistake."""
    session = Session(ctx)
    loaded = session.load()
    tasks = len(loaded.plan.graph)
    if session.wants_json:
        session.give({"ok": True, "tasks": tasks, "warnings": [problem.as_json() for problem in loaded.warnings]})
        return 0
    warned = len(loaded.warnings)
    extra = f", {warned} {'warning' if warned == 1 else 'warnings'}" if warned else ""
    session.say(f"ok: {tasks} {'task' if tasks == 1 else 'tasks'}{extra}\n")
    return 0
