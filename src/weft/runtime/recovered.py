"""What a run that is taken up starts from; most runs start from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from weft.ports import Began, Reports
from weft.scheduling.events import Event


class Recovered(NamedTuple):
    """done: tasks that are ok already.

    facts: for the scheduler, before the first `CapacityChanged`. begun: attempts that live and were not recorded as begun.
    reports: of attempts that ended meanwhile, read after the facts as an executor's are.
    """

    facts: Sequence[Event]
    begun: Sequence[Began]
    reports: Reports
    done: int


NOTHING_RECOVERED: Final = Recovered((), (), Reports((), {}), 0)
