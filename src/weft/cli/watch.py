"""`weft watch`: run plans again whenever files that they require come or change."""

from __future__ import annotations

from typing import Any

import click

from weft.cli import options
from weft.cli.run import watch as show
from weft.cli.session import Session
from weft.errors import UsageError
from weft.units import UnitError, parse_time

SIGNALLED = 128  # exit codes from here on: ended by a signal


@click.command("watch")
@click.option("--poll", metavar="DURATION", help="Look every so often, as on network disks, instead of by events.")
@click.option("--settle", metavar="DURATION", help="A file is whole when it did not change for so long; default: 1s.")
@options.documents
@options.selection
@options.running
@options.common
@click.pass_context
def command(ctx: click.Context, poll: str | None, settle: str | None) -> int:
    """Run PLANs each time that files which their tasks require are new or have changed.

    Each file is worked on once, also after a restart; files that are still being written are left for later. Ctrl-C lets what
    runs end, and ends with 130.
    """
    from weft import assemble

    session = Session(ctx)
    if not session.settings["cache"]:
        raise UsageError(
            "weft watch remembers what was done, so that each file is worked on once; --no-cache forbids that",
            "leave --no-cache away (or `cache` in the settings)",
        )
    how = _settings(poll, settle)
    documents = session.documents()
    settings = session.run_settings(recorded=documents.recorded())
    plan = session.read_for_run(documents).plan
    title = plan.name or (documents.paths or documents.inputs)[0]
    with assemble.Watching(plan, settings, how, session.note) as watching:
        while True:
            session.note(watching.wait())
            code = show(session, title, watching.run)
            if code >= SIGNALLED:
                return code


def _settings(poll: str | None, settle: str | None) -> Any:
    from weft import assemble

    given: dict[str, float] = {}
    for name, value in (("poll", poll), ("settle", settle)):
        if value is None:
            continue
        try:
            given[name] = parse_time(value)
        except UnitError as error:
            raise UsageError(f"--{name}: {error}", code=error.code) from error
    return assemble.WatchSettings(**given)
