"""Caps of 0 on how many tasks of a workflow or template may be live: when something waits for one, people are told so once."""

from __future__ import annotations

from collections.abc import Mapping

from weft.scheduling.commands import Mention
from weft.scheduling.placement import Placement
from weft.scheduling.reasons import closed_by
from weft.spec.compute import LIMIT_PREFIX


class ShutCaps:
    """untold: those of which nobody was told yet, in the order in which they were given."""

    __slots__ = ("_told", "untold")

    def __init__(self) -> None:
        self.untold: dict[str, None] = {}
        self._told: set[str] = set()

    def give(self, amounts: Mapping[str, int]) -> None:
        """Capacities that there are from now on."""
        for name, units in amounts.items():
            if not units and name.startswith(LIMIT_PREFIX) and name not in self._told:
                self.untold[name] = None

    def change(self, name: str, units: int | None) -> None:
        """One of them was changed by request; None takes that back."""
        self.untold.pop(name, None)
        self._told.discard(name)
        if units is not None:
            self.give({name: units})

    def tell(self, placement: Placement) -> list[Mention]:
        """Of those that keep something that is ready from its start. Cost: O(lanes)."""
        lanes = placement.lanes.values()
        found = {lane.closed for lane in lanes if lane.closed in self.untold and placement.best(lane) is not None}
        told = [name for name in self.untold if name in found]
        self._told.update(told)
        for name in told:
            del self.untold[name]
        return [Mention(closed_by(name).text, None) for name in told]
