"""Must it run at all: compares what a task would be run with now to what finished work was made with.

A part is text in one of two forms: `digest`, or `digest|shown` where `shown` is the value itself as people know it (plain small
values only, never secrets). The whole text decides equality, so `shown` must follow from what the digest is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from weft.scheduling.reasons import Reason
from weft.spec.tasks import Task

SHORT_DIGEST: Final = 8  # hex characters that people compare; the whole digest decides
SHOWN_LIMIT: Final = (
    60  # characters of a value that a stored part shows; more than that is recognised by its digest only
)
MISSING: Final = ""  # state of an output that does not exist

FORCED: Final = Reason("forced", "forced")
NEVER_RAN: Final = Reason("never_ran", "has not run before")
NOT_CACHEABLE: Final = Reason(
    "not_cacheable", "has effects that weft does not know (no outputs declared, cache not asked for)"
)
NEVER_CACHED: Final = Reason("not_cacheable", "cache is 'never'")
PASSING: Final = Reason("not_cacheable", "cache is 'memory': what it makes is kept only while this run needs it")
NOT_LOOKED: Final = Reason("not_looked", "results of earlier runs are not asked for")
CACHED: Final = Reason("cached", "up to date")


def why_not_cached(task: Task) -> Reason:
    """Why a task without a special order always runs; NOT_LOOKED of one whose finished work could stand in."""
    if task.policy.cache == "never":
        return NEVER_CACHED
    if task.policy.cache == "memory":
        return PASSING
    return NOT_LOOKED if task.is_cacheable else NOT_CACHEABLE


class Recorded(NamedTuple):
    """Finished work. parts: fingerprint parts as they were at its start. outputs: path -> content digest at its end."""

    parts: Mapping[str, str]
    outputs: Mapping[str, str]


class Decision(NamedTuple):
    """Whether finished work stands in for the task, and why or why not; at least one reason."""

    fresh: bool
    reasons: tuple[Reason, ...]


class Forecast(NamedTuple):
    """What would happen now. reasons: why it would run, is up to date, or cannot start; at least one."""

    action: Literal["run", "cached", "blocked"]
    reasons: tuple[Reason, ...]


UP_TO_DATE: Final = Decision(True, (CACHED,))


def part(digest: str, shown: str | None = None) -> str:
    """A part's text; `shown` is left out when it is long or would not fit on a line."""
    if shown is None or len(shown) > SHOWN_LIMIT or not shown.isprintable():
        return digest
    return f"{digest}|{shown}"


def shown(text: str) -> str:
    """What people see of a part: its value where it carries one, else the beginning of its digest."""
    digest, bar, value = text.partition("|")
    return value if bar else digest[:SHORT_DIGEST]


def decide(
    parts: Mapping[str, str], recorded: Recorded | None, outputs: Mapping[str, str], *, force: bool = False
) -> Decision:
    """Whether the task is up to date.

    parts: as they are now. outputs: path -> content digest as it is now, MISSING where there is none; paths that are declared
    now. A path that was recorded but is no longer declared shows up as a changed part, not here.
    """
    if force:
        return Decision(False, (FORCED,))
    if recorded is None:
        return Decision(False, (NEVER_RAN,))
    if parts == recorded.parts and outputs == recorded.outputs:
        return UP_TO_DATE
    reasons = [*compare_parts(recorded.parts, parts), *compare_outputs(recorded.outputs, outputs)]
    return Decision(False, tuple(reasons)) if reasons else UP_TO_DATE


def compare_parts(before: Mapping[str, str], after: Mapping[str, str]) -> list[Reason]:
    """One reason per part that differs, in the order of `after`, removed parts last by name."""
    reasons = []
    for name, now in after.items():
        then = before.get(name)
        if then is None:
            reasons.append(Reason("part_added", f"{_noun(name)} is new", name, None, shown(now)))
        elif then != now:
            reasons.append(_changed(name, then, now))
    for name in sorted(before.keys() - after.keys()):
        reasons.append(Reason("part_removed", f"{_noun(name)} is gone", name, shown(before[name]), None))
    return reasons


def compare_outputs(before: Mapping[str, str], after: Mapping[str, str]) -> list[Reason]:
    """One reason per declared output that is not as it was left."""
    reasons = []
    for path, now in after.items():
        then = before.get(path)
        if now == MISSING:
            reasons.append(
                Reason("output_missing", f"output {path} does not exist", f"outputs:{path}", then and shown(then))
            )
        elif now != then:
            text = f"output {path} changed since it was made" if then else f"output {path} was not recorded"
            reasons.append(Reason("output_changed", text, f"outputs:{path}", then and shown(then), shown(now)))
    return reasons


def _changed(name: str, then: str, now: str) -> Reason:
    before, after = shown(then), shown(now)
    is_told = "|" in then and "|" in now and before != after
    text = f"{_noun(name)} changed from {before} to {after}" if is_told else f"{_noun(name)} changed"
    return Reason("part_changed", text, name, before, after)


_NOUNS: Final = {
    "code": "code of",
    "parameters": "parameter",
    "inputs": "input",
    "dependencies": "what came from",
    "environment": "environment",
    "variables": "variable",
    "options": "option",
}


def _noun(name: str) -> str:
    """A part's name as it reads in a sentence: `parameters:k` is 'parameter k'."""
    kind, colon, rest = name.partition(":")
    return f"{_NOUNS.get(kind, kind)} {rest}" if colon else name
