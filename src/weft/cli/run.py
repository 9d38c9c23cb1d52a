"""`weft run`: read plans, run them, show how it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from weft.cli import options
from weft.cli.session import Session
from weft.collector import keep_what_is_made

if TYPE_CHECKING:
    from weft.ports import Observer, RunEnding


@click.command("run")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would run, and why; run nothing.")
@options.documents
@options.selection
@options.running
@options.common
@click.pass_context
def command(ctx: click.Context, dry_run: bool) -> int:
    """Run the tasks of PLANs, as many at once as dependencies and resources allow.

    Always leaves a run that `weft resume` can continue. Exit codes: 0 all ok, 1 some task failed, was skipped or cancelled,
    2 the command or a plan is wrong, 3 the state cannot be used, 4 another run owns the plan.
    """
    session = Session(ctx)
    if dry_run:
        from weft.cli.plan import preview

        return preview(session)
    documents = session.documents()
    newborn = None
    if ctx.obj["is_alone"] and session.settings["executor"] == "local":
        from weft.assemble.early import early_supervisor

        newborn = early_supervisor()
    from weft import assemble

    keep_what_is_made()
    settings = session.run_settings(recorded=documents.recorded(), newborn=newborn)
    origin = session.read_for_run(documents)
    plan = origin.plan
    title = plan.name or (documents.paths or documents.inputs)[0]
    return watch(session, title, lambda observers: assemble.run(plan, settings, observers, origin))


def watch(session: Session, title: str, start: Callable[[list[Observer]], RunEnding]) -> int:
    """Run under the view that fits; the exit code."""
    from weft import assemble
    from weft.cli.output.recorded import Recorded
    from weft.cli.output.views import open_view
    from weft.store.logs import LogReader

    recorded = Recorded(assemble.archive, LogReader)
    view = open_view(session.output, session.out, recorded, follow=session.follow, title=title)
    try:
        return start([view]).exit_code
    finally:
        view.close()
