"""The report at the end of a run: one line per task, the counts, and what to do about failures."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from weft.cli.output.tally import Ended, Tally
from weft.cli.output.terminal import Place, harmless, label, styled
from weft.errors import cut
from weft.ports import RunEnding
from weft.settings import STATE_FOLDER
from weft.units import show_seconds

LINES_AT_ONCE: Final = 5_000
DETAIL_CHARACTERS: Final = 300
RUN_SHOWN: Final = 12  # characters of an id where it is to be typed again: any beginning that is unique will do
LOOKED_AT: Final = ("unmet:", "unsatisfiable:")  # skipped by what was found, not by what another task did
PLAIN: Final = Place(is_terminal=False, is_live=False, has_colour=False, columns=80)


def report(tally: Tally, place: Place = PLAIN) -> Iterator[str]:
    """The report in pieces of many lines: state, name, cause, seconds of each selected task in plan order."""
    lines: list[str] = []
    for ended in tally:
        lines.append(_line(ended, place))
        if len(lines) >= LINES_AT_ONCE:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def _line(ended: Ended, place: Place) -> str:
    state = f"{ended.state:<9}"
    if place.has_colour:
        state = styled(state, ended.state, True)
    line = f"{state} {label(ended.name)}"
    if ended.cause:
        line += f"  {label(ended.cause)}"
    if ended.seconds is not None:
        line += f"  {show_seconds(ended.seconds)}"
    if ended.attempts > 1 and ended.instances is None:
        line += f"  {ended.attempts} attempts"
    if ended.detail and (ended.state == "failed" or (ended.cause or "").startswith(LOOKED_AT)):
        line += f"  ({cut(ended.detail, DETAIL_CHARACTERS)})"
    return line + "\n"


def note_lines(ending: RunEnding) -> list[str]:
    """One line for each note of which something could not be sent."""
    return [
        f"note {label(repr(name))}: {each.unsent} of {each.sent + each.unsent} not sent  ({label(each.problem or 'failed')})"
        for name, each in ending.notes.items()
        if each.unsent
    ]


def numbered(tasks: int) -> str:
    """`1 task`, `2 tasks`."""
    return f"{tasks} {'task' if tasks == 1 else 'tasks'}"


def counted(counts: Mapping[str, int], total: int) -> str:
    """`6 tasks: 4 ok (1 cached), 1 failed, 1 skipped`; counts that are zero are left out, but `ok`."""
    parts = [f"{counts['ok']} ok"]
    if counts["cached"]:
        parts[0] += f" ({counts['cached']} cached)"
    parts += [f"{counts[state]} {state}" for state in ("failed", "skipped", "cancelled") if counts[state]]
    unended = total - sum(counts[state] for state in ("ok", "failed", "skipped", "cancelled"))
    if unended > 0:
        parts.append(f"{unended} not ended")
    return f"{numbered(total)}: {', '.join(parts)}"


def command(verb: str, state_folder: str, run: str, *words: str) -> str:
    """The exact command to type: `--state` when the folder is not the one that weft finds from here by itself."""
    parts = ["weft", verb]
    if os.path.abspath(state_folder) != os.path.join(os.getcwd(), STATE_FOLDER):
        parts += ["--state", state_folder]
    if any(word.startswith("-") and word != "--failed" for word in words):
        parts.append("--")
    return " ".join(_shell_word(word) for word in (*parts, run[:RUN_SHOWN], *words))


def _shell_word(word: str) -> str:
    """A word as a shell reads it back; what a terminal would obey as `$'…'` (bash, zsh, ksh; POSIX 2024)."""
    shown = harmless(word.replace("\\", "\\\\"))
    if shown == word.replace("\\", "\\\\"):
        return shlex.quote(word)
    return "$'" + shown.replace("'", "\\'") + "'"


def advice(tally: Tally, run: str) -> list[str]:
    """What can be done next, one command a line; nothing after a run in which all is ok."""
    return next_steps(tally.counts(), tally.given_up, tally.opening.state_folder, run)


def next_steps(counts: Mapping[str, int], given_up: int, state_folder: str, run: str) -> list[str]:
    """The commands that take up what an ended run left. given_up: how many of the cancelled were cancelled on request."""
    lines = []
    if counts["failed"]:
        lines.append(f"try the failed ones again: {command('retry', state_folder, run, '--failed')}")
    if given_up:
        lines.append(f"take up what was cancelled: {command('retry', state_folder, run)}")
    if counts["cancelled"] > given_up or (counts["skipped"] and not lines):  # skipped on their own: what they require
        lines.append(f"continue: {command('resume', state_folder, run)}")
    return lines
