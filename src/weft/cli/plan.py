"""`weft plan`: what a run would do now, and why (the same as `weft run --dry-run`)."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("plan")
@options.documents
@options.selection
@options.running
@options.common
@click.pass_context
def command(ctx: click.Context) -> int:
    """Say for every task of PLANs whether it would run, is up to date, or cannot run, and why. Runs nothing."""
    return preview(Session(ctx))


def preview(session: Session) -> int:
    """Print what would happen; the exit code."""
    from weft import assemble
    from weft.cli.output.preview import preview_text
    from weft.cli.output.records import planned_entry

    documents = session.documents()
    settings = session.run_settings(recorded=documents.recorded())
    planned = assemble.preview(session.load(documents, is_current=True).plan, settings)
    if session.wants_json:
        session.give({"tasks": {name: planned_entry(task) for name, task in planned.items()}})
    else:
        session.say(preview_text(planned, session.out))
    return 0
