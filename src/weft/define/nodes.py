"""Which nodes a workflow has, so that a second one is found when it is added.

A whole block of distinct nodes is not spelled out as long as it is alone with its template: no other node can equal one of its.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from weft.spec.identity import DIGEST_BYTES

if TYPE_CHECKING:
    from weft.define.blocks import Block


class Clash(NamedTuple):
    """The task in a row of the block that was to be added has the node of the one at that place."""

    row: int
    place: int


class Nodes:
    """Of one workflow: node digest -> place in plan order, by template."""

    def __init__(self) -> None:
        self._whole: dict[bytes, tuple[Block, int]] = {}
        self._places: dict[bytes, dict[bytes, int]] = {}

    def take(self, block: Block, rows: Sequence[int], start: int) -> Clash | None:
        """None: they are there now, from place `start` on. Else nothing is taken."""
        template = block.template.command.digest
        is_alone = template not in self._whole and template not in self._places
        if is_alone and block.size > 1 and block.is_whole(rows) and block.has_distinct_nodes:
            self._whole[template] = (block, start)
            return None
        known = self._known(template)
        added: dict[bytes, int] = {}
        for place, row in enumerate(rows, start):
            node = block.node_digest(row)
            before = known.get(node, added.get(node))
            if before is not None:
                return Clash(row, before)
            added[node] = place
        known.update(added)
        return None

    def find(self, template: bytes, node: bytes) -> int | None:
        """The place of a node."""
        return self._known(template).get(node)

    def forget(self, block: Block, rows: Sequence[int]) -> None:
        """As if they had never been added."""
        template = block.template.command.digest
        whole = self._whole.get(template)
        if whole is not None and whole[0] is block:
            del self._whole[template]
            return
        known = self._known(template)
        for row in rows:
            del known[block.node_digest(row)]

    def _known(self, template: bytes) -> dict[bytes, int]:
        whole = self._whole.pop(template, None)
        known = self._places.setdefault(template, {})
        if whole is not None:
            block, start = whole
            nodes = block.node_digests()
            known.update(
                (nodes[at : at + DIGEST_BYTES], start + at // DIGEST_BYTES) for at in range(0, len(nodes), DIGEST_BYTES)
            )
        return known
