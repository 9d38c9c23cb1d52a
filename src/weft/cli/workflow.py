"""`weft workflow`: how recorded workflows stand, and changes of them (workflows.md 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from weft.cli import options
from weft.cli.output.workflow_texts import counted
from weft.cli.session import Session
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.api.workflow_views import WorkflowView
    from weft.store.archive import SqliteArchive

WORKFLOW = click.option("-w", "--workflow", metavar="ID|NAME", help="The workflow: number or name.", required=True)
WORKFLOWS = click.option("-w", "--workflow", "chosen", metavar="ID|NAME", multiple=True, help="Only these workflows.")
LIMIT = click.option("-l", "--limit", metavar="N", type=click.IntRange(min=0), help="At most N rows.")
STRATEGY: Any = {"type": click.Choice(["max", "avg", "median", "min"]), "default": "max", "show_default": True}
USER = click.option(
    "-u", "--user", metavar="USER", multiple=True, help="Only what lies in a state folder of these users."
)
STATUS = click.option("-s", "--status", metavar="STATUS", multiple=True, help="Only these: PENDING, DONE, FATAL, ...")


@click.group("workflow")
def command() -> None:
    """Show and change recorded workflows: by their number, or their name where it is unique."""


@command.command("status", short_help="Show how workflows stand: tasks by label, and retries.")
@WORKFLOWS
@USER
@LIMIT
@click.option("-s", "--status", metavar="LETTER", multiple=True, help="Only workflows with one of these letters.")
@options.root
@options.view
@click.pass_context
def status(
    ctx: click.Context, chosen: Sequence[str], user: Sequence[str], limit: int | None, status: Sequence[str]
) -> int:
    """Show how workflows stand, newest first: tasks by label, and how many attempts were retries."""
    from weft.api.workflow_views import owner_of, read_letters, workflow_entry
    from weft.cli.output.workflow_texts import status_text

    session = Session(ctx)
    archive = session.archive()
    views = _views(archive, chosen)
    if user and owner_of(archive.folder) not in user:
        views = []
    entries = [workflow_entry(view) for view in views]
    letters = read_letters(status)
    entries = [entry for entry in entries if not letters or entry["status"] in letters][:limit]
    return session.answer({"workflows": entries}, status_text(entries, session.out))


@command.command("tasks", short_help="List tasks of a workflow, by label.")
@WORKFLOW
@USER
@STATUS
@LIMIT
@options.root
@options.view
@click.pass_context
def tasks(ctx: click.Context, workflow: str, user: Sequence[str], status: Sequence[str], limit: int | None) -> int:
    """List tasks of a workflow: number, name, label, retries."""
    from weft.api.workflow_views import owner_of, task_entries, workflow_of
    from weft.cli.output.workflow_texts import tasks_text

    session = Session(ctx)
    view = workflow_of(session.archive(), workflow)
    is_theirs = not user or owner_of(view.archive.folder) in user
    entries = task_entries(view, status, limit if is_theirs else 0)
    return session.answer({"workflow_id": view.number, "tasks": entries}, tasks_text(entries, session.out))


@command.command("resume", short_help="Continue a workflow, without its script.")
@WORKFLOW
@click.option("-c", "--cluster", "cluster", metavar="NAME", help="Where its tasks run from now on.")
@click.option("--reset-running", is_flag=True, help="End what still runs of it; without, that is taken over.")
@click.option(
    "-t",
    "--resume-timeout",
    default="5min",
    show_default=True,
    metavar="DURATION",
    help="How long a live owner may take to let go.",
)
@click.option("--execution-timeout", metavar="DURATION", help="Time limit of the whole workflow.")
@click.option(
    "--keep-resources", is_flag=True, help="Start from declared amounts, not from those that scaling had raised."
)
@click.option("--force-cleanup", is_flag=True, help="End first what still runs of it, whoever started it.")
@options.root
@options.running
@options.view
@click.pass_context
def resume(
    ctx: click.Context,
    workflow: str,
    cluster: str | None,
    reset_running: bool,
    resume_timeout: str,
    execution_timeout: str | None,
    keep_resources: bool,
    force_cleanup: bool,
) -> int:
    """Continue a workflow as it is recorded: whatever is not done. Exit code 0 only when all of it is done.

    Functions that its script gave (for resources and scales) are not there: amounts stay as they are.
    """
    from dataclasses import replace

    from weft.api.workflow_views import workflow_of
    from weft.assemble import workflow_changes
    from weft.assemble.workflows import Wish
    from weft.cli.output.records import plan_title
    from weft.cli.run import watch

    session = Session(ctx)
    view = workflow_of(session.archive(), workflow)
    settings = session.run_settings(state=session.state())
    if execution_timeout is not None:
        settings = replace(settings, timeout=_seconds("--execution-timeout", execution_timeout))
    if cluster is not None:
        settings = replace(settings, executor=_executor(session, cluster))
    wish = Wish(
        resume=True,
        ends_live=reset_running or force_cleanup,
        patience=_seconds("--resume-timeout", resume_timeout),
        keeps_raised=not keep_resources,
    )
    state, row = session.state(), view.row
    return watch(
        session, plan_title(row), lambda seen: workflow_changes.resume_or_tell(state, row, settings, wish, seen)
    )


@command.command("reset", short_help="Let all tasks run again.")
@WORKFLOW
@click.option("-p", "--partial", is_flag=True, help="Tasks that are done stay done.")
@click.option("-f", "--force", is_flag=True, help="End what runs of the workflow first.")
@options.root
@options.view
@click.pass_context
def reset(ctx: click.Context, workflow: str, partial: bool, force: bool) -> int:
    """Put all tasks of a workflow back to the start; `weft workflow resume`, or its script, runs them."""
    from weft.api.workflow_views import workflow_of
    from weft.assemble import workflow_changes

    session = Session(ctx)
    view = workflow_of(session.archive(), workflow)
    if partial:
        count = workflow_changes.reset_unfinished(session.state(), view.row, by_force=force)
    else:
        count = workflow_changes.reset(session.state(), view.row, None, by_force=force)
    text = f"workflow {view.number}: {counted(count)} to run again\n"
    return session.answer({"workflow_id": view.number, "reset": count}, text)


@command.command("concurrency", short_help="Change how many tasks may be live.")
@WORKFLOW
@click.option(
    "-m",
    "--max-tasks",
    "count",
    metavar="N",
    type=click.IntRange(0, 2**31 - 1),
    required=True,
    help="So many at a time; 0 pauses.",
)
@click.option("--template", metavar="NAME|ID", help="Of this task template only.")
@options.root
@options.view
@click.pass_context
def concurrency(ctx: click.Context, workflow: str, count: int, template: str | None) -> int:
    """Change how many tasks of a workflow, or of one of its templates, may be live; also while it runs. Nothing is ended."""
    from weft.api.workflow_views import template_of, workflow_of
    from weft.assemble import workflow_changes

    session = Session(ctx)
    view = workflow_of(session.archive(), workflow)
    if template is not None:
        template = template_of([view], template).among(view.template_ids)[0]
    is_live = workflow_changes.set_limit(session.state(), view.row, count, template)
    whose = f"template {template!r} of workflow {view.number}" if template is not None else f"workflow {view.number}"
    text = f"at most {counted(count)} of {whose} may be live" + (", from now on\n" if is_live else "\n")
    record = {"workflow_id": view.number, "template": template, "max_concurrently_running": count, "live": is_live}
    return session.answer(record, text)


@command.command("logs", short_help="Say where the output of tasks lies.")
@WORKFLOW
@click.option("-a", "--array", metavar="NAME|ID", help="Only tasks of this template.")
@click.option("-j", "--job", metavar="TEXT", help="Only tasks with this in their name.")
@LIMIT
@options.root
@options.view
@click.pass_context
def logs(ctx: click.Context, workflow: str, array: str | None, job: str | None, limit: int | None) -> int:
    """Say in which files the output of each task's latest attempt lies, and where in them; `weft logs` prints it."""
    from weft.api.workflow_views import log_entries, workflow_of
    from weft.cli.output.workflow_texts import logs_text

    session = Session(ctx)
    view = workflow_of(session.archive(), workflow)
    entries = list(log_entries(view, array, job, limit))
    return session.answer({"workflow_id": view.number, "logs": entries}, logs_text(entries, session.out))


