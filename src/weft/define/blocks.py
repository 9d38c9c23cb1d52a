"""The tasks of one call, as columns: values of each node argument once, and arithmetic instead of a row for each task.

Layout: row i of a block takes from a column of stride s the value `(i // s) % len(values)`; the last column varies fastest.
Two hundred thousand tasks are two hundred thousand handles (`WorkflowTask`) of three words. Names and digests are made for
all rows when the first is asked for. What one task says for itself is kept beside, by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.define.mistakes import show
from weft.define.treatments import PLAIN, Treatment
from weft.errors import ArgumentError
from weft.spec.command_templates import NAME_LIMIT, safe_text, shorten_name
from weft.spec.identity import (
    DIGEST_BYTES,
    encode_args,
    encode_rows,
    node_digest,
    plain_value,
    task_digest,
    text_of_value,
)
from weft.spec.slots import has_nul

if TYPE_CHECKING:
    from weft.define.templates import TaskTemplate
    from weft.define.workflow_tasks import WorkflowTask
    from weft.define.workflows import WorkflowDraft

NARROW: Final = 64
"""Upstreams up to which each of them knows its followers by itself; with more, their block searches."""

NOT_HERE: Final = -1
"""The place of a row that a workflow does not have."""


class Own:
    """What one task of a block says beside the others. treatment: the whole of it, None: as its block."""

    __slots__ = ("name", "treatment", "upstreams")

    def __init__(self) -> None:
        self.name: str | None = None
        self.treatment: Treatment | None = None
        self.upstreams: dict[tuple[Block, int], WorkflowTask] | None = None


NOBODY: Final[dict[int, Own]] = {}


class Layout(NamedTuple):
    """Where a block keeps each argument: columns in the order of the call, then values that all rows share.

    args: names of all of them, in that order; a view of `places`: name -> place.
    """

    columns: int
    places: dict[str, int]
    args: KeysView[str]


class Row(Mapping[str, Any]):
    """Every argument of one task: the parameters of a plan's task, at a fifth of a dict's size."""

    __slots__ = ("_block", "_row")

    def __init__(self, block: Block, row: int):
        self._block = block
        self._row = row

    def __getitem__(self, name: str) -> Any:
        block = self._block
        layout = block.layout
        place = layout.places[name]
        if place >= layout.columns:
            return block.shared[place - layout.columns]
        values = block.columns[place]
        return values[self._row // block.strides[place] % len(values)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._block.layout.args)

    def keys(self) -> KeysView[str]:
        """The very object that is shared: making a dict of a row asks for it."""
        return self._block.layout.args

    def __len__(self) -> int:
        return len(self._block.layout.args)

    def __repr__(self) -> str:
        return repr(dict(self))


class Block:
    """columns: values of each node argument. shared: of each other argument. upstreams: what all its tasks wait for.

    prefix: of the names. name: of the only task. limit: of tasks at a time, None: not given.
    """

    __slots__ = (
        "_names",
        "_nodes",
        "_tasks",
        "_upstream_places",
        "columns",
        "followers",
        "homes",
        "layout",
        "limit",
        "name",
        "own",
        "prefix",
        "shared",
        "size",
        "strides",
        "template",
        "treatment",
        "upstreams",
        "wide_followers",
    )

    def __init__(
        self,
        template: TaskTemplate,
        layout: Layout,
        columns: Iterable[Iterable[Any]],
        shared: Iterable[Any],
        treatment: Treatment = PLAIN,
        upstreams: tuple[WorkflowTask, ...] = (),
        prefix: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ):
        self.template = template
        self.layout = layout
        self.columns = tuple([tuple(map(_plain, values)) for values in columns])
        self.shared = tuple(map(_plain, shared))
        self.treatment = treatment
        self.upstreams = upstreams
        self.prefix = safe_text(template.name) if prefix is None else prefix
        self.name = name
        self.limit = limit
        self.strides, self.size = _strides(self.columns)
        self.own: dict[int, Own] = NOBODY  # till one says something
        self.homes: tuple[WorkflowDraft, ...] = ()
        self.followers: dict[int, list[Block | WorkflowTask]] | None = None
        self.wide_followers: list[Block | WorkflowTask] | None = None
        self._names: list[str] | None = None
        self._nodes: bytes | None = None
        self._tasks: bytes | None = None
        self._upstream_places: dict[Block, set[int]] | None = None

    # --- rows ------------------------------------------------------------------------------------------------------------

    def is_whole(self, rows: Sequence[int]) -> bool:
        """Whether these are all rows, in order."""
        return len(rows) == self.size and rows == list(range(self.size))

    def values(self, row: int) -> Mapping[str, Any]:
        """Every argument of a task."""
        return Row(self, row)

    @property
    def named_columns(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Node arguments with their values, the last one varying fastest."""
        return list(zip(self.layout.args, self.columns, strict=False))

    def _shared_args(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.shared[self.layout.places[name] - self.layout.columns] for name in names}

    def rows_where(self, wanted: Mapping[str, set[str]]) -> Iterator[int]:
        """Rows whose node arguments have one of these texts each."""
        choices: list[list[int]] = []
        for (name, values), stride in zip(self.named_columns, self.strides, strict=True):
            texts = wanted.get(name)
            choices.append(
                [place * stride for place, value in enumerate(values) if texts is None or text_of_value(value) in texts]
            )
        return map(sum, product(*choices))

    @property
    def has_distinct_nodes(self) -> bool:
        """Whether no two rows have equal node arguments."""
        return all(len(set(map(text_of_value, values))) == len(values) for values in self.columns)

    # --- names -----------------------------------------------------------------------------------------------------------

    def default_names(self) -> list[str]:
        """Of all rows, as long as no task says its own."""
        if self._names is None:
            self._names = [self.name] if self.name is not None else self._made_names()
        return self._names

    def _made_names(self) -> list[str]:
        command = self.template.command
        if not command.node_args:
            pieces = [f"{arg}-{safe_text(value)}" for arg, value in self._shared_args(command.task_args).items()]
            return [shorten_name("_".join([self.prefix, *pieces]))]
        columns = [[f"_{arg}-{safe_text(value)}" for value in values] for arg, values in self.named_columns]
        prefix = self.prefix
        if len(columns) == 1:
            names = [prefix + piece for piece in columns[0]]
        else:
            places = [self.layout.places[arg] for arg in command.node_args]
            names = [prefix + "".join([row[place] for place in places]) for row in product(*columns)]
        return [name if len(name) <= NAME_LIMIT else shorten_name(name) for name in names]

    def has_default_name(self, row: int) -> bool:
        """Whether nobody has given the task its name."""
        own = self.own.get(row)
        return self.name is None and (own is None or own.name is None)

    def name_of(self, row: int) -> str:
        own = self.own.get(row)
        return self.default_names()[row] if own is None or own.name is None else own.name

    # --- identities ------------------------------------------------------------------------------------------------------

    def node_digests(self) -> bytes:
        """Of all rows, one after the other."""
        if self._nodes is None:
            self._digest()
        assert self._nodes is not None
        return self._nodes

    def task_digests(self) -> bytes:
        """Of all rows, one after the other."""
        if self._tasks is None:
            self._digest()
        assert self._tasks is not None
        return self._tasks

    def node_digest(self, row: int) -> bytes:
        return self.node_digests()[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]

    def task_digest(self, row: int) -> bytes:
        return self.task_digests()[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]

    def task_digests_of(self, rows: Sequence[int]) -> list[bytes]:
        """Of these rows."""
        digests = self.task_digests()
        return [digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] for row in rows]

    def names_of(self, rows: Sequence[int]) -> list[str]:
        """Of these rows."""
        names = self.default_names()
        if self.own:
            return [self.name_of(row) for row in rows]
        return names if self.is_whole(rows) else [names[row] for row in rows]

    def _digest(self) -> None:
        command = self.template.command
        task_args = encode_args(self._shared_args(command.task_args))
        nodes = [node_digest(command.digest, row) for row in encode_rows(self.named_columns)]
        self._nodes = b"".join(nodes)
        self._tasks = b"".join([task_digest(node, task_args) for node in nodes])

    # --- what one task says ----------------------------------------------------------------------------------------------

    def own_of(self, row: int) -> Own:
        """Room for it."""
        found = self.own.get(row)
        if found is None:
            if self.own is NOBODY:
                self.own = {}
            found = self.own[row] = Own()
        return found

    def treatment_of(self, row: int) -> Treatment:
        own = self.own.get(row)
        return self.treatment if own is None or own.treatment is None else own.treatment

    # --- who waits for whom ----------------------------------------------------------------------------------------------

    def tell_upstreams(self) -> None:
        """Lets them know that this block follows them."""
        if len(self.upstreams) <= NARROW:
            for task in self.upstreams:
                task._block.tell_follower(task._row, self)
        else:
            for block in dict.fromkeys([task._block for task in self.upstreams]):
                block._tell_wide_follower(self)

    def _tell_wide_follower(self, follower: Block | WorkflowTask) -> None:
        if self.wide_followers is None:
            self.wide_followers = []
        self.wide_followers.append(follower)

    def tell_follower(self, row: int, follower: Block | WorkflowTask) -> None:
        """A task, or all tasks of a block, wait for the one in this row."""
        if self.size == 1:
            self._tell_wide_follower(follower)
            return
        if self.followers is None:
            self.followers = {}
        self.followers.setdefault(row, []).append(follower)

    def followers_of(self, row: int) -> Iterator[Block | WorkflowTask]:
        """Who waits for the task in this row."""
        if self.followers is not None:
            yield from self.followers.get(row, ())
        for follower in self.wide_followers or ():
            if self.size == 1 or (isinstance(follower, Block) and row in follower.upstream_places()[self]):
                yield follower

    def upstream_places(self) -> Mapping[Block, set[int]]:
        """Rows by block of what all tasks of this one wait for."""
        if self._upstream_places is None:
            places: dict[Block, set[int]] = {}
            for task in self.upstreams:
                places.setdefault(task._block, set()).add(task._row)
            self._upstream_places = places
        return self._upstream_places


