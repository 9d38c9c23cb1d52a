"""A task that stands for a value: what `replace` puts in the place of a task whose product is known beforehand.

It is a snippet that prints the value as JSON, and its product is that JSON. So it is a task like any other: it can be listed,
recorded, fingerprinted and read by every executor, and the closed union of actions needs no sixth member that all of them would
have to know. A snippet, because a command's argument is limited (128 KiB on Linux) and would need a program on the path.

What stands for a stream, or for the products of a mapped task, is a function that gives its argument back: so it makes a stream,
or has instances, and those that take items find what they found before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from weft.spec.actions import Call, Snippet
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.resources import NO_CORES
from weft.spec.tasks import Policy, Task

# A function of the standard library that gives its argument back: it can be imported wherever a worker runs.
_GIVE_BACK: Final = Call("typing:cast")


def given(name: str, value: Any, like: Policy | None = None, type_name: str = "any") -> Task:
    """A task without dependencies whose product is `value`. like: whose tags, attributes and description it keeps.

    Raises TypeError, ValueError for what JSON cannot say.
    """
    text = json.dumps(value, allow_nan=False, default=_plain)
    policy = Policy(product=Product("json", type_name), resources=NO_CORES)
    if like is not None:
        policy = Policy(
            product=policy.product,
            resources=NO_CORES,
            tags=like.tags,
            attributes=like.attributes,
            priority=like.priority,
            description=like.description,
        )
    return Task(name, Snippet(f"print({text!r})\n"), policy=policy)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no plain data")


def given_back(name: str, value: Any, like: Policy, product: Product) -> Task:
    """The same for a stream, for a mapped task (`value` is a list of what its instances make), and for what is no plain data."""
    plain = given(name, None, like).policy
    if like.foreach is not None and isinstance(value, list):
        policy = replace(
            plain, product=Product("return", product.type), foreach=Foreach(values=tuple(value), bind="val")
        )
        return Task(name, _GIVE_BACK, parameters={"typ": None}, policy=policy)
    made = Product("return", "list") if like.foreach is not None else Product("return", product.type, product.stream)
    return Task(name, _GIVE_BACK, parameters={"typ": None, "val": value}, policy=replace(plain, product=made))
