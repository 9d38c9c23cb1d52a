"""`weft show`: one task of a run."""

from __future__ import annotations

from collections.abc import Sequence

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError
from weft.ports import AttemptRow, TaskRow
from weft.spec.plan import Plan


@click.command("show", cls=options.RunCommand)
@click.argument("words", metavar="[RUN] TASK", nargs=-1)
@click.option("--product", is_flag=True, help="Write the task's product: JSON, or the bytes themselves.")
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], product: bool) -> int:
    """Show what TASK of RUN (default: the last run) is, how it ended, and each of its attempts.

    TASK[ITEM] shows those of one instance of a mapped task.
    """
    from weft.cli.output.records import show
    from weft.cli.output.texts import show_text
    from weft.formats.snapshot import restore

    session = Session(ctx)
    archive = session.archive()
    run, name = session.find_run_and_task(archive, words)
    number, instance = session.find_instance(archive, run, name)
    row = next(row for row in archive.tasks(run.run) if row.task == number)
    attempts = [
        attempt
        for attempt in archive.attempts(run.run, row.task)
        if instance is None or attempt.key.instance == instance
    ]
    plan = restore(archive.snapshot(run.run))
    task = plan.graph.tasks[row.task]
    if product:
        _write_product(session, run.run, plan, row, instance, attempts)
        return 0
    record = show(run, row, task, attempts, session.items_of(archive, run, row.task) if row.instances else ())
    if session.wants_json:
        session.give(record)
    else:
        session.say(show_text(record, session.out))
    return 0


def _write_product(
    session: Session, run: str, plan: Plan, row: TaskRow, instance: int | None, attempts: Sequence[AttemptRow]
) -> None:
    """The product as the last good attempt made it, else as what stood in for it. Raises UsageError when there is none."""
    from weft import assemble
    from weft.cli.output.records import region_of
    from weft.store.logs import LogReader

    task = plan.graph.tasks[row.task]
    source = task.policy.product.source if task.policy.product is not None else None
    made = next((attempt for attempt in reversed(attempts) if attempt.state == "ok"), None)
    if source is None or (made is None and row.state != "ok"):
        why = "declares none" if source is None else f"did not end well in run {run[:12]}"
        raise UsageError(f"task {task.name!r} has no product: it {why}", "weft logs shows what it printed")
    if source == "outputs":
        session.give(list(task.outputs))
    elif made is not None and (task.policy.foreach is None or instance is not None):
        if made.product is not None:
            session.write(made.product)
        else:  # as it lies in the log: output may be no text
            session.write(LogReader(session.state(), run).read(region_of(made, "stdout")).removesuffix(b"\n"))
    else:
        try:
            value = assemble.read_product(session.state(), run, plan, task.name)
        except LookupError as error:
            raise UsageError(str(error.args[0]), "weft logs shows what it printed") from error
        if instance is not None:
            value = value[instance]
        if source == "stdout" and isinstance(value, str):
            session.write(value)
        else:
            session.give(value)
