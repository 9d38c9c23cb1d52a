"""`weft doctor`: settings with their origins, what this machine allows, and whether the state is sound."""

from __future__ import annotations

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import StoreError


@click.command("doctor")
@click.option("--failpoints", is_flag=True, help="List the places where faults can be ordered by WEFT_FAILPOINT.")
@click.option(
    "--rebuild", is_flag=True, help="Set a damaged database aside and save every run of it that can be believed."
)
@options.root
@options.limits
@options.common
@click.pass_context
def command(ctx: click.Context, failpoints: bool, rebuild: bool) -> int:
    """Show every setting and where it comes from, the limits of this machine, and the health of the state folder."""
    from weft import assemble
    from weft.cli.output.texts import doctor_text
    from weft.settings import shown

    session = Session(ctx)
    if failpoints:
        return _list_failpoints(session)
    if rebuild:
        return _rebuild(session)
    try:
        state: str | None = session.state()
    except StoreError as error:
        state = None
        session.note(str(error))
    findings = assemble.doctor(state, session.run_settings(state))
    if session.wants_json:
        session.give(
            {
                "settings": {
                    name: {"value": value, "origin": origin}
                    for name, value, origin in shown(session.settings, exact=True)
                },
                "findings": [found._asdict() for found in findings],
            }
        )
    else:
        session.say(doctor_text(shown(session.settings), findings, session.out))
    return 0


def _rebuild(session: Session) -> int:
    from weft import assemble
    from weft.cli.output.texts import findings_text

    findings = assemble.rebuild(session.state())
    if session.wants_json:
        session.give({"findings": [found._asdict() for found in findings]})
    else:
        session.say(findings_text(findings, session.out))
    return 0


def _list_failpoints(session: Session) -> int:
    import weft.assemble.runs
    import weft.assemble.session  # noqa: F401 - bring in the modules that declare failpoints
    from weft.failpoints import POINTS

    points = dict(sorted(POINTS.items()))
    if session.wants_json:
        session.give({"failpoints": points})
    else:
        session.say("".join(f"{name}  {meaning}\n" for name, meaning in points.items()))
    return 0