def _plain(value: Any) -> str | int | float:
    plain = plain_value(value)
    if has_nul(plain):
        raise ArgumentError(f"{show(value)} holds a NUL character, which no command can")
    return plain


def layout_of(columns: Iterable[str], shared: Iterable[str]) -> Layout:
    """columns: names in the order of the call. shared: names of the other arguments."""
    names = tuple(columns)
    places = {name: place for place, name in enumerate((*names, *shared))}
    return Layout(len(names), places, places.keys())


def _strides(columns: tuple[tuple[Any, ...], ...]) -> tuple[tuple[int, ...], int]:
    """(of each column, rows in all)."""
    if len(columns) == 1:
        return _ONE_COLUMN, len(columns[0])
    sizes = [len(values) for values in columns]
    return tuple([prod(sizes[place + 1 :]) for place in range(len(sizes))]), prod(sizes)


_ONE_COLUMN: Final = (1,)


def rows_of(tasks: Sequence[WorkflowTask]) -> Iterator[tuple[Block, Sequence[int]]]:
    """The tasks in order, as runs of rows of one block each."""
    start, end = 0, len(tasks)
    while start < end:
        block = tasks[start]._block
        stop = start + 1
        if block.size > 1:
            while stop < end and tasks[stop]._block is block:
                stop += 1
        yield block, [task._row for task in tasks[start:stop]]
        start = stop
