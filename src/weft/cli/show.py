"""`weft show`: one task of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import StoreError, UsageError
from weft.ports import AttemptRow, TaskRow
from weft.scheduling.keys import WHOLE
from weft.spec.plan import Plan
from weft.spec.secrets import is_secret_name
from weft.spec.tasks import Task

if TYPE_CHECKING:
    from weft.assemble.products import RunProducts


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
    from weft.api.task_attributes import added_attributes
    from weft.cli.output.records import COVERED, show
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
    items = session.items_of(archive, run, row.task) if row.instances else ()
    added = added_attributes(archive, run.run, lambda: plan).get(row.task, {})
    record = show(run, row, task, attempts, items, added)
    if session.wants_json:
        session.give(record)
    else:
        values = {name: COVERED if is_secret_name(name) else value for name, value in plan.values.items()}
        session.say(show_text(record, session.out, values))
    return 0


def _write_product(
    session: Session, run: str, plan: Plan, row: TaskRow, instance: int | None, attempts: Sequence[AttemptRow]
) -> None:
    """The product as the last good attempt made it, else as what stood in for it. Raises UsageError (none), StoreError (gone)."""
    from weft import assemble
    from weft.cli.output.records import region_of
    from weft.store.logs import LogGoneError, LogReader

    task = plan.graph.tasks[row.task]
    source = task.policy.product.source if task.policy.product is not None else None
    made = next((attempt for attempt in reversed(attempts) if attempt.state == "ok"), None)
    if source is None or (made is None and row.state != "ok"):
        why = "declares none" if source is None else f"did not end well in run {run[:12]}"
        raise UsageError(f"task {task.name!r} has no product: it {why}", "weft logs shows what it printed")
    if source == "outputs":
        place = WHOLE if instance is None else instance
        session.give(assemble.RunProducts(session.state(), run, plan).outputs(row.task, place))
    elif source == "return":
        _write_value(session, run, plan, task, row.task, instance)
    elif made is not None and made.product is None and (task.policy.foreach is None or instance is not None):
        # As it lies in the log: output may be no text.
        try:
            data = LogReader(session.state(), run).whole(region_of(made, "stdout"))
        except LogGoneError as error:
            raise StoreError(
                f"the product of {task.name!r} cannot be read: {error}", hint="run it again with --force"
            ) from error
        session.write(data.removesuffix(b"\n"))
    else:
        recorded = assemble.RunProducts(session.state(), run, plan)
        try:
            texts = _texts(recorded, task, row.task, instance)
        except LookupError as error:
            raise UsageError(str(error.args[0]), "weft logs shows what it printed") from error
        if task.policy.foreach is None or instance is not None:
            session.write(texts[0])
        else:
            session.write((json.dumps(texts) if source == "stdout" else f"[{', '.join(texts)}]") + "\n")


def _texts(recorded: RunProducts, task: Task, index: int, instance: int | None) -> list[str]:
    """The texts of a task's product; of a mapped task those of all instances, or of one."""
    if task.policy.foreach is None:
        return [recorded.text(index)]
    places = range(len(recorded.instances(index))) if instance is None else (instance,)
    return [recorded.text(index, place) for place in places]


def _write_value(session: Session, run: str, plan: Plan, task: Task, index: int, instance: int | None) -> None:
    """What a function handed on: JSON for plain data, else the bytes as they are kept. Raises UsageError."""
    from weft import assemble
    from weft.values import encoding
    from weft.values.encoding import DamagedError, MissingError

    recorded = assemble.RunProducts(session.state(), run, plan)
    try:
        texts = _texts(recorded, task, index, instance)
        references = [encoding.parse(text) for text in texts]
        is_list = task.policy.foreach is not None and instance is None
        if is_list or references[0] is None or references[0].format in ("json", "items"):
            plain = [_plain(recorded, task, text) for text in texts]
            session.write((f"[{', '.join(plain)}]" if is_list else plain[0]) + "\n")
            return
        data = bytes(encoding.data_of(texts[0], recorded.folder))
    except (MissingError, DamagedError) as error:
        raise UsageError(f"the product of {task.name!r} cannot be read: {error}{encoding.remedy(error)}") from error
    except LookupError as error:
        raise UsageError(str(error.args[0]), "weft logs shows what it printed") from error
    form, size = references[0].format, len(data)
    if form != "bytes" and session.out.is_terminal:
        raise _no_text(task, form, size)
    session.write(data)


def _plain(recorded: RunProducts, task: Task, text: str) -> str:
    """The JSON of a text that is plain data. Raises UsageError for any other."""
    from weft.values import encoding
    from weft.values.items import ItemReader

    reference = encoding.parse(text)
    if reference is None or reference.format == "json":
        return encoding.json_of(text, recorded.folder)
    if reference.format == "items":
        with ItemReader(encoding.path_of(recorded.folder, reference), recorded.folder, reference) as items:
            return f"[{', '.join(_plain(recorded, task, items.text(place)) for place in range(items.count))}]"
    raise _no_text(task, reference.format, reference.size)


def _no_text(task: Task, form: str, size: int) -> UsageError:
    """What is said instead of writing bytes that are no text."""
    from weft.units import show_bytes

    of_type = task.policy.product.type if task.policy.product is not None else "any"
    typed = "" if of_type == "any" else f", of type {of_type}"
    kind = {"pickle": "a pickled Python value", "numpy": "an array (.npy)", "arrow": "a table (Arrow)"}
    what = kind.get(form, form)
    return UsageError(
        f"the product of {task.name!r} is no text: {what}, {show_bytes(size)}{typed}",
        f"in Python it is run[{task.name!r}].product; the bytes go to a file with > FILE",
    )
