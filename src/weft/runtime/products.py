"""What tasks hand on within a run: kept while a follower may still need it, read back from what is durable.

A product is text: of a function as `weft.values` wrote it (JSON, or a reference to a file that is named by its content), of a
command JSON or captured output that lost one newline at its end (design.md 16). Short text travels with the outcome and becomes
durable with it. What is long stays where the attempt wrote it, in its log or its file; that is made durable before the outcome
is, when a task that has not ended needs it. Products of cached and of unselected tasks are recalled from the run that made them.

Followers that are functions get references as they are, to be read where they are used. All others get plain data. What is kept
only while it is needed (`cache: memory`) loses its file after its last use, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final, Protocol

from weft.ports import SPREAD, Flow, Handed, HandedItem, HandedList, OpenRun
from weft.runtime.orders import ProductError as ProductError
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import MISSING_OUTPUT, TYPE, LogRegion, Outcome
from weft.spec.actions import Call
from weft.spec.fingerprint import digest
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import product_of_parameter
from weft.spec.tasks import Dependency, Task
from weft.spec.types import BUILTIN, problem_of
from weft.values import encoding, plain
from weft.values.items import Item, ItemReader, item_of

SHORT_MOST: Final = 64
"""Characters of a product that is kept in place of its digest until somebody asks for that: it is no more to remember."""

PLAIN_MOST: Final = 1024
"""Characters of JSON that are parsed here for a function; what is longer is parsed where it is used."""


class ProductFiles(Protocol):
    """Where products lie that are too long to travel, and those of earlier runs."""

    @property
    def products(self) -> str:
        """Folder of files that `weft.values` writes."""

    def read(self, region: LogRegion) -> bytes:
        """Output of this run. Raises LookupError when it is gone."""

    def sync(self, region: LogRegion) -> None:
        """Make output of this run durable. Raises LookupError when it is gone, OSError when the disk fails."""

    def sync_product(self, text: str) -> None:
        """Make the file of a reference durable. Raises LookupError when it is gone, OSError."""

    def sync_outputs(self, task: int, instance: int) -> None:
        """Make the declared outputs durable. Raises OSError."""

    def remove_product(self, text: str) -> None:
        """Remove the file of a reference that nobody needs any more."""

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        """Paths that the task or instance makes, as written, slots filled."""

    def recall(self, task: int, instance: int) -> str | None:
        """What an earlier run handed on, for what is cached or was not selected; None when there is nothing."""


class Flows(Protocol):
    """Streams that are still being made."""

    def is_open(self, maker: int) -> bool:
        """Whether a task of this run makes a stream and has not ended. Else its product is what there is."""

    def flow(self, maker: int, bind: str) -> Flow:
        """What a function is given that iterates one."""

    def log_of(self, maker: int) -> str | None:
        """The log that has every item handed on so far; None before there is one."""


class Products:
    """Products of one run by task and instance."""

    def __init__(self, plan: Plan, files: ProductFiles, streams: Flows | None = None):
        self._plan = plan
        self._files = files
        self._streams = streams
        self._kept: dict[tuple[int, int], str | LogRegion] = {}
        self._digests: dict[tuple[int, int], str] = {}
        self._undigested: dict[tuple[int, int], str] = {}
        self._instances: dict[int, Sequence[str]] = {}
        self._lists: dict[int, list[Item]] = {}
        self._groups: dict[str, Mapping[str, Sequence[Dependency]]] = {}
        self._readers: dict[int, ItemReader] = {}
        self._reading = Lock()  # items are looked at by the inspector's thread, too
        self._rows: dict[int, Any] = {}
        self._rooms: Counter[str] = Counter()
        self._unheld: dict[tuple[int, int], str] = {}
        self._wanted = self._count_wanted()

    def _count_wanted(self) -> dict[int, int]:
        """By task whose product is bound: how many followers have not ended yet."""
        wanted: dict[int, int] = {}
        for task in self._plan.graph.tasks:
            if task.dependencies or task.requires.parameters:
                for maker in self._makers(task):
                    wanted[maker] = wanted.get(maker, 0) + 1
        return wanted

    def _makers(self, task: Task) -> list[int]:
        """Whose products `task` takes, or looks at before it starts."""
        index = self._plan.graph.index
        makers = [index[dependency.name] for dependency in task.dependencies if dependency.bind is not None]
        for name in task.requires.parameters:
            required = product_of_parameter(name, self._plan.values, index)
            if required is not None:
                makers.append(required[0])
        foreach = task.policy.foreach
        if foreach is not None and foreach.stream is not None:
            makers.append(index[foreach.stream])
        return makers

    # --- made ------------------------------------------------------------------------------------------------------------

    def accept(self, task: int, instance: int, outcome: Outcome) -> Outcome:
        """Keep the product of an attempt that did its work, durable if somebody waits for it or the store only names its place.

        The outcome, failed when the product is no JSON (`type`) or cannot be had (`missing_output`).
        """
        product = self._plan.graph.tasks[task].policy.product
        if product is None or product.source == "outputs":
            return outcome
        if _is_half(product, outcome.product):
            return outcome
        try:
            is_log = outcome.product is None and product.source != "return"  # too long to be recorded
            if is_log or self._wanted.get(task):
                self._sync(outcome)
            if product.source != "return":  # a function's value was looked at where it was made
                problem = self._type_problem(product, outcome)
                if problem is not None:
                    return _failed(outcome, TYPE, problem)
        except ValueError as error:
            return _failed(outcome, TYPE, f"the output is not JSON: {error}")
        except (LookupError, OSError) as error:
            return _failed(outcome, MISSING_OUTPUT, f"its product cannot be kept: {error}")
        self._keep(task, instance, outcome.product, outcome.stdout)
        return outcome

    def _sync(self, outcome: Outcome) -> None:
        """Make what does not travel durable. Raises LookupError, OSError."""
        if outcome.product is None:
            self._files.sync(outcome.stdout)
        elif outcome.product.startswith("@"):
            self._files.sync_product(outcome.product)

    def _type_problem(self, product: Product, outcome: Outcome) -> str | None:
        """Why what was made is not of its product's type; the value of a captured output is its text. Raises ValueError."""
        if product.source == "stdout" and product.type in ("any", "str"):
            return None
        text = outcome.product if outcome.product is not None else self._text_of(outcome.stdout)
        value = text if product.source == "stdout" else plain.foreign_value_of(text)
        if product.type == "any":
            return None
        problem = problem_of(value, product.type, {**BUILTIN, **self._plan.types})
        return None if problem is None else f"the product is no {product.type}: {problem}"

    def accept_outputs(self, task: int, instance: int, outcome: Outcome) -> Outcome:
        """Likewise for files as a product, once they are known to be there."""
        product = self._plan.graph.tasks[task].policy.product
        if product is None or product.source != "outputs" or not self._wanted.get(task):
            return outcome
        try:
            self._files.sync_outputs(task, instance)
        except OSError as error:
            return _failed(outcome, MISSING_OUTPUT, f"its product cannot be kept: {error}")
        return outcome

    def restore(self, opened: OpenRun) -> None:
        """Resume: what was handed on before, the last good attempt's."""
        for task, items in opened.items.items():
            self.take_items(task, [item for item, _, _ in items])
        tasks = self._plan.graph.tasks
        for row in opened.attempts:
            product = tasks[row.key.task].policy.product
            if (
                row.state == "ok"
                and product is not None
                and product.source != "outputs"
                and not _is_half(product, row.product)
            ):
                self._keep(row.key.task, row.key.instance, row.product, row.stdout)
        for ended in opened.tasks:
            if ended.state == "ok":
                self.ended(ended.task)

    def _keep(self, task: int, instance: int, product: str | None, stdout: LogRegion) -> None:
        self._digests.pop((task, instance), None)
        self._undigested.pop((task, instance), None)
        if instance == WHOLE:
            self._lists.pop(task, None)
        if product is None:
            self._kept[task, instance] = stdout  # small, and its digest may still be asked for
            return
        if len(product) <= SHORT_MOST:
            self._undigested[task, instance] = product
        else:
            self._digests[task, instance] = self._digest_of_text(task, product)
        given = self._plan.graph.tasks[task]
        is_fed = given.policy.foreach is not None and given.policy.foreach.stream is not None
        if given.is_cacheable and (is_fed or (product.startswith("@") and self._is_value(task))):
            self._unheld[task, instance] = product
        if self._wanted.get(task):
            self._kept[task, instance] = product
            if self._is_passing(task):
                self._rooms[product] += 1

    def _digest_of_text(self, task: int, text: str) -> str:
        return encoding.digest_of_value(text) if self._is_value(task) else digest(text)

    def _is_value(self, task: int) -> bool:
        """Whether the product's text is one that `weft.values` wrote; a captured output may begin with anything."""
        product = self._plan.graph.tasks[task].policy.product
        return product is not None and product.source == "return"

    def _is_passing(self, task: int) -> bool:
        """Whether the product is kept only while it is needed."""
        return self._plan.graph.tasks[task].policy.cache == "memory" and self._is_value(task)

    def take_items(self, task: int, items: Sequence[str]) -> None:
        """A mapped task has these instances."""
        self._instances[task] = items

    def add_items(self, task: int, items: Sequence[str]) -> None:
        """A mapped task has these instances more."""
        known = self._instances.get(task, ())
        grown = self._instances[task] = known if isinstance(known, list) else list(known)
        grown.extend(items)

    def ended(self, task: int, *, is_ok: bool = True) -> None:
        """A task has ended for good: what only it still needed is freed. What a later resume may need keeps its file."""
        if not self._wanted:
            return
        for maker in self._makers(self._plan.graph.tasks[task]):
            self._wanted[maker] -= 1
            if not self._wanted[maker]:
                self._free(maker, is_ok)

    def _free(self, maker: int, is_ok: bool) -> None:
        self._lists.pop(maker, None)
        self._rows.pop(maker, None)
        with self._reading:
            if maker in self._readers:
                self._readers.pop(maker).close()
        for instance in range(len(self._instances[maker])) if maker in self._instances else (WHOLE,):
            text = self._kept.get((maker, instance))
            if not isinstance(text, str):
                continue
            del self._kept[maker, instance]
            if text in self._rooms and is_ok:
                self._rooms[text] -= 1
                if not self._rooms[text]:
                    self._files.remove_product(text)

    # --- needed ----------------------------------------------------------------------------------------------------------

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        """What the task or instance handed on, as a digest; None when nothing is known.

        Of a mapped task as a whole: over all of its instances. Called from the inspector's thread.
        """
        if instance != WHOLE or task not in self._instances:
            return self._digest_of(task, instance)
        parts = [self._digest_of(task, number) for number in range(len(self._instances[task]))]
        return digest(parts) if all(part is not None for part in parts) else None

    def _digest_of(self, task: int, instance: int) -> str | None:
        known = self._digests.get((task, instance))
        if known is not None:
            return known
        short = self._undigested.get((task, instance))
        if short is not None:
            return self._digests.setdefault((task, instance), self._digest_of_text(task, short))
        if (task, instance) not in self._kept and instance == WHOLE:
            return None  # of a task that is cached as a whole the inspector has the recorded digest at hand
        try:
            text = self._find(task, instance)
        except LookupError:
            return None
        if text is None:
            return None
        return self._digests.setdefault((task, instance), self._digest_of_text(task, text))

    def text(self, task: int) -> str | None:
        """What a task that is not mapped handed on, as output or JSON; None when it is neither, or not at hand."""
        try:
            text = self._find(task, WHOLE)
            if text is None or not (self._is_value(task) and text.startswith("@")):
                return text
            reference = encoding.parse(text)
            if reference is None or reference.format != "json":
                return None
            return encoding.json_of(text, self._files.products)
        except (LookupError, ValueError, OSError):
            return None

    def held(self, task: int, instance: int, is_by_content: bool) -> str | None:
        """The product to be kept with the result, as `weft.values` writes it; None when the run's own record will do.

        To be asked once, in the inspector's thread. is_by_content: the instance cannot be found again by its item.
        """
        text = self._unheld.pop((task, instance), None)
        if not is_by_content:
            return text
        try:
            text = text if text is not None else self._find(task, instance)
        except LookupError:
            return None
        product = self._plan.graph.tasks[task].policy.product
        if text is None or len(text) > encoding.INLINE_MOST or product is None:
            return None
        return json.dumps(text) if product.source == "stdout" else text

    def items(self, maker: int) -> Sequence[Item] | None:
        """The items of a task's product, for who is mapped over them; None when it has none, or they are not at hand.

        Of a stream that is being made those that there are; of a mapped task its instances' items, whose digests are asked for
        one by one. Called from the inspector's thread.
        """
        if maker in self._instances:
            return [Item("", shown, 0) for shown in self._instances[maker]]
        try:
            log = self._log_of(maker)
            if log is not None:
                return self._items_of_log(maker, log)
            if maker not in self._lists and isinstance(rows := self._plain_rows(maker), list):
                texts = (plain.text_of(row) or json.dumps(row) for row in rows)
                self._lists[maker] = [
                    item_of(text, row, at) for at, (text, row) in enumerate(zip(texts, rows, strict=True))
                ]
        except (LookupError, ValueError, OSError):
            return None
        return self._lists.get(maker)

    def _items_of_log(self, maker: int, log: str) -> Sequence[Item]:
        """Those that are known stay: whoever makes them again makes the same."""
        known = self._lists.setdefault(maker, [])
        with self._reading:
            reader = self._reader(maker, log)
            known.extend(reader.item(index) for index in range(len(known), reader.count))
        return known

    def item(self, task: Task, instance: int) -> Any:
        """What an instance of a task that is mapped over another one's product receives. Raises ProductError."""
        foreach = task.policy.foreach
        assert foreach is not None and foreach.stream is not None
        maker = self._plan.graph.index[foreach.stream]
        is_function = isinstance(task.action, Call)
        if maker in self._instances:
            return self._value(maker, instance, is_function)
        log = self._log_of(maker)
        if log is not None:
            if is_function:
                return HandedItem(log, instance)
            return self._read(maker, lambda: self._plain_item(maker, log, instance))
        rows = self._read(maker, lambda: self._plain_rows(maker))
        if not isinstance(rows, list) or instance >= len(rows):
            raise ProductError(f"the product of {foreach.stream!r} has no item {instance}")
        return rows[instance]

    def _log_of(self, maker: int) -> str | None:
        """The text of a complete item log, or the path of one that grows; None when the product is no log."""
        if self._streams is not None and self._streams.is_open(maker):
            return self._streams.log_of(maker)
        text = self._find(maker, WHOLE) if self._is_value(maker) else None
        return text if text is not None and text.startswith("@items ") else None

    def _plain_rows(self, maker: int) -> Any:
        """The items of a product as plain data, read once as long as somebody needs it; of captured output its lines.

        Raises ProductError, ValueError, LookupError.
        """
        if maker not in self._rows:
            value = self._plain(maker, WHOLE)
            product = self._plan.graph.tasks[maker].policy.product
            if product is not None and product.source == "stdout":
                value = value.split("\n") if value else []
            self._rows[maker] = value
        return self._rows[maker]

    def _plain_item(self, maker: int, log: str, position: int) -> Any:
        with self._reading:
            text = self._reader(maker, log).text(position)
        return self._plain_value(maker, text)

    def _reader(self, maker: int, log: str) -> ItemReader:
        """Of a log that may grow; under the lock."""
        reference = encoding.parse(log) if log.startswith("@") else None
        path = log if reference is None else encoding.path_of(self._files.products, reference)
        known = self._readers.get(maker)
        if known is not None and known.path == path:
            known.refresh()
            return known
        opened = ItemReader(path, self._files.products, reference)
        if known is not None:
            known.close()
        self._readers[maker] = opened
        return opened

    def close(self) -> None:
        """Let go of item logs."""
        with self._reading:
            while self._readers:
                self._readers.popitem()[1].close()

    # --- what followers receive ------------------------------------------------------------------------------------------

    def bound(self, task: Task) -> Mapping[str, Any]:
        """The values that `task` receives from its dependencies, by parameter. Raises ProductError.

        Several dependencies under one parameter give one list, in their order.
        """
        groups = self._groups.get(task.name)
        if groups is None:
            groups = self._groups[task.name] = _groups(task)
        return {
            bind: self._value_of(dependencies[0], task) if len(dependencies) == 1 else self._joined(dependencies, task)
            for bind, dependencies in groups.items()
        }

    def _value_of(self, dependency: Dependency, user: Task) -> Any:
        maker = self._plan.graph.index[dependency.name]
        product = self._plan.graph.tasks[maker].policy.product
        if product is not None and product.source == "outputs":
            paths = self._paths(maker)
            return paths[0] if len(paths) == 1 and maker not in self._instances else paths
        is_function = isinstance(user.action, Call)
        if maker in self._instances:
            return _list_of([self._value(maker, at, is_function) for at in range(len(self._instances[maker]))])
        if product is not None and product.stream and is_function and not dependency.gather:
            return self._flow(maker, dependency.bind or "")
        return self._value(maker, WHOLE, is_function)

    def _joined(self, dependencies: Sequence[Dependency], user: Task) -> Any:
        """One list of what several dependencies hand on: each a member, or all of its instances, or of its items."""
        members: list[Any] = []
        is_function = isinstance(user.action, Call)
        for dependency in dependencies:
            maker = self._plan.graph.index[dependency.name]
            product = self._plan.graph.tasks[maker].policy.product
            if product is not None and product.source == "outputs":
                members += self._paths(maker)
            elif maker in self._instances:
                members += [self._value(maker, at, is_function) for at in range(len(self._instances[maker]))]
            elif product is not None and product.stream and self._is_value(maker):
                members += self._spread(maker, is_function)
            else:
                members.append(self._value(maker, WHOLE, is_function))
        return _list_of(members)

    def _spread(self, maker: int, is_function: bool) -> list[Any]:
        """The items of a complete stream."""
        if is_function:
            return [Handed(SPREAD + self._read(maker, lambda: self._at_hand(maker, WHOLE)))]
        value = self._value(maker, WHOLE, False)
        return value if isinstance(value, list) else [value]

    def _paths(self, maker: int) -> list[str]:
        if maker not in self._instances:
            return list(self._files.outputs(maker))
        return [
            path for instance in range(len(self._instances[maker])) for path in self._files.outputs(maker, instance)
        ]

    def _flow(self, maker: int, bind: str) -> Any:
        if self._streams is not None and self._streams.is_open(maker):
            return self._streams.flow(maker, bind)
        text = self._read(maker, lambda: self._find(maker, WHOLE))
        reference = encoding.parse(text) if text is not None else None
        if reference is None or reference.format != "items":
            return self._value(maker, WHOLE, True)  # a value stands in for the stream
        return Flow(0, encoding.path_of(self._files.products, reference), bind)

    def _value(self, maker: int, instance: int, is_function: bool) -> Any:
        """A product as its follower receives it. Raises ProductError."""
        if not is_function or not self._is_value(maker):
            return self._read(maker, lambda: self._plain(maker, instance))
        text = self._read(maker, lambda: self._at_hand(maker, instance))
        if text.startswith("@") or len(text) > PLAIN_MOST or plain.is_deep(text):
            return Handed(text)
        return plain.value_of(text)

    def _read(self, maker: int, look: Callable[[], Any]) -> Any:
        """What `look` finds of a maker's product. Raises ProductError."""
        try:
            return look()
        except ProductError:
            raise
        except (LookupError, ValueError, OSError) as error:
            name = self._plan.graph.tasks[maker].name
            remedy = encoding.remedy(error)
            raise ProductError(f"the product of {name!r} cannot be read: {error}{remedy}") from error

    def _plain(self, maker: int, instance: int) -> Any:
        text = self._at_hand(maker, instance)
        product = self._plan.graph.tasks[maker].policy.product
        if product is not None and product.source == "stdout":
            return text
        return self._plain_value(maker, text) if self._is_value(maker) else plain.value_of(text)

    def _plain_value(self, maker: int, text: str) -> Any:
        """The value of a text that `weft.values` wrote, for who takes plain data only: nothing is unpickled here."""
        reference = encoding.parse(text)
        if reference is None or reference.format == "json":
            written = encoding.json_of(text, self._files.products)
            if plain.is_deep(written):
                raise ProductError(self._only_for_functions(maker, f"nested more than {plain.DEPTH_MOST} deep"))
            try:
                return plain.value_of(written)
            except ValueError as error:
                if reference is None:
                    raise
                raise encoding.why_unreadable(reference, self._files.products, error) from error
        if reference.format == "items":
            with ItemReader(encoding.path_of(self._files.products, reference), self._files.products, reference) as log:
                return [self._plain_value(maker, log.text(index)) for index in range(log.count)]
        raise ProductError(
            self._only_for_functions(maker, f"no plain data ({reference.format}, {reference.size} bytes)")
        )

    def _only_for_functions(self, maker: int, trait: str) -> str:
        name = self._plan.graph.tasks[maker].name
        return (
            f"the product of {name!r} is {trait}: only a Python function can take it; "
            "let a function make text or JSON of it"
        )

    def _at_hand(self, maker: int, instance: int) -> str:
        text = self._find(maker, instance)
        if text is None:
            task = self._plan.graph.tasks[maker]
            raise ProductError(f"the product of {task.name!r} is not at hand: run it again with --force")
        return text

    def _find(self, task: int, instance: int) -> str | None:
        kept = self._kept.get((task, instance))
        if kept is None:
            return self._files.recall(task, instance)
        return kept if isinstance(kept, str) else self._text_of(kept)

    def _text_of(self, region: LogRegion) -> str:
        return self._files.read(region).decode("utf-8", "replace").removesuffix("\n")


def _is_half(product: Product, text: str | None) -> bool:
    """Of a stream that was ended since nobody took more of it: half a stream is no product."""
    return product.stream and product.source == "return" and text is None


def _groups(task: Task) -> Mapping[str, Sequence[Dependency]]:
    """What a task receives as a whole: dependencies by parameter. Not the one over which it is mapped, nor its input."""
    groups: dict[str, list[Dependency]] = {}
    stdin = task.stdin
    for dependency in task.dependencies:
        if dependency.bind is not None and not dependency.each and dependency is not stdin:
            groups.setdefault(dependency.bind, []).append(dependency)
    foreach = task.policy.foreach
    streamed = foreach.stream if foreach is not None else None
    return {bind: dependencies for bind, dependencies in groups.items() if dependencies[0].name != streamed}


def _list_of(members: list[Any]) -> Any:
    """A list as it is handed over: of texts that are read where they are used, if any of them has to be."""
    if not any(type(member) is Handed for member in members):
        return members
    return HandedList([member.text if type(member) is Handed else json.dumps(member) for member in members])


def _failed(outcome: Outcome, cause: str, detail: str) -> Outcome:
    return outcome._replace(ok=False, cause=cause, detail=detail, product=None)
