"""`weft usage`: what the tasks of a run took, beside what they asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.assemble.consumption import Consumption


@click.command("usage", cls=options.RunCommand)
@click.argument("run", required=False)
@click.option("--suggest", metavar="FILE", help="Write requests that fit what was used to FILE, as YAML; - is stdout.")
@click.option(
    "--safety",
    type=click.FloatRange(min=1.0),
    default=1.2,
    show_default=True,
    metavar="FACTOR",
    help="How much more than was used is suggested.",
)
@options.root
@options.common
@click.pass_context
def command(ctx: click.Context, run: str | None, suggest: str | None, safety: float) -> int:
    """Show what the tasks of RUN took (default: the last run): wall time, CPU time, peak memory, and what they were given."""
    from weft.assemble.consumption import consumptions
    from weft.assemble.workflow_identity import template_ids
    from weft.cli.output.progress import kind_of_task
    from weft.cli.output.records import usage
    from weft.cli.output.texts import usage_text
    from weft.formats.snapshot import restore

    session = Session(ctx)
    archive = session.archive()
    row = session.find(archive, run)
    plan = restore(archive.snapshot(row.run))
    tasks = plan.graph.tasks
    kinds = {task.name: kind_of_task(task) for task in tasks}
    usual = str(row.settings.get("executor") or "local")
    clusters = {kinds[task.name]: task.policy.executor or usual for task in reversed(tasks)}
    rows, attempts = archive.tasks(row.run), archive.attempts(row.run)
    found = consumptions(rows, attempts, kinds, clusters)
    if suggest is not None:
        templates = {name for task in tasks if (name := task.policy.template) is not None}
        text = _suggestions({name: each for name, each in found.items() if name in templates}, safety)
        if suggest == "-":
            session.say(text)
            return 0
        from weft.cli.compile import replace_file

        replace_file(suggest, text.encode("utf-8"))
        session.note(f"written to {suggest}")
        if not session.wants_json:
            return 0
    record = usage(row, rows, attempts, found, safety, template_ids(plan))
    if session.wants_json:
        session.give(record)
    else:
        session.say(usage_text(record, session.out))
    return 0


def _suggestions(found: dict[str, Consumption], safety: float) -> str:
    """Raises UsageError when there is nothing to suggest."""
    from weft.assemble.consumption import suggestions_text

    measured = {name: {each.cluster: each.suggested(safety)} for name, each in found.items() if each.seconds}
    if not measured:
        what = "none of its templates has a task that ran to a good end" if found else "its tasks have no templates"
        raise UsageError(f"there is nothing to suggest for this run: {what}", "weft usage shows what was measured")
    return suggestions_text(measured)
