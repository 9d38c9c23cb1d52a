"""Whether an attempt that failed is tried again, and with what request (design.md 7, workflows.md 4.5 and 4.6).

Three budgets, kept apart: `max_attempts` for ends that are charged, three for `lost` ones, none for uncharged ones (withdrawn,
or lost beside a culprit). Only a resource failure changes the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft import units
from weft.scheduling.outcomes import EXCEPTION, LOST, MEMORY, RESOURCE_CAUSES, TIMEOUT, Outcome, Request, kind
from weft.scheduling.workload import QueueLimit
from weft.spec.resources import BYTE_AMOUNTS, CORES, MILLI, from_units, to_units
from weft.spec.retries import LOST_BUDGET, NEVER_RETRIED, Retries, Scale

if TYPE_CHECKING:
    from fractions import Fraction

USUAL_GROWTH: Final = 0.5
_TIME_KEYS: Final = frozenset({TIMEOUT, "runtime"})
_DONE_FOR_GOOD: Final = frozenset({"interrupted", "cancelled"})

FREE_TRIES: Final = 3
LONGEST_PAUSE: Final = 10.0  # seconds
"""Uncharged ends in a row that are answered at once; then the next try waits 0.1 s, twice as long each time, at most
LONGEST_PAUSE: nobody's budget ends this, so at least it must not burn a core."""


class Trial:
    """What is remembered of a unit that did not do it at the first try: since this engine began, but for the request.

    charged, lost, uncharged: ends so far (uncharged: in a row). positions: next place in each list of amounts. wanted: what
    would have been asked for without the limits of queues.
    """

    __slots__ = ("alone", "change", "charged", "lost", "positions", "reason", "request", "uncharged", "wanted")

    def __init__(self, request: Request | None = None):
        self.request = request
        self.wanted: Request | None = None
        self.charged = 0
        self.lost = 0
        self.uncharged = 0
        self.alone = False
        self.positions: dict[str, int] = {}
        self.reason: str | None = None
        self.change: str | None = None


class Again(NamedTuple):
    """Another attempt follows: why, after how many seconds."""

    reason: str
    delay: float


class Over(NamedTuple):
    """No other attempt follows; the cause and its text for people."""

    cause: str
    detail: str | None


def cause_of(outcome: Outcome) -> str:
    """The outcome's cause; an executor that gives none for a failure has at least failed."""
    return outcome.cause or EXCEPTION


def judge(policy: Retries, trial: Trial, outcome: Outcome, had_begun: bool = True) -> Again | Over:
    """Count the end of an attempt that did not do its work, and say what follows. had_begun: False for a withdrawn order."""
    cause = cause_of(outcome)
    trial.alone = trial.alone or outcome.alone
    trial.reason = cause
    if not outcome.charged:
        trial.uncharged += had_begun
        return Again(cause, _pause(trial.uncharged))
    trial.uncharged = 0
    if kind(cause) == LOST:
        trial.lost += 1
        return Over(LOST, outcome.detail) if trial.lost >= LOST_BUDGET else Again(cause, policy.delay)
    trial.charged += 1
    if trial.charged >= policy.max_attempts or not is_retried(policy, cause):
        return Over(cause, outcome.detail)
    return Again(cause, policy.delay)


def is_retried(policy: Retries, cause: str) -> bool:
    """Whether the policy names this cause, itself or its kind; what was asked to end is never retried."""
    name = kind(cause)
    if name in _DONE_FOR_GOOD:
        return False
    if policy.retry_on is None:
        return name not in NEVER_RETRIED
    return cause in policy.retry_on or name in policy.retry_on


def _pause(tries: int) -> float:
    over = tries - FREE_TRIES
    return 0.0 if over <= 0 else min(LONGEST_PAUSE, 0.1 * 2.0 ** min(over - 1, 10))


# --- scaling -----------------------------------------------------------------------------------------------------------


class ScaleError(Exception):
    """A `resource_scales` entry gave no amount."""


