"""What tasks of recorded runs handed on, as text: read from their attempts, or from where their output lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final, NamedTuple

from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import LogRegion
from weft.store import database
from weft.store.archive import SqliteArchive
from weft.store.logs import LogGoneError, LogReader
from weft.store.tables import unpack_text

ONE_BY_ONE: Final = 16
"""Tasks of a run that are looked up singly; who asks for more gets all that it made in one question."""


class Made(NamedTuple):
    """What an attempt handed on: text, or else a region of its output."""

    product: str | None
    output: LogRegion


class RecordedProducts:
    """Products of the runs of a state folder. What a run says is read once. From any thread."""

    def __init__(self, folder: str):
        self._folder = folder
        self._lock = Lock()
        self._places: dict[str, Mapping[str, int]] = {}
        self._items: dict[tuple[str, int], Mapping[str, int]] = {}
        self._made: dict[str, dict[int, Mapping[int, Made]]] = {}
        self._whole: set[str] = set()

    def text(self, run: str, name: str, instance: int = WHOLE, *, is_value: bool = False) -> str | None:
        """What a task or its instance handed on in a run; None when it did not, or its output is gone.

        is_value: it is what a function returned, whose output is no product.
        """
        with self._lock:
            made = self._of_task(run, name)
        return self._text_of(run, made.get(instance), is_value)

    def of_item(self, run: str, name: str, item: str, *, is_value: bool = False) -> str | None:
        """Likewise, of the instance that had this item."""
        with self._lock:
            made = self._of_task(run, name)
            instance = self._items_of(run, name).get(item)
        return None if instance is None else self._text_of(run, made.get(instance), is_value)

    def last(
        self, plan_key: str, family: str, name: str, before: str | None = None, *, is_value: bool = False
    ) -> str | None:
        """The product of a task (not a mapped one), from the newest run of the plan, or of its family, in which it was ok.

        before: a run that does not count. None when there is no such run, it handed nothing on, or the output is gone.
        """
        if not os.path.exists(database.path_of(self._folder)):
            return None
        with SqliteArchive(self._folder) as archive:
            found = archive.last_product(plan_key, family, name, before)
        if found is None:
            return None
        run, *made = found
        return self._text_of(run, _made(*made), is_value)

    def last_items(self, plan_key: str, name: str) -> tuple[str, tuple[str, ...]] | None:
        """(run, items) of a mapped task, from the newest run of the plan in which it was ok; None when there is none."""
        if not os.path.exists(database.path_of(self._folder)):
            return None
        with self._lock, SqliteArchive(self._folder) as archive:
            for row in reversed(archive.runs(plan_key)):
                place = self._place(archive, row.run, name)
                items = () if place is None else archive.items(row.run, place).get(place, ())
                if items and all(state == "ok" for _, state, _ in items):
                    return row.run, tuple(item for item, _, _ in items)
        return None

    # -- inside

    def _of_task(self, run: str, name: str) -> Mapping[int, Made]:
        """The last good attempt by instance."""
        known = self._made.setdefault(run, {})
        place = self._places.get(run, {}).get(name)
        if place in known:
            return known[place]
        if run in self._whole and run in self._places:
            return {}
        with SqliteArchive(self._folder) as archive:
            place = self._place(archive, run, name)
            if place is None:
                return {}
            task = place if len(known) < ONE_BY_ONE else None
            found: dict[int, dict[int, Made]] = {place: {}}
            for number, instance, *made in archive.products(run, task):
                found.setdefault(number, {})[instance] = _made(*made)
            known.update(found)
            if task is None:
                self._whole.add(run)
        return known[place]

    def _items_of(self, run: str, name: str) -> Mapping[str, int]:
        """Instances by item."""
        place = self._places.get(run, {}).get(name)
        if place is None:
            return {}
        if (run, place) not in self._items:
            with SqliteArchive(self._folder) as archive:
                items = archive.items(run, place).get(place, ())
            self._items[run, place] = {item: instance for instance, (item, _, _) in enumerate(items)}
        return self._items[run, place]

    def _place(self, archive: SqliteArchive, run: str, name: str) -> int | None:
        if run not in self._places:
            self._places[run] = {name: task for task, name in enumerate(archive.names(run))}
        return self._places[run].get(name)

    def _text_of(self, run: str, made: Made | None, is_value: bool) -> str | None:
        if made is None or made.product is not None or is_value:
            return None if made is None else made.product
        if not made.output.file:
            return ""
        try:
            output = LogReader(self._folder, run).whole(made.output)
        except LogGoneError:
            return None
        return output.decode("utf-8", "replace").removesuffix("\n")


def _made(product: Any, file: Any, offset: int, length: int) -> Made:
    return Made(unpack_text(product), LogRegion(unpack_text(file) or "", offset or 0, length or 0))
