"""`weft doctor`: settings with their origins, what this machine allows, and whether the state is sound."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import StoreError


@click.command("doctor")
@options.root
@options.running
@options.common
@click.option("--failpoints", is_flag=True, help="List the places where faults can be ordered by WEFT_FAILPOINT.")
@click.pass_context
def command(ctx: click.Context, failpoints: bool) -> int:
    """Show every setting and where it comes from, the limits of this machine, and the health of the state folder."""
    from weft import assemble
    from weft.cli.output.texts import doctor_text
    from weft.settings import shown

    session = Session(ctx)
    if failpoints:
        return _list_failpoints(session)
    try:
        state: str | None = session.state()
    except StoreError as error:
        state = None
        session.note(str(error))
    findings = assemble.doctor(state)
    if session.wants_json:
        session.give(
            {
                "settings": {
                    name: {"value": value, "origin": origin} for name, value, origin in shown(session.settings)
                },
                "findings": [
                    {"topic": found.topic, "value": found.value, "origin": found.origin, "advice": found.advice}
                    for found in findings
                ],
            }
        )
    else:
        session.say(doctor_text(shown(session.settings), findings, session.out))
    return 0


def _list_failpoints(session: Session) -> int:
    from weft import assemble  # noqa: F401 - brings in the modules that declare failpoints
    from weft.failpoints import POINTS

    points = dict(sorted(POINTS.items()))
    if session.wants_json:
        session.give({"failpoints": points})
    else:
        session.say("".join(f"{name}  {meaning}\n" for name, meaning in points.items()))
    return 0
