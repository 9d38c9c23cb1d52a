"""`weft completion`: a script that makes a shell complete weft's words."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError, hint_nearest

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell")
@options.common
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script for bash, zsh or fish, as in: eval "$(weft completion bash)"."""
    from click.shell_completion import get_completion_class

    from weft.cli.main import weft

    session = Session(ctx)
    completion = get_completion_class(shell) if shell in SHELLS else None
    if completion is None:
        raise UsageError(f"shell {shell!r} is not known", hint_nearest(shell, SHELLS) or f"one of {', '.join(SHELLS)}")
    # The template's own source: `source()` would start bash to look at its version.
    made = completion(weft, {}, "weft", "_WEFT_COMPLETE")
    session.write(made.source_template % made.source_vars())
    return 0