class Bounds(NamedTuple):
    """What a scaled request may reach. capacity: units by name, without the names that have no bound here."""

    capacity: Mapping[str, int]
    queues: Mapping[str, QueueLimit]


def scale(policy: Retries, trial: Trial, request: Request, cause: str, bounds: Bounds) -> Request:
    """The next attempt's request after a resource failure; the same when nothing may grow. Raises ScaleError."""
    if kind(cause) not in RESOURCE_CAUSES:
        return request
    entries = _entries_for(policy, kind(cause))
    limit = bounds.queues.get(request.queue) if request.queue is not None else None
    wish = request if limit is None or trial.wanted is None else _uncut(trial.wanted, request, limit)
    amounts = dict(wish.amounts)
    timeout = wish.timeout
    for key, entry in entries:
        if key == TIMEOUT:
            timeout = None if timeout is None else _next_seconds(entry, trial, timeout)
        elif amounts.get(key):
            amounts[key] = _next_units(key, entry, trial, amounts[key])
    wanted = trial.wanted = request._replace(amounts=tuple(sorted(amounts.items())), timeout=timeout)
    return _grown(request, _in_queue(wanted, policy.fallback_queues, bounds), bounds)


def _uncut(wanted: Request, request: Request, limit: QueueLimit) -> Request:
    """`request`, where the limit of its queue had cut it as it was wanted: another queue may allow more."""
    before = dict(wanted.amounts)
    amounts = tuple(
        (name, max(units, before.get(name, units)) if units == limit.amounts.get(name) else units)
        for name, units in request.amounts
    )
    timeout = request.timeout
    if timeout is not None and timeout == limit.timeout:
        timeout = None if wanted.timeout is None else max(timeout, wanted.timeout)
    return request._replace(amounts=amounts, timeout=timeout)


def _entries_for(policy: Retries, exhausted: str) -> list[tuple[str, Scale]]:
    """Which dimensions grow, and how. exhausted: `memory` or `timeout`."""
    named = policy.scales
    if named is None:
        keys = (MEMORY, TIMEOUT) if policy.scale_on == "any" else (exhausted,)
        return [(key, USUAL_GROWTH) for key in keys]
    entries = [(TIMEOUT if key in _TIME_KEYS else key, entry) for key, entry in named]
    if policy.scale_on == "any":
        return entries
    # What did not run out stays, but amounts that cannot run out measurably (cores, gpu) follow every resource failure.
    return [(key, entry) for key, entry in entries if key == exhausted or key not in RESOURCE_CAUSES]


def _next_units(name: str, entry: Scale, trial: Trial, old: int) -> int:
    if isinstance(entry, tuple):
        return to_units(name, _listed(name, entry, trial))
    if callable(entry):
        return to_units(name, _called(name, entry, from_units(name, old)))
    grain = 1 if name in BYTE_AMOUNTS or name == CORES else MILLI  # bytes, or thousandths
    return ceil(old * _factor(entry) / grain) * grain


def _next_seconds(entry: Scale, trial: Trial, old: float) -> float:
    if isinstance(entry, tuple):
        return _listed(TIMEOUT, entry, trial)
    if callable(entry):
        return _called(TIMEOUT, entry, old)
    from fractions import Fraction

    return float(Fraction(repr(float(old))) * _factor(entry))  # seconds are not rounded (design.md 16)


def _factor(entry: float) -> Fraction:
    """Exact, as it was written: 100 bytes and 0.1 more are 110, not 111."""
    from fractions import Fraction  # late: it brings `decimal` along, and few runs scale anything

    return 1 + Fraction(repr(float(entry)))


def _listed(name: str, entry: tuple[float, ...], trial: Trial) -> float:
    if not entry:
        raise ScaleError(f"the list of amounts for {name} is empty")
    place = trial.positions.get(name, 0)
    trial.positions[name] = place + 1
    return _amount(name, entry[min(place, len(entry) - 1)])


