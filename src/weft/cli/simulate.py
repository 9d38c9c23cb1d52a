"""`weft simulate`: what a run would take, on hosts that need not be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from weft.cli import options
from weft.cli.session import Session
from weft.errors import UsageError, hint_nearest

if TYPE_CHECKING:
    from weft.assemble import SimulationSettings
    from weft.assemble.simulating import Simulation

ORDERS: Final[tuple[Literal["path", "file"], ...]] = ("path", "file")

Read = TypeVar("Read")


@click.command("simulate")
@click.option("--hosts", metavar="HOSTS", help="4x48c, 100x64c,256G, 2x16c+4x8c,32G, or recorded (default).")
@click.option("--default-duration", metavar="DURATION", help="Of tasks of which none is known; default: 0.")
@click.option("--order", metavar="ORDER", help="path (longest first) or file (plan order), instead of the plan's own.")
@click.option("--resources", metavar="NAME=AMOUNT,...", help="Amounts that all hosts share, as license=2.")
@click.option("--ignore-memory", is_flag=True, help="Memory is never short, whatever hosts state.")
@click.option("--gantt", metavar="FILE", type=options.FILE, help="Draw who worked when, as SVG, into FILE.")
@options.documents
@options.selection
@options.common
@click.pass_context
def command(
    ctx: click.Context,
    hosts: str | None,
    default_duration: str | None,
    order: str | None,
    resources: str | None,
    ignore_memory: bool,
    gantt: str | None,
) -> int:
    """Schedule PLANs on a virtual clock: makespan, utilisation, critical path. Runs nothing.

    Durations are those of the plan, else what earlier runs measured. Exit 1 when tasks ask for more than any host has.
    """
    import gc

    from weft import assemble
    from weft.cli.output.simulated import record, simulation_text

    session = Session(ctx)
    settings = _settings(session, hosts, default_duration, order, resources, ignore_memory)
    plan = session.load().plan
    gc.freeze()
    gc.disable()  # the scheduler makes many values and no cycle of them
    made = assemble.simulate_plan(plan, settings, session.note)
    gc.enable()
    if gantt is not None:
        _draw(made, gantt)
        session.note(f"the chart is in {gantt}")
    if session.wants_json:
        session.give(record(made))
    else:
        session.say(simulation_text(made, session.out))
    return 1 if made.report.skipped else 0


def _settings(
    session: Session,
    hosts: str | None,
    default_duration: str | None,
    order: str | None,
    resources: str | None,
    ignore_memory: bool,
) -> SimulationSettings:
    from weft import assemble
    from weft.settings import SettingError
    from weft.settings import resources as read_resources
    from weft.units import UnitError, parse_time

    seconds = None
    if default_duration is not None:
        is_zero = default_duration.strip() in ("0", "0s")
        seconds = 0.0 if is_zero else _read("--default-duration", parse_time, default_duration, UnitError)
    shared = _read("--resources", read_resources, resources, SettingError) if resources is not None else {}
    if "cores" in shared:
        raise UsageError("--resources: cores are those of the hosts", "name them with --hosts, as 4x48c", "usage")
    return assemble.SimulationSettings(
        hosts=hosts,
        default_duration=seconds,
        order=_order(order),
        shared=shared,
        counts_memory=not ignore_memory,
        run=session.run_settings(),
    )


def _read(flag: str, read: Callable[[Any], Read], text: str, problem: type[ValueError]) -> Read:
    try:
        return read(text)
    except problem as error:
        raise UsageError(f"{flag}: {error}", code="usage") from error


def _order(order: str | None) -> Literal["path", "file"] | None:
    if order is None:
        return None
    for known in ORDERS:
        if order == known:
            return known
    raise UsageError(f"--order {order!r} is not known", hint_nearest(order, ORDERS) or f"one of {', '.join(ORDERS)}")


def _draw(made: Simulation, path: str) -> None:
    from weft.assemble.simulating import chart
    from weft.cli.compile import replace_file
    from weft.formats.export import gantt

    replace_file(path, gantt.render(chart(made)).encode("utf-8"))
