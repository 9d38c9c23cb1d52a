"""`weft compile`: any dialect's document in the canonical form."""

from __future__ import annotations

import os

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError


@click.command("compile")
@click.option("-O", "--out", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--relocatable", is_flag=True, help="Leave the root out, so that the plan can be moved.")
@click.option(
    "--serialize", is_flag=True, help="Write functions themselves instead of their names; imports their modules."
)
@options.documents
@options.common
@click.pass_context
def command(ctx: click.Context, out: str | None, relocatable: bool, serialize: bool) -> int:
    """Write PLANs as one native document: canonical and self-contained; compiling it again gives the same bytes."""
    from weft.formats.compile import compile_plan
    from weft.formats.function_sources import with_digests

    session = Session(ctx)
    plan = with_digests(session.load(is_open=True).plan)
    if serialize:
        from weft.assemble.python_plans import with_functions

        plan = with_functions(plan)
    data = compile_plan(plan, relocatable=relocatable)
    if out is None:
        session.write(data)
        return 0
    replace_file(out, data)
    session.note(f"written to {out}")
    return 0


def replace_file(path: str, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never a part. Raises UsageError."""
    draft = f"{path}.{os.getpid()}.part"
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError as error:
        if os.path.exists(draft):
            os.unlink(draft)
        raise UsageError(f"{path!r} cannot be written: {error.strerror or error}", "name another file") from error
