"""What an examiner is given: results of earlier runs, and products of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from weft.ports import FileRow, ResultRow
from weft.scheduling.keys import WHOLE
from weft.values.items import Item


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs left. Each is called at most once, in the inspector's thread.

    results: the latest by (task name, item). files: by absolute path. older: all of them by (task name, item, fingerprint),
    asked for when something has changed, because it may have changed back. token: what changes with the results; None when
    nothing tells. It is asked twice.
    """

    results: Callable[[], Mapping[tuple[str, str], ResultRow]]
    files: Callable[[], Mapping[str, FileRow]]
    older: Callable[[], Mapping[tuple[str, str, str], ResultRow]] = dict
    token: Callable[[], str] | None = None


class Products(Protocol):
    """What tasks have handed on in this run; called in the inspector's thread, for a task after its `finished`."""

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        """Hex, None when nothing is known. WHOLE of a mapped task: over all its instances."""

    def text(self, task: int) -> str | None:
        """The product itself as JSON text, None when it is not at hand."""

    def items(self, maker: int) -> Sequence[Item] | None:
        """The items of a task's product, as many as there are by now; None when they are not at hand."""

    def held(self, task: int, instance: int, is_by_content: bool) -> str | None:
        """The product to be kept with a result, None when the run's own record will do."""


class NoProducts:
    """Tasks that hand on nothing."""

    def digest(self, task: int, instance: int = WHOLE) -> str | None:  # noqa: ARG002
        return None

    def text(self, task: int) -> str | None:  # noqa: ARG002
        return None

    def items(self, maker: int) -> Sequence[Item] | None:  # noqa: ARG002
        return None

    def held(self, task: int, instance: int, is_by_content: bool) -> str | None:  # noqa: ARG002
        return None