def _called(name: str, entry: object, old: float) -> float:
    assert callable(entry)
    try:
        return _amount(name, entry(old))
    except ScaleError:
        raise
    except (Exception, SystemExit) as error:  # a user's function may raise anything; it becomes the task's cause
        raise ScaleError(f"the function that scales {name} raised {type(error).__name__}: {error}") from error


def _amount(name: str, value: object) -> float:
    number = _number(value)
    if number is None or not 0 < number < inf:
        raise ScaleError(f"the amount for {name} is {value!r}, which is no number above 0")
    return number


def _number(value: Any) -> float | None:
    """A number of another library as one of Python's; None of what is none."""
    if isinstance(value, bool):
        return None
    if value.__class__ in (int, float):
        return value
    from numbers import Real  # late: few runs scale anything

    return float(value) if isinstance(value, Real) else None


def _in_queue(wanted: Request, fallbacks: tuple[str, ...], bounds: Bounds) -> Request:
    """Into the first queue that admits it, else cut to the limits of the last."""
    for queue in (wanted.queue, *fallbacks):
        limit = bounds.queues.get(queue) if queue is not None else None
        there = wanted._replace(queue=queue)
        fits_capacity = queue is not None or not fallbacks or QueueLimit(bounds.capacity).admits(wanted)
        if fits_capacity and (limit is None or limit.admits(there)):
            return there
    last = fallbacks[-1] if fallbacks else wanted.queue
    limit = bounds.queues.get(last) if last is not None else None
    there = wanted._replace(queue=last)
    return there if limit is None else limit.cut(there)


def _grown(old: Request, new: Request, bounds: Bounds) -> Request:
    """`new` cut to the capacity, and never below what the failed attempt had in the same queue."""
    amounts = []
    before = dict(old.amounts)
    for name, number in new.amounts:
        most = bounds.capacity.get(name, number)
        amounts.append((name, max(min(number, most), min(number, before[name]))))
    return new._replace(amounts=tuple(amounts))


def recover_positions(policy: Retries, trial: Trial, request: Request) -> None:
    """Where each list of amounts stands after a resume: behind the last entry that the recovered request shows."""
    amounts = dict(request.amounts)
    for key, entry in policy.scales or ():
        if not isinstance(entry, tuple):
            continue
        name = TIMEOUT if key in _TIME_KEYS else key
        for place, amount in enumerate(entry):
            present = request.timeout == amount if name == TIMEOUT else amounts.get(name) == to_units(name, amount)
            if present:
                trial.positions[name] = place + 1


# --- for people --------------------------------------------------------------------------------------------------------


def describe_limit(trial: Trial, request: Request, cause: str) -> str | None:
    """What ran out and could not grow as it should, as `memory 150M, which is the most there is`; None of other causes."""
    wanted, name = trial.wanted, kind(cause)
    if wanted is None or name not in RESOURCE_CAUSES:
        return None
    there = f"the most that queue {request.queue} allows" if request.queue else "the most there is"
    if name == TIMEOUT:
        most, asked = request.timeout or 0.0, wanted.timeout or 0.0
        return f"timeout {units.show_seconds(most)}, which is {there}" if 0 < most < asked else None
    amount, sought = dict(request.amounts).get(name, 0), dict(wanted.amounts).get(name, 0)
    return f"{name} {units.show_amount(name, amount)}, which is {there}" if 0 < amount < sought else None


def describe_change(old: Request, new: Request) -> str | None:
    """What differs, as `memory 40M -> 60M`; None when nothing does."""
    before = dict(old.amounts)
    parts = [
        f"{name} {units.show_amount(name, before[name])} -> {units.show_amount(name, number)}"
        for name, number in new.amounts
        if number != before[name]
    ]
    if new.timeout != old.timeout and old.timeout is not None and new.timeout is not None:
        parts.append(f"timeout {units.show_seconds(old.timeout)} -> {units.show_seconds(new.timeout)}")
    if new.queue != old.queue:
        parts.append(f"queue {old.queue or 'default'} -> {new.queue or 'default'}")
    return ", ".join(parts) or None
