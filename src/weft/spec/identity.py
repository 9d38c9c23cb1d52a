"""Identities of templated work (workflows.md 3): what makes two tasks, or two workflows, the same.

Every part is written with a tag and its length before it, keys sorted, so no two different lists of parts have equal bytes.
Values count by their text. Digests are blake2b; they depend on nothing but the values: not on host, Python or hash seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import product
from typing import Any, Final

from weft.errors import ArgumentError, cut

DIGEST_BYTES: Final = 16
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+>")
_EXACT: Final = (str, int, float)


def text_of_value(value: Any) -> str:
    """The text that stands for a value in a command and in identities. Raises ArgumentError when it is not stable."""
    if value.__class__ is str:
        return value
    text = str(value)
    if value.__class__ not in _EXACT:
        if _ADDRESS.search(text):
            raise ArgumentError(f"{cut(text)} shows an address, another one in each process: give it a text of its own")
        if _is_unordered(value):
            raise ArgumentError(f"{cut(text)} has no order, so its text may differ in each process: give a sorted list")
    return text


def plain_value(value: Any) -> str | int | float:
    """The value as a task's parameter: texts and exact numbers as they are, anything else as its text. Raises ArgumentError."""
    return value if value.__class__ in _EXACT else text_of_value(value)


def _is_unordered(value: Any) -> bool:
    """Whether a set of more than one member is in it."""
    pending = [value]
    seen: set[int] = set()
    while pending:
        found = pending.pop()
        if isinstance(found, set | frozenset) and len(found) > 1:
            return True
        if isinstance(found, list | tuple | dict) and id(found) not in seen:
            seen.add(id(found))
            pending.extend([*found.keys(), *found.values()] if isinstance(found, dict) else found)
    return False


# --- bytes -------------------------------------------------------------------------------------------------------------


def encode(tag: bytes, text: str) -> bytes:
    """One part: tag (one byte), length, bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return b"%b%d:%b" % (tag, len(data), data)


def encode_args(values: Mapping[str, Any]) -> bytes:
    """Arguments by name, in the order of their names. Raises ArgumentError."""
    parts = [b"a%d:" % len(values)]
    for name in sorted(values):
        parts += encode(b"k", name), encode(b"v", text_of_value(values[name]))
    return b"".join(parts)


def encode_rows(columns: Iterable[tuple[str, Iterable[Any]]]) -> Iterator[bytes]:
    """What `encode_args` gives for each row of the cross product of values by name, the last name varying fastest."""
    names: list[str] = []
    encoded: list[list[bytes]] = []
    for name, values in columns:
        names.append(name)
        key = encode(b"k", name)
        encoded.append([key + encode(b"v", text_of_value(value)) for value in values])
    head = b"a%d:" % len(names)
    places = sorted(range(len(names)), key=names.__getitem__)
    if places == list(range(len(names))):
        for row in product(*encoded):
            yield head + b"".join(row)
    else:
        for row in product(*encoded):
            yield head + b"".join([row[place] for place in places])


def digest(*parts: bytes) -> bytes:
    """Of parts that delimit themselves."""
    return blake2b(b"".join(parts), digest_size=DIGEST_BYTES).digest()


# --- identities --------------------------------------------------------------------------------------------------------


def template_digest(
    name: str,
    command: str,
    node_args: Iterable[str],
    task_args: Iterable[str],
    op_args: Iterable[str],
    tool: str = "",
) -> bytes:
    """Of a version of a template: the lists of arguments count as sets. tool: its name; tasks of two tools differ."""
    parts = [b"t", encode(b"u", tool), encode(b"n", name), encode(b"c", command)]
    for tag, names in ((b"N", node_args), (b"T", task_args), (b"O", op_args)):
        members = sorted(set(names))
        parts.append(b"%b%d:" % (tag, len(members)))
        parts += [encode(b"k", member) for member in members]
    return digest(*parts)


def node_digest(template: bytes, node_args: bytes) -> bytes:
    """template: its digest. node_args: as `encode_args` writes them."""
    return blake2b(b"N" + template + node_args, digest_size=DIGEST_BYTES).digest()


def task_digest(node: bytes, task_args: bytes) -> bytes:
    """node: its digest. task_args: as `encode_args` writes them."""
    return blake2b(b"T" + node + task_args, digest_size=DIGEST_BYTES).digest()


def workflow_key(tool: str, version: int, workflow_args: str) -> str:
    """What the runs of a workflow are recorded under."""
    parts = encode(b"n", tool), encode(b"v", str(version)), encode(b"w", workflow_args)
    return "workflow:" + digest(b"K", *parts).hex()


def tasks_digest(tasks: Iterable[bytes]) -> str:
    """Of a set of tasks, given by their digests in any order."""
    return digest(b"S", *sorted(tasks)).hex()


def edges_digest(edges: Iterable[tuple[bytes, bytes]]) -> str:
    """Of a set of dependencies: digests of the upstream and the downstream task, in any order."""
    return digest(b"E", *sorted(upstream + downstream for upstream, downstream in edges)).hex()


def workflow_digest(key: str, tasks: str, edges: str) -> str:
    """Of a workflow with its tasks and edges."""
    return digest(b"W", encode(b"k", key), encode(b"t", tasks), encode(b"e", edges)).hex()
