"""What is asked of the world before and between starts: time, resources, environments, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from weft.ports.records import BegunRow, FileRow, ResultRow
from weft.scheduling.events import Inspected


class Clock(Protocol):
    """Time. Limits use `monotonic`; `wall` is for people only."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""


class Waiter(Protocol):
    """How the loop sleeps."""

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        """Until one of these file descriptors is readable, at most `seconds`; None is for ever."""


class Tracker(Protocol):
    """What knows a resource's capacity and present use."""

    def capacity(self) -> Mapping[str, int]:
        """All there is, by resource name, in integer units."""

    def available(self) -> Mapping[str, int]:
        """What is measured free now, by resource name, in integer units."""


class Installed(NamedTuple):
    """An environment that attempts can use (`python`, `bin_folder`; both None is weft's own), or why there is none."""

    name: str
    python: str | None
    bin_folder: str | None
    failure: str | None = None


class Installer(Protocol):
    """Builds the environments of a plan beside the loop, each once."""

    def ask(self, name: str) -> None:
        """Begin to prepare an environment; asking again does nothing."""

    def answers(self) -> Sequence[Installed]:
        """What is there, or has failed, since the last call; never waits."""

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""

    def close(self) -> None:
        """End what is being built."""


class Inspector(Protocol):
    """Looks at the world for tasks that are about to start: requirements, items, fingerprints. Works off the loop."""

    def ask(self, task: int, force: bool, instances: Sequence[int] | None = None) -> None:
        """Begin looking. force: do not ask whether it is up to date. instances: that are to start; None: all there are."""

    def answers(self) -> Sequence[Inspected]:
        """What has been found since; never waits."""

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """After an attempt that did its work: (cause, detail) when a declared output is missing, else None; remembers results."""

    def remember(self, task: int) -> None:
        """A task that took streams while they were made is ok, and so are they: only now can be said what it was given."""

    def begun(self) -> Sequence[BegunRow]:
        """What tasks were found with since the last call, to be stored with the intents of their attempts.

        To be asked before `take`: what is over has its result there.
        """

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """Results and digests that are known since the last call, to be stored."""

    def drain(self) -> None:
        """Wait until everything that `finished` began is known."""

    def close(self) -> None:
        """Stop looking."""
