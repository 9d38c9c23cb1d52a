"""`weft task`: single tasks of recorded workflows (workflows.md 9)."""

from __future__ import annotations

from collections.abc import Sequence

import click

from weft.cli import options
from weft.cli.output.workflow_texts import counted
from weft.cli.session import Session
from weft.errors import UsageError

TASKS = click.option(
    "-t",
    "--task",
    "words",
    metavar="ID|NAME",
    multiple=True,
    required=True,
    help="Tasks: numbers, or names that are unique.",
)
OF = click.option("-w", "--workflow", metavar="ID|NAME", help="The workflow that names of tasks are looked for in.")


@click.group("task")
def command() -> None:
    """Show and change single tasks of recorded workflows: by their number, or their name where it is unique."""


@command.command("status", short_help="Show how tasks stand.")
@TASKS
@OF
@click.option("-s", "--status", metavar="STATUS", multiple=True, help="Only these: PENDING, DONE, FATAL, ...")
@options.root
@options.view
@click.pass_context
def status(ctx: click.Context, words: Sequence[str], workflow: str | None, status: Sequence[str]) -> int:
    """Show how tasks stand: label, cause, retries."""
    from weft.api.workflow_views import read_labels, task_entry, task_of
    from weft.cli.output.workflow_texts import tasks_text

    session = Session(ctx)
    archive = session.archive()
    wanted = read_labels(status)
    entries = []
    for word in words:
        view, place = task_of(archive, word, workflow)
        entry = task_entry(view, {row.task: row for row in view.tasks}[place])
        if not wanted or entry["status"] in wanted or entry["letter"] in wanted:
            entries.append(entry)
    return session.answer({"tasks": entries}, tasks_text(entries, session.out))


@command.command("dependencies", short_help="Show what a task waits for, and what waits for it.")
@TASKS
@OF
@options.root
@options.view
@click.pass_context
def dependencies(ctx: click.Context, words: Sequence[str], workflow: str | None) -> int:
    """Show what tasks wait for directly, and what waits for them."""
    from weft.api.workflow_views import dependency_entries, task_of
    from weft.cli.output.workflow_texts import dependencies_text

    session = Session(ctx)
    archive = session.archive()
    found = [dependency_entries(*task_of(archive, word, workflow)) for word in words]
    text = "\n".join(dependencies_text(entry, session.out) for entry in found)
    return session.answer({"tasks": found}, text)


@command.command("update", short_help="Mark tasks as done, or let them run again.")
@TASKS
@OF
@click.option(
    "-s",
    "--status",
    "letter",
    type=click.Choice(["D", "G"], case_sensitive=False),
    metavar="D|G",
    required=True,
    help="D: done. G: anew.",
)
@click.option("-r", "--recursive", is_flag=True, help="With D: everything that they wait for, too.")
@click.option("-f", "--force", is_flag=True, help="End what runs of the workflow first.")
@options.root
@options.view
@click.pass_context
def update(
    ctx: click.Context, words: Sequence[str], workflow: str | None, letter: str, recursive: bool, force: bool
) -> int:
    """D: tasks count as done, though nothing runs. G: they, and all that follows them, run again with the next resume."""
    from weft.api.workflow_views import task_of
    from weft.assemble import workflow_changes

    session = Session(ctx)
    archive = session.archive()
    found = [task_of(archive, word, workflow) for word in words]
    numbers = {view.number for view, _ in found}
    if len(numbers) > 1:
        raise UsageError("these tasks are of several workflows", "change one workflow at a time")
    view, places = found[0][0], {place for _, place in found}
    graph = view.plan.graph
    state = session.state()
    if letter.upper() == "D":
        if recursive:
            places |= set(graph.ancestors_indexes(places))
        count = workflow_changes.mark_done(state, view.row, places, by_force=force)
        text = f"workflow {view.number}: {counted(count)} marked as done\n"
    else:
        if recursive:
            raise UsageError("-r goes with -s D: what follows a task that runs again always does so, too")
        places |= set(graph.descendants_indexes(places))
        count = workflow_changes.reset(state, view.row, places, by_force=force)
        text = f"workflow {view.number}: {counted(count)} to run again\n"
    return session.answer({"workflow_id": view.number, "status": letter.upper(), "changed": count}, text)
