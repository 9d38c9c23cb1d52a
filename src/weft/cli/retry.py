"""`weft retry`: run chosen tasks of a run again, and what follows them."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.run import watch
from weft.cli.session import Session
from weft.errors import UsageError


@click.command("retry", cls=options.RunCommand)
@click.argument("words", metavar="[RUN] [TASK]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All failed tasks and what was skipped behind them.")
@options.root
@options.running
@options.common
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], failed: bool) -> int:
    """Run TASKs of RUN (default: the last run) again, and what follows them.

    Without TASKs: all that failed or was cancelled, and what was skipped behind it; with --failed only what failed.
    """
    from weft import assemble
    from weft.cli.output.records import plan_title

    session = Session(ctx)
    archive = session.archive()
    row, names = session.split_run(archive, words)
    if names and failed:
        raise UsageError("tasks and --failed do not go together", "leave one of them away")
    session.check_tasks(archive, row, names)
    settings = session.run_settings(state=session.state())
    title = plan_title(row)
    return watch(session, title, lambda seen: assemble.retry(row.run, None, names or None, failed, settings, seen))
