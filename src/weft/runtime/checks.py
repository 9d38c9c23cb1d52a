"""What workers check the values of functions by: a type with all types that it stands on, as text that travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from weft.spec.products import Product
from weft.spec.types import BUILTIN, Type, lineage

ASKED = tuple(name for name in Type._fields if name not in ("name", "description"))


def checks_of(product: Product | None, types: Mapping[str, Type]) -> str:
    """JSON of {type, each, types}; each: it is the type of each item. Empty when any value will do."""
    if product is None or product.source != "return" or (product.type == "any" and not product.stream):
        return ""
    found: dict[str, dict[str, Any]] = {}
    names = [product.type]
    while names:
        for ancestor in lineage(names.pop(), types):
            if ancestor.name in found or ancestor.name in BUILTIN:
                continue
            found[ancestor.name] = _as_data(ancestor)
            if ancestor.items is not None:
                names.append(ancestor.items)
    return json.dumps({"type": product.type, "each": product.stream, "types": found}, sort_keys=True)


def _as_data(described: Type) -> dict[str, Any]:
    values = {name: getattr(described, name) for name in ASKED}
    return {name: value for name, value in values.items() if value is not None and value != ()}
