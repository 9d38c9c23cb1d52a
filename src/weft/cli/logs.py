"""`weft logs`: what a task wrote."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import StoreError, UsageError, cut
from weft.ports import AttemptRow, TaskRow

LOOK_SECONDS = 0.2
SHOWN_DETAIL = 1000  # characters


@click.command("logs", cls=options.RunCommand)
@click.argument("words", metavar="[RUN] TASK", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@click.option("--stdout", "only", flag_value="stdout", help="Only what it wrote to standard output.")
@click.option("--stderr", "only", flag_value="stderr", help="Only what it wrote to standard error.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Attempt N instead of the last one.")
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], follow: bool, only: str | None, attempt: int | None) -> int:
    """Print what TASK of RUN (default: the last run) wrote: its standard output, then its standard error.

    TASK[ITEM] names an instance of a mapped task. In a pipe the bytes come as they were
    written, but for values of variables named like a token, secret, password or key, which are covered.
    """
    from weft.assemble.withheld import covering
    from weft.cli.output.log_text import LogPrinter, LogShortError
    from weft.cli.output.masking import MaskedLogs, secret_values
    from weft.formats.snapshot import restore
    from weft.store.logs import LogGoneError, LogReader

    session = Session(ctx)
    archive = session.archive()
    run, name = session.find_run_and_task(archive, words)
    task, instance = session.find_instance(archive, run, name)
    streams = (only,) if only else ("stdout", "stderr")
    known = covering(run, restore(archive.snapshot(run.run)))
    if known.unknown:
        names = ", ".join(dict.fromkeys(name for name, _ in known.unknown))
        session.note(f"covered only where it stands by itself, because no document has the value any more: {names}")
    secrets = secret_values(os.environ, known.environments)
    logs = MaskedLogs(LogReader(session.state(), run.run), secrets, known.unknown)
    printer = LogPrinter(logs, session.out.is_terminal)

    def look() -> AttemptRow | None:
        return _choose(archive.attempts(run.run, task), instance, attempt)

    row = look()
    while row is None and follow and not _has_ended(session.task_state(archive, run, task)):
        time.sleep(LOOK_SECONDS)  # no bell reaches a reader of the store: other processes write it
        row = look()
    if row is None:
        raise _no_attempt(name, attempt, next(found for found in archive.tasks(run.run) if found.task == task))
    while follow and row.state in ("queued", "running"):
        printer.catch_up(row, streams)
        time.sleep(LOOK_SECONDS)
        row = look() or row
    try:
        if session.wants_json:
            session.give({"run": run.run, "task": name, "attempt": row.key.attempt, **printer.texts(row, streams)})
        else:
            printer.finish(row, streams)
    except (LogGoneError, LogShortError) as error:
        hint = "it was removed or changed after the task wrote it; weft show tells how the task ended"
        raise StoreError(f"the output of task {name!r} cannot be read: {error}", hint=hint) from error
    sys.stdout.flush()
    if _never_began(row):
        session.note(_why_nothing(name, row))
    return 0


def _choose(rows: Sequence[AttemptRow], instance: int | None, attempt: int | None) -> AttemptRow | None:
    wanted = [
        row
        for row in rows
        if (instance is None or row.key.instance == instance) and (attempt is None or row.key.attempt == attempt)
    ]
    if instance is None and len({row.key.instance for row in wanted}) > 1:
        raise UsageError("the task has several instances", "name one as TASK[ITEM]; weft show TASK lists them")
    return wanted[-1] if wanted else None


def _has_ended(state: str) -> bool:
    return state not in ("pending", "running")


def _no_attempt(name: str, attempt: int | None, row: TaskRow) -> UsageError:
    if attempt is not None:
        return UsageError(f"task {name!r} has no attempt {attempt}", "weft show lists its attempts", "ref.attempt")
    hint = "weft logs -f waits for it" if not _has_ended(row.state) else "weft explain says why"
    because = "".join((f" ({row.cause})" if row.cause else "", f": {cut(row.detail)}" if row.detail else ""))
    return UsageError(f"task {name!r} was not started: it is {row.state}{because}", hint, "ref.attempt")


def _never_began(row: AttemptRow) -> bool:
    """Whether the attempt ended before there was a process, or a call, that could have written anything."""
    return row.started is None and row.state not in ("queued", "running") and not (row.stdout.file or row.stderr.file)


def _why_nothing(name: str, row: AttemptRow) -> str:
    because = "".join(f": {cut(text, SHOWN_DETAIL)}" for text in (row.cause, row.detail) if text)
    return f"attempt {row.key.attempt} of task {name!r} never began, so it wrote nothing{because}"
