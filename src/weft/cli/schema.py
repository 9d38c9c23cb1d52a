"""`weft schema`: the JSON Schema of native documents."""

from __future__ import annotations

import json

import click

from weft.cli import options
from weft.cli.session import Session


@click.command("schema")
@options.common
@click.pass_context
def command(ctx: click.Context) -> int:
    """Print the JSON Schema (2020-12) of native plan documents, for editors to complete and check."""
    from weft.formats.schema import native_schema

    Session(ctx).write(json.dumps(native_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
