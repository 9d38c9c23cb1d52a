"""`weft cancel`: give up a run or some of its tasks."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("cancel", cls=options.RunCommand)
@click.argument("words", metavar="[RUN] [TASK]...", nargs=-1)
@click.option("--force", is_flag=True, help="Also tasks that may not be interrupted.")
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], force: bool) -> int:
    """Give up RUN (default: the last run), or only TASKs of it. `weft retry` alone takes them up again."""
    from weft import assemble
    from weft.cli.output.report import numbered

    session = Session(ctx)
    archive = session.archive()
    row, names = session.split_run(archive, words)
    session.check_tasks(archive, row, names)
    answer = assemble.cancel(session.state(), row.run, names or None, force)
    tasks = list(answer.tasks) if answer.tasks is not None else None
    if session.wants_json:
        session.give({"run": answer.run, "tasks": tasks, "live": answer.live, "done": list(answer.done)})
        return 0
    run = f"run {answer.run[:12]}"
    if tasks == []:
        named = ", ".join(answer.done) or "all of it"
        session.say(f"nothing to cancel in {run}: {named} has ended\n")
        return 0
    number = None if tasks is None else numbered(len(tasks))
    if answer.live:
        session.say(
            f"asked the engine of {run} to give up {number or 'all of it'}; weft status shows when it is done\n"
        )
    else:
        session.say(f"cancelled {f'{number} of {run}' if number else run}; weft retry takes up what was not done\n")
    return 0
