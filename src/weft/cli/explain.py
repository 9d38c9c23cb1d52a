"""`weft explain`: why a task of a run ran, was cached, waits or failed."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("explain", cls=options.RunCommand)
@click.argument("words", metavar="[RUN] TASK", nargs=-1)
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Say why TASK ran, was cached, waits, failed or was skipped in RUN (default: the last run), and what changed."""
    from weft import assemble
    from weft.cli.output.records import explanation
    from weft.cli.output.texts import explain_text

    session = Session(ctx)
    archive = session.archive()
    run, name = session.find_run_and_task(archive, words)
    number, instance = session.find_instance(archive, run, name)
    if instance is not None:  # what holds for an instance holds for its task
        name = next(row.name for row in archive.tasks(run.run) if row.task == number)
    record = explanation(assemble.explain(session.state(), run.run, name))
    if session.wants_json:
        session.give(record)
    else:
        session.say(explain_text(record, session.out))
    return 0
