"""What a parameter receives from a dependency, compared with what its hint says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from weft.define.hints import Hint, contradicts, resolved
from weft.define.mistakes import Mistakes
from weft.define.signatures import Signature
from weft.define.types import LIST_OF, STREAM_OF, Find, builtin_of, lineage, split
from weft.errors import cut
from weft.spec.tasks import Dependency

if TYPE_CHECKING:
    from weft.define.tasks import TaskDefinition


class _Received(NamedTuple):
    """A type, or an iterator over items of one. fills: it is one item of a list that is received."""

    type: str
    is_stream: bool = False
    fills: bool = False

    def __str__(self) -> str:
        return f"{STREAM_OF}({self.type})" if self.is_stream else self.type


class Receiving:
    """Compares hints with products. look_up: a definition by its task's name."""

    def __init__(self, find: Find, look_up: Callable[[str], TaskDefinition | None]):
        self._find = find
        self._look_up = look_up

    def check(self, edges: Iterable[Dependency], signature: Signature, mistakes: Mistakes) -> None:
        """Tell each dependency whose product cannot be what its parameter is hinted to take."""
        edges = tuple(edges)
        for edge in edges:
            parameter = signature.parameters.get(edge.bind) if edge.bind is not None else None
            maker = self._look_up(edge.name)
            if parameter is None or parameter.hint is None or maker is None:
                continue
            is_shared = sum(other.bind == edge.bind for other in edges) > 1
            hint, received = resolved(parameter.hint, self._find), self._received(edge, maker, is_shared)
            if self._is_contradicted(hint, received):
                said = f"{STREAM_OF}({hint.type})" if hint.is_stream else hint.type
                got = f"a list of {str(received)!r}" if received.fills else repr(str(received))
                message = (
                    f"its parameter {edge.bind!r} is hinted to take {said!r}, and {cut(edge.name)!r} hands on {got}"
                )
                mistakes.add("shape.conflict", message, "change the hint, or that task's product", location=edge.bind)

    def _received(self, edge: Dependency, maker: TaskDefinition, is_shared: bool) -> _Received:
        product = maker.product
        is_mapped = maker.policy.foreach is not None
        whole = f"{LIST_OF}({product.type})" if product.stream else product.type
        if edge.each:
            if is_mapped:
                return _Received(whole)
            return _Received(product.type if product.stream else self._items_of(product.type))
        if is_mapped:
            return _Received(whole, fills=True)
        if product.stream:
            return _Received(product.type, fills=True) if edge.gather else _Received(product.type, is_stream=True)
        return _Received(product.type, fills=is_shared)

    def _items_of(self, name: str) -> str:
        """Type of the items of a list."""
        return next((each.items for each in lineage(name, self._find) if each.items is not None), None) or "any"

    def _is_contradicted(self, hint: Hint, received: _Received) -> bool:
        find = self._find
        if received.is_stream:
            if hint.is_stream:
                return contradicts(received.type, hint.type, find)
            return builtin_of(hint.type, find) != "any"
        if hint.is_stream:  # a list may stand in for a stream
            return not received.fills and builtin_of(received.type, find) not in ("any", "list")
        if not received.fills:
            return contradicts(received.type, hint.type, find)
        if builtin_of(hint.type, find) not in ("any", "list"):
            return True
        items = split(hint.type)
        return items is not None and contradicts(received.type, items[1], find)
