"""`weft resume`: continue a run."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.run import watch
from weft.cli.session import Session


@click.command("resume", cls=options.RunCommand)
@click.argument("run", required=False)
@options.root
@options.running
@options.common
@click.pass_context
def command(ctx: click.Context, run: str | None) -> int:
    """Continue RUN (default: the last run) with the present plan: all that is not ok and was not cancelled on request.

    What still runs from before is taken over; what is done is not done again.
    """
    from weft import assemble
    from weft.cli.output.records import plan_title

    session = Session(ctx)
    row = session.find(session.archive(), run)
    settings = session.run_settings(state=session.state())
    return watch(session, plan_title(row), lambda seen: assemble.resume(row.run, None, settings, seen))
