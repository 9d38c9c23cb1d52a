"""`weft cache`: what is kept for later runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.assemble.caching import Listing


@click.group("cache")
def command() -> None:
    """List, clear and verify what is kept for later runs: finished work, and files of products."""


@command.command("ls", short_help="List finished work, and virtual environments.")
@options.root
@options.common
@click.pass_context
def list_kept(ctx: click.Context) -> int:
    """List finished work, oldest first: what it takes, who made it, and virtual environments."""
    import time

    from weft.assemble import caching
    from weft.cli.output.cache import listing_record, listing_text

    session = Session(ctx)
    listing: Listing = caching.list_kept(session.state())
    if session.wants_json:
        session.give(listing_record(listing, time.time()))
    else:
        session.say(listing_text(listing, session.out, time.time()))
    return 0


@command.command("gc", short_help="Remove what no run can use any more.")
@click.option("--older", metavar="DURATION", help="Give up work of runs that began longer ago, as 30d or 12h.")
@click.option(
    "--keep", metavar="N", type=click.IntRange(min=0), help="Keep the newest N of each task or instance only."
)
@click.option("--all", "is_all", is_flag=True, help="Give up everything, as if nothing had ever run.")
@click.option("-n", "--dry-run", "is_dry", is_flag=True, help="Say what would be given up; change nothing.")
@options.root
@options.common
@click.pass_context
def collect(ctx: click.Context, older: str | None, keep: int | None, is_all: bool, is_dry: bool) -> int:
    """Remove finished work that no run can use any more, and files of products that nothing refers to.

    What a run that is at work may need stays, whatever is asked for; so do logs and the records of runs.
    """
    from weft.assemble import caching
    from weft.cli.output.cache import collected_record, collected_text

    session = Session(ctx)
    seconds = None if older is None else _seconds(older)
    done = caching.collect(session.state(), older=seconds, keep=keep, is_all=is_all, is_dry=is_dry, told=session.note)
    if session.wants_json:
        session.give(collected_record(done, is_dry))
    else:
        session.say(collected_text(done, is_dry))
    return 0


@command.command("verify", short_help="Read every product file; set damaged ones aside.")
@options.root
@options.common
@click.pass_context
def verify(ctx: click.Context) -> int:
    """Read every product file and compare it with its digest; damaged ones are set aside, and made again when needed.

    Exit code 1 when any was damaged, or is missing.
    """
    from weft.assemble import caching
    from weft.cli.output.cache import verified_record, verified_text

    session = Session(ctx)
    found = caching.verify_kept(session.state())
    if session.wants_json:
        session.give(verified_record(found))
    else:
        session.say(verified_text(found))
    return 1 if found.problems else 0


def _seconds(text: str) -> float:
    from weft.units import UnitError, parse_time

    try:
        return parse_time(text)
    except UnitError as error:
        raise UsageError(f"--older {error}", "a duration, as 30d, 12h or 90m", "usage") from error
