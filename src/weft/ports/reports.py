"""What an executor tells of attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome


class Began(NamedTuple):
    """Report: the attempt's action has begun. pid: its process, None for a snippet. started: wall clock seconds.

    stdout, stderr: files (below the run's log folder) that its output goes to while it runs; a region with length -1.
    """

    key: AttemptKey
    nonce: int
    started: float
    pid: int | None
    stdout: LogRegion
    stderr: LogRegion


class Finished(NamedTuple):
    """Report: the attempt has ended, and how."""

    key: AttemptKey
    nonce: int
    outcome: Outcome


class Remark(NamedTuple):
    """Report: something people should know (strays that were ended, a start that is put off). key: of which attempt, if any."""

    text: str
    key: AttemptKey | None = None


class Yielded(NamedTuple):
    """Report: a live attempt has handed on items. first: index of the first. shown, digests: of each. bytes: of all of them."""

    key: AttemptKey
    nonce: int
    first: int
    shown: tuple[str, ...]
    digests: tuple[str, ...]
    bytes: int


class Taken(NamedTuple):
    """Report: a live attempt has taken the items before `position` from the flow of its parameter `bind`."""

    key: AttemptKey
    nonce: int
    bind: str
    position: int


Report = Began | Finished | Remark
StreamReport = Yielded | Taken


class Reports(NamedTuple):
    """What has happened since the last poll. offsets: receipts file -> bytes read, to be stored with the facts."""

    reports: Sequence[Report | StreamReport]
    offsets: Mapping[str, int]
