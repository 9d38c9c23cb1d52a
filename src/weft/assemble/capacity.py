"""How much there is of each resource here, who says so, and what of it is free now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from weft.assemble.run_settings import DRY, RunSettings
from weft.errors import PlanError, Problem, hint_nearest
from weft.ports import Executor, PausingExecutor
from weft.runtime.devices import GPU
from weft.scheduling.events import CapacityChanged, HeadroomChanged
from weft.scheduling.scheduler import Scheduler
from weft.spec.resources import CORES, MILLI
from weft.trackers.host import HostTracker
from weft.trackers.roster import Roster
from weft.units import show_amount

if TYPE_CHECKING:
    from weft.trackers.custom import Source

ENTRY_POINTS: Final = "weft.trackers"

HOST = "host"


def from_class(name: str, reference: str, folder: str) -> Source:
    """The tracker `name` of a class of the user's; modules and files are looked for in `folder` first."""
    from weft.assemble.classes import load_class  # late, with the next: few name trackers of their own
    from weft.trackers.custom import source_of

    return source_of(f"tracker {name!r} ({reference})", lambda: load_class(reference, folder))


def from_entry_points() -> list[Source]:
    """What installed packages offer, by name."""
    from weft.assemble.classes import offered
    from weft.trackers.custom import source_of

    return [source_of(f"tracker {entry.name!r} ({entry.value})", entry.load) for entry in offered(ENTRY_POINTS)]


class Resources:
    """What a run on this host may hold. folder: whose disk counts. wanted: names that tasks ask for; None: all are of interest.

    What brings in code of others (drivers, installed packages) is looked for only when a wanted name is known to nobody else.
    amounts: integer units, less the host's reserve. origins: who says so, by name. Raises PlanError for a reserve of what
    is not there.
    """

    def __init__(self, settings: RunSettings, folder: str, wanted: Collection[str] | None = None):
        self._settings = settings
        host = HostTracker(folder)
        self.roster = Roster({HOST: host}, quietly=_aside)
        self._add_sources(None if wanted is None else {*wanted, *settings.reserve})
        amounts = dict(self.roster.capacity())
        self.ceiling = host.ceiling()
        self.origins = dict(self.roster.origins)
        there = dict(amounts)
        jobs = settings.jobs
        if jobs is not None:
            amounts[CORES] = jobs * MILLI
            self.origins[CORES] = "setting jobs"
        amounts.update(settings.resources)
        self.origins.update(dict.fromkeys(settings.resources, "setting resources"))
        there = {**amounts, **there}
        _check_reserve(settings.reserve, there)
        for name, units in settings.reserve.items():
            amounts[name] = min(amounts[name], there[name] - units)
        self.amounts = amounts
        slots = self.ceiling.processes
        self.event = CapacityChanged(self.amounts, slots if jobs is None else min(jobs, slots))

    @property
    def remarks(self) -> list[str]:
        """What has to be told of the trackers."""
        return self.roster.remarks

    def _add_sources(self, wanted: Collection[str] | None) -> None:
        settings, roster = self._settings, self.roster
        if settings.trackers:
            for name, (reference, folder) in sorted(settings.trackers.items()):
                roster.add(from_class(name, reference, folder))
        if wanted is None or (GPU in wanted and GPU not in settings.resources):
            from weft.trackers.custom import Source
            from weft.trackers.gpu import host_gpus

            roster.add(Source("nvidia-ml-py", host_gpus), is_first=True)
        unknown = None if wanted is None else set(wanted).difference(settings.resources, roster.capacity())
        if unknown is None or unknown:
            for source in from_entry_points():
                roster.add(source, is_first=True)

    def measuring(self, executors: Collection[Executor]) -> Measuring:
        """What measures the host from now on, and what the attempts of these executors use of it."""
        return Measuring(self.roster, self._settings.reserve, executors)


def _aside() -> AbstractContextManager[None]:
    from weft.notes.printing import aside  # late: few ask trackers of others

    return aside()


class Measuring:
    """Called: the figures of now. See `HeadroomChanged`."""

    def __init__(self, roster: Roster, reserve: Mapping[str, int], executors: Collection[Executor]):
        from weft.trackers.own import OwnUse  # late: only opportunistic runs measure

        self._roster = roster
        self._reserve = reserve
        self._keepers = [executor for executor in executors if isinstance(executor, PausingExecutor)]
        self._uses = [OwnUse() for _ in self._keepers]
        self._told = len(roster.remarks)

    def __call__(self) -> HeadroomChanged:
        free = {name: units - self._reserve.get(name, 0) for name, units in self._roster.available().items()}
        own: dict[str, int] = {}
        for executor, use in zip(self._keepers, self._uses, strict=True):
            for name, units in use.measure(executor.keeper).items():
                own[name] = own.get(name, 0) + units
        remarks = tuple(self._roster.remarks[self._told :])
        self._told += len(remarks)
        return HeadroomChanged(free, own, remarks)


def look_around(settings: RunSettings, folder: str, wanted: Collection[str]) -> tuple[CapacityChanged, list[str]]:
    """What there is, with what `-j`, `--resources` and `--reserve` say (design.md 6, 16), and what has to be told of it."""
    if settings.executor in DRY:
        return CapacityChanged(dict(settings.resources), settings.jobs), []
    resources = Resources(settings, folder, wanted)
    return resources.event, resources.remarks


def wanted_by(scheduler: Scheduler) -> set[str]:
    """Names that the tasks ask for."""
    return {name for offer in scheduler.workload.offers for name, _ in offer.request.amounts}


def _check_reserve(reserve: Mapping[str, int], amounts: Mapping[str, int]) -> None:
    problems = [Problem("reserve", text, hint=hint) for text, hint in _reserve_problems(reserve, amounts)]
    if problems:
        raise PlanError(problems)


def _reserve_problems(reserve: Mapping[str, int], amounts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for name, units in sorted(reserve.items()):
        if name not in amounts:
            known = f"known here: {', '.join(sorted(amounts))}"
            yield f"--reserve names {name!r}, which nobody here knows", hint_nearest(name, amounts) or known
        elif units >= amounts[name] and units:
            kept, there = show_amount(name, units), show_amount(name, amounts[name])
            yield f"--reserve {name}={kept} leaves nothing: there is {there}", f"reserve less than {there}"
