"""`weft graph`: the graph of a plan, drawn or exported."""

from __future__ import annotations

from collections.abc import Mapping

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError, hint_nearest

KINDS = ("text", "dot", "mermaid", "svg", "json")


@click.command("graph", cls=options.RunCommand)
@click.option("--as", "kind", metavar="KIND", default=None, help="text (default), dot, mermaid, svg or json.")
@click.option("--run", "run", metavar="RUN", help="Colour by the states of a run: an id, its beginning, last, or -1.")
@options.documents
@options.common
@click.pass_context
def command(ctx: click.Context, kind: str | None, run: str | None) -> int:
    """Draw the graph of PLANs, or write it as dot, mermaid, svg or json."""
    session = Session(ctx)
    kind = kind or ("json" if session.wants_json else "text")
    if kind not in KINDS:
        raise UsageError(f"--as {kind!r} is not known", hint_nearest(kind, KINDS) or f"one of {', '.join(KINDS)}")
    plan = session.load(is_preview=True, is_open=True).plan
    states = _states(session, plan.root, run) if run is not None else None
    if kind == "json":
        from weft.formats.export import as_json

        session.give(as_json.render(plan, states))
        return 0
    from importlib import import_module

    text: str = import_module(f"weft.formats.export.{kind}").render(plan, states)
    session.write(text if text.endswith("\n") else text + "\n")
    return 0


def _states(session: Session, root: str, word: str) -> Mapping[str, str]:
    archive = session.archive(root)
    row = session.find(archive, word)
    return {task.name: task.state for task in archive.tasks(row.run)}
