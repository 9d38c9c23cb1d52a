"""`weft usage`: what the tasks of a run took."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("usage", cls=options.RunCommand)
@click.argument("run", required=False)
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, run: str | None) -> int:
    """Show what the tasks of RUN took (default: the last run): wall time, CPU time, peak memory, and what they were given."""
    from weft.cli.output.progress import kind_of_task
    from weft.cli.output.records import usage
    from weft.cli.output.texts import usage_text
    from weft.formats.snapshot import restore

    session = Session(ctx)
    archive = session.archive()
    row = session.find(archive, run)
    tasks = restore(archive.snapshot(row.run)).graph.tasks
    templates = {task.name: task.policy.template or kind_of_task(task) for task in tasks}
    record = usage(row, archive.tasks(row.run), archive.attempts(row.run), templates)
    if session.wants_json:
        session.give(record)
    else:
        session.say(usage_text(record, session.out))
    return 0
