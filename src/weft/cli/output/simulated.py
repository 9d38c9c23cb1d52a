"""What `weft simulate` found, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from weft.assemble import skip_text
from weft.cli.output.terminal import Place, label, styled
from weft.errors import cut
from weft.units import show_seconds

if TYPE_CHECKING:
    from weft.assemble.simulating import Simulation

SHOWN_SKIPS: Final = 20
SHOWN_PATH: Final = 6  # tasks of the critical path
NAME_CHARACTERS: Final = 60
DIGITS: Final = 9  # behind the point: sums of the same numbers in another order differ further behind


def record(made: Simulation) -> dict[str, Any]:
    """The object of `--output json` (design.md 16); `recorded_makespan` and `skipped` only where there are any."""
    report = made.report
    found: dict[str, Any] = {
        "makespan": round(report.makespan, DIGITS),
        "work": round(report.work, DIGITS),
        "bound": round(report.bound, DIGITS),
        "utilisation": report.utilisation,
        "speedup": round(report.speedup, DIGITS),
        "critical_path": {
            "seconds": round(report.critical_path.seconds, DIGITS),
            "tasks": list(report.critical_path.tasks),
        },
        "hosts": report.hosts,
        "tasks": report.tasks,
        "dispatches_per_second": round(report.dispatches_per_second),
    }
    if report.recorded_makespan is not None:
        found["recorded_makespan"] = report.recorded_makespan
    if report.skipped:
        tasks = made.plan.graph.tasks
        found["skipped"] = {
            tasks[skip.task].name: {"cause": skip.cause, "detail": skip.detail} for skip in report.skipped
        }
    return found


def simulation_text(made: Simulation, place: Place) -> str:
    """The figures, one a line, with what they are to be compared with."""
    report = made.report
    over = report.makespan / report.bound - 1 if report.bound else 0.0
    above = "the least there can be" if over < 0.0005 else f"makespan is {over:.1%} above it"
    recorded = report.recorded_makespan
    lines = [
        f"{_count(report.tasks, 'task')} on {_count(report.hosts, 'host')} with {_count(report.cores, 'core')}",
        _line(
            "makespan", report.makespan, f"recorded: {show_seconds(recorded)}" if recorded is not None else "", place
        ),
        _line("bound", report.bound, above, place),
        _line("work", report.work, "of one core", place),
        _field("utilisation", f"{report.utilisation:.1%}", "", place),
        _field("speed-up", f"{report.speedup:.4g}", "", place),
        _line("critical path", report.critical_path.seconds, _path(report.critical_path.tasks), place),
        _field("dispatches", f"{report.dispatches_per_second:,.0f} a second", "", place),
    ]
    skipped = report.skipped
    if skipped:
        lines.append(f"skipped: {_count(len(skipped), 'task')}")
        lines += [f"  {label(skip_text(made.plan, skip))}" for skip in skipped[:SHOWN_SKIPS]]
        if len(skipped) > SHOWN_SKIPS:
            lines.append(f"  and {len(skipped) - SHOWN_SKIPS} more")
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, seconds: float, remark: str, place: Place) -> str:
    return _field(name, show_seconds(seconds), remark, place)


def _field(name: str, value: str, remark: str, place: Place) -> str:
    line = f"{styled(f'{name:<14}', 'dim', place.has_colour)} {value}"
    return f"{line:<{24 + len(line) - 15 - len(value)}}  {remark}" if remark else line


def _path(names: tuple[str, ...]) -> str:
    shown = [label(cut(name, NAME_CHARACTERS)) for name in names]
    if len(names) > SHOWN_PATH:
        shown = [*shown[: SHOWN_PATH - 2], "…", *shown[-2:]]
    return f"{_count(len(names), 'task')}: {' -> '.join(shown)}" if names else ""


def _count(number: float, noun: str) -> str:
    return f"{number:,g} {noun}{'' if number == 1 else 's'}" if number < 1e6 else f"{number:,.0f} {noun}s"
