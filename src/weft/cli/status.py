"""`weft status`: how a run stands."""

from __future__ import annotations

import time

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("status", cls=options.RunCommand)
@click.argument("run", required=False)
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, run: str | None) -> int:
    """Show how RUN stands, task by task (default: the last run). RUN: an id, its beginning, last, or -2 for the one before."""
    from weft import assemble
    from weft.cli.output.records import status
    from weft.cli.output.texts import status_text

    session = Session(ctx)
    archive = session.archive()
    row = session.find(archive, run)
    rows = archive.tasks(row.run)
    silent: list[str] = []
    if row.state == "running":
        rows = assemble.as_begun(archive, row, rows)
        silent = assemble.silent(archive, row)
    if session.wants_json:
        session.give({**status(row, rows, time.time()), **({"not_answering": silent} if silent else {})})
        return 0
    is_live = row.state == "running" and archive.is_owned(row)
    session.say(status_text(row, rows, session.out, now=time.time(), is_live=is_live, state_folder=session.state()))
    for text in silent:
        session.say(f"{text}\n")
    return 0
