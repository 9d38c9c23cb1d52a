"""Failures at the end of a run, grouped by cause: the last lines of stderr, where the log lies, how to try again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from weft.cli.output.printer import ReadLog
from weft.cli.output.report import command, numbered
from weft.cli.output.tally import Tally
from weft.cli.output.terminal import Place, harmless, label, styled
from weft.errors import cut
from weft.scheduling.outcomes import LogRegion
from weft.store.logs import LogGoneError

TASKS_PER_CAUSE: Final = 3
LAST_LINES: Final = 5
LAST_BYTES: Final = 4096


class Failure(NamedTuple):
    """A task or instance that failed. name: `TASK` or `TASK[ITEM]`, exact. output: its stderr, its stdout if that is empty."""

    task: int
    name: str
    cause: str
    detail: str | None
    output: LogRegion | None


def failure_lines(failures: Sequence[Failure], tally: Tally, run: str, place: Place, read: ReadLog | None) -> list[str]:
    """The summary, line by line; empty when nothing failed."""
    by_cause: dict[str, list[Failure]] = {}
    failures = [failure for failure in failures if tally.state(failure.task) == "failed"]  # not: interrupted meanwhile
    for failure in failures:
        by_cause.setdefault(failure.cause, []).append(failure)
    lines = []
    for cause, group in by_cause.items():
        lines.append(styled(f"{label(cause)}: {numbered(len(group))}", "failed", place.has_colour))
        for failure in group[:TASKS_PER_CAUSE]:
            lines += _one(failure, tally, run, place, read)
        if len(group) > TASKS_PER_CAUSE:
            rest = ", ".join(label(failure.name) for failure in group[TASKS_PER_CAUSE : TASKS_PER_CAUSE + 5])
            more = len(group) - TASKS_PER_CAUSE
            lines.append(f"  and {more} more: {rest}{' …' if more > 5 else ''}")
    missing = tally.counts()["failed"] - len(failures)
    if missing > 0:
        lines.append(f"and {missing} more; all of them: {command('status', tally.opening.state_folder, run)}")
    return lines


def _one(failure: Failure, tally: Tally, run: str, place: Place, read: ReadLog | None) -> list[str]:
    folder, task = tally.opening.state_folder, tally.tasks[failure.task].name
    lines = [f"  {styled(label(failure.name), 'bold', place.has_colour)}"]
    if failure.detail:
        lines[0] += f": {cut(failure.detail, 300)}"
    region = failure.output
    if region is not None and region.length > 0 and read is not None:
        lines += [f"    {styled('|', 'dim', place.has_colour)} {line}" for line in last_lines(region, read)]
        path = os.path.join(folder, "logs", run, region.file)
        lines.append(f"    log:   {os.path.relpath(path)} (bytes {region.offset} to {region.offset + region.length})")
    if region is not None:
        lines.append(f"    see:   {command('logs', folder, run, failure.name)}")
    lines.append(f"    retry: {command('retry', folder, run, task)}")
    return lines


def last_lines(region: LogRegion, read: ReadLog) -> list[str]:
    """The end of a log as lines that a terminal can be given."""
    start = max(0, region.length - LAST_BYTES)
    try:
        data = read(region, start, region.length - start)
    except (LogGoneError, OSError) as error:
        return [f"(the log cannot be read: {error})"]
    lines = data.decode("utf-8", "replace").splitlines()
    return [harmless(line) for line in lines[-LAST_LINES:]]
