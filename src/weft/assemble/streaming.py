"""The streams of one run, with what of them lies on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from weft.runtime.feeds import Feeds
from weft.runtime.products import ProductError, Products
from weft.runtime.streams import ItemsRead, Streams
from weft.scheduling.streams import is_stream
from weft.spec.plan import Plan

NO_ITEMS = ItemsRead((), (), 0)


class RunStreams:
    """Streams of items and of bytes, both None without any. folder: of the state. products: set before anything starts."""

    def __init__(self, plan: Plan, selected: Sequence[int], folder: str, run: str):
        self._plan = plan
        self._selected = selected
        self._products_folder = os.path.join(folder, "products")
        self._run_folder = os.path.join(folder, "runs", run)
        self._log_folder = os.path.join(folder, "logs", run)
        self.products: Products | None = None
        self.feeds = self._make_feeds()
        self.streams = self._make_streams()

    def _make_feeds(self) -> Feeds | None:
        tasks = self._plan.graph.tasks
        if not any(tasks[task].stdin for task in self._selected if tasks[task].dependencies):
            return None
        return Feeds(self._plan, self._selected, self._log_folder, self._write_input)

    def _make_streams(self) -> Streams | None:
        if self.feeds is None and not any(map(is_stream, self._plan.graph.tasks)):
            return None
        return Streams(
            self._plan, self._selected, os.path.join(self._run_folder, "streams"), self._read_log, self.feeds
        )

    def _read_log(self, path: str, first: int) -> ItemsRead:
        from weft.values.encoding import MissingError
        from weft.values.items import ItemReader

        try:
            with ItemReader(path, self._products_folder) as log:
                items = [log.item(number) for number in range(first, log.count)]
        except MissingError:
            return NO_ITEMS
        return ItemsRead(
            tuple(item.shown for item in items), tuple(item.digest for item in items), sum(item.size for item in items)
        )

    def _write_input(self, task: int) -> str:
        """A product as the file that a program reads: text gets back the line end that products lose."""
        assert self.products is not None
        given = self._plan.graph.tasks[task]
        if given.policy.product is not None and given.policy.product.source == "outputs":
            return os.path.join(self._plan.root, given.outputs[0])
        text = self.products.text(task)
        if text is None:
            raise ProductError(
                f"the product of {given.name!r} is not at hand, or is no text: run it again with --force"
            )
        folder = os.path.join(self._run_folder, "inputs")
        os.makedirs(folder, 0o700, exist_ok=True)
        path = os.path.join(folder, f"{task}.product")
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape") + (b"\n" if text else b""))
        os.rename(f"{path}.new", path)
        return path
