"""What finished work has left, as it is now: declared outputs, and the file of a product that is too long to be recorded.

Stats alone decide as long as they are those that were recorded, and of products as long as nobody has touched the file since;
else the content is hashed again, and that of items always.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from weft.files.contents import UNSETTLED, Contents
from weft.files.search import Place
from weft.ports import Held, ResultRow
from weft.scheduling.freshness import MISSING, Decision, Recorded, decide
from weft.scheduling.reasons import DAMAGED, Reason
from weft.values import encoding
from weft.values.files import ASIDE, Reference, distrust, is_untouched, seal
from weft.values.items import problem_of_items

ITEMS: Final = "@items "
NOT_KEPT: Final = Reason("product_missing", "its product was not kept", "product")


class Remains:
    """Looks at what is left. products: folder of files that `weft.values` writes, None where there is no state folder."""

    def __init__(self, place: Place, contents: Contents, products: str | None):
        self._place = place
        self._contents = contents
        self._products = products

    def judge(self, parts: Mapping[str, str], row: ResultRow, outputs: Sequence[str], hands_on: bool) -> Decision:
        """Whether the work of `row` stands in for a task with these parts and outputs. hands_on: it has a product to keep."""
        then = {path: (size, mtime_ns, inode, digest) for path, size, mtime_ns, inode, digest in row.outputs}
        now = {path: self._output_now(path, then.get(path)) for path in outputs}
        decision = decide(parts, Recorded(row.parts, {path: state[3] for path, state in then.items()}), now)
        if decision.fresh and hands_on:
            reason = NOT_KEPT if row.product is None else self._problem_of(row.held)
            if reason is not None:
                return Decision(False, (reason,))
        return decision

    def _output_now(self, path: str, then: tuple[int, int, int, str] | None) -> str:
        absolute = self._place.absolute(path)
        if then is not None and then[1] != UNSETTLED:
            try:
                found = os.stat(absolute)
            except (OSError, ValueError):
                return MISSING
            if (found.st_size, found.st_mtime_ns, found.st_ino) == then[:3]:
                return then[3]
        state = self._contents.state(absolute)
        return MISSING if state is None else state.digest

    # --- products --------------------------------------------------------------------------------------------------------

    def is_held(self, held: Held | None) -> bool:
        """Whether stats alone tell that a recorded product is as it was.

        Never of items: followers that are mapped over them would take those that can be read for all that there are.
        """
        if held is None or not held.mtime_ns:
            return True
        if held.text.startswith(ITEMS):
            return False
        found = self._find(held.text)
        return found is not None and _stats_of(found) == held[1:] and is_untouched(found)

    def held(self, text: str | None) -> Held | None:
        """What is to be recorded of a product's text; None when its file is not there."""
        if text is None:
            return None
        reference = encoding.parse(text) if text.startswith("@") else None
        if reference is None or reference.inline is not None:
            return Held(text)
        found = self._find(text)
        return None if found is None else Held(text, *_stats_of(found))

    def again(self, held: Held | None) -> Held | None:
        """The same product with the stats that its file has now."""
        return held if self.is_held(held) or held is None else self.held(held.text)

    def _problem_of(self, held: Held | None) -> Reason | None:
        if self._products is None or self.is_held(held):
            return None
        assert held is not None
        reference = encoding.parse(held.text)
        assert reference is not None
        path = encoding.path_of(self._products, reference)
        if not os.path.exists(path):
            if os.path.exists(path + ASIDE):
                return Reason(DAMAGED, f"its product was damaged and set aside: {path}{ASIDE}", "product")
            return Reason("product_missing", f"its product is gone: {path}", "product")
        problem = encoding.verify(self._products, reference)
        if problem is None:
            _seal_again(path, reference)
            problem = problem_of_items(self._products, reference) if held.text.startswith(ITEMS) else None
            if problem is None:
                return None
        else:
            distrust(path)
        return Reason(DAMAGED, f"its product is damaged: {problem}", "product")

    def _find(self, text: str) -> os.stat_result | None:
        """The file of a product; None when it is not there."""
        reference = encoding.parse(text)
        if reference is None or self._products is None:
            return None
        try:
            return os.stat(encoding.path_of(self._products, reference))
        except OSError:
            return None


def _stats_of(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _seal_again(path: str, reference: Reference) -> None:
    """So that the next look need not read it."""
    try:
        seal(path, reference)
    except OSError:
        pass  # a folder that cannot be written: it is read each time