# --- resources -----------------------------------------------------------------------------------------------------------


@command.group("resources")
def resources() -> None:
    """What tasks of a template used, and requests that fit that."""


@resources.command("usage", short_help="Show what tasks of a template used.")
@click.option("-t", "--template", metavar="NAME|ID", required=True, help="The task template.")
@WORKFLOWS
@click.option("-a", "--node-args", metavar="JSON", help='Only tasks with these node arguments: {"place": ["north"]}.')
@click.option(
    "--ci",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="With a confidence interval of this share, as 0.95.",
)
@options.root
@options.view
@click.pass_context
def usage(ctx: click.Context, template: str, chosen: Sequence[str], node_args: str | None, ci: float | None) -> int:
    """Show memory (bytes) and time (seconds) of the tasks of a template that are done, over all recorded workflows."""
    from weft.api.template_usage import usage_of_recorded
    from weft.cli.output.workflow_texts import usage_text

    session = Session(ctx)
    found = usage_of_recorded(_views(session.archive(), chosen), template, _node_args(node_args), ci)
    record = {"template": found.template, "ids": found.ids, **found.figures}
    return session.answer(record, usage_text(record, session.out))


@resources.command("yaml", short_help="Write requests that fit what was used.")
@WORKFLOWS
@click.option("--mem-strategy", help="Memory by this figure of what was used.", **STRATEGY)
@click.option("--core-strategy", help="Cores by this figure of what was used.", **STRATEGY)
@click.option("--runtime-strategy", help="Time by this figure of what was used.", **STRATEGY)
@click.option(
    "-c",
    "--cluster",
    "clusters",
    metavar="NAME",
    multiple=True,
    help="Clusters to write them for; default: those used.",
)
@click.option("-f", "--file", "path", metavar="FILE", help="Where to; with --stdout as well.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print them.")
@options.root
@options.view
@click.pass_context
def yaml(
    ctx: click.Context,
    chosen: Sequence[str],
    mem_strategy: str,
    core_strategy: str,
    runtime_strategy: str,
    clusters: Sequence[str],
    path: str | None,
    to_stdout: bool,
) -> int:
    """Write the resources that tasks of each template were measured to need, never below what was used, as YAML."""
    from weft.api.template_usage import measured_resources
    from weft.assemble.consumption import suggestions_document, suggestions_text
    from weft.cli.compile import replace_file

    session = Session(ctx)
    strategies = {"memory": mem_strategy, "cores": core_strategy, "runtime": runtime_strategy}
    views = _views(session.archive(), chosen)
    measured = measured_resources(views, strategies, clusters)
    if not measured:
        raise UsageError(
            "no task of a recorded workflow has ended well, so nothing was measured", "weft workflow status"
        )
    if session.wants_json and path is None:
        session.give(suggestions_document(measured))
        return 0
    text = suggestions_text(measured)
    if path is not None:
        replace_file(path, text.encode("utf-8"))
        session.note(f"written to {path}")
    if to_stdout or path is None:
        session.write(text)
    return 0


# --- what the verbs share ------------------------------------------------------------------------------------------------


def _views(archive: SqliteArchive, chosen: Sequence[str]) -> list[WorkflowView]:
    from weft.api.workflow_views import workflow_of, workflows

    return [workflow_of(archive, word) for word in chosen] if chosen else workflows(archive)


def _seconds(flag: str, text: str) -> float:
    from weft.units import UnitError, parse_time

    if text.strip() == "0":
        return 0.0
    try:
        return parse_time(text)
    except UnitError as error:
        raise UsageError(f"{flag}: {error}") from error


def _executor(session: Session, cluster: str) -> str:
    from weft.assemble.clusters import executor_of

    return executor_of(cluster, session.settings["clusters"])


def _node_args(text: str | None) -> dict[str, Any] | None:
    import json

    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--node-args is no JSON: {error}", 'as {"place": ["north", "south"]}') from error
    if not isinstance(found, dict):
        raise UsageError("--node-args is an object of lists", 'as {"place": ["north", "south"]}')
    return found
