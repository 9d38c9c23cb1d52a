"""What is found when a task is looked at before its start, and what is remembered of its work after: no threads here.

A look checks requirements, takes items, and compares the fingerprint and the outputs with what finished work has left. Whoever
calls from several threads must not look at one task twice at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, Final

from weft.files.beginnings import Beginning, Beginnings, changed_since
from weft.files.contents import Contents, UnreadableError
from weft.files.fingerprints import Fingerprints, outputs_of
from weft.files.given import History, Products
from weft.files.glances import Glances
from weft.files.instances import Instances
from weft.files.remains import Remains
from weft.files.requirements import (
    NOTHING_REQUIRED,
    SHARED_MEMORY_FOLDER,
    Findings,
    Surroundings,
    bound_files,
    bound_item,
    check,
    item_binder,
    source_files,
    unmet_match,
)
from weft.files.search import Place
from weft.files.watched import Sieve
from weft.ports import BegunRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.freshness import UP_TO_DATE, Decision, decide
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import MISSING_OUTPUT
from weft.scheduling.reasons import Reason
from weft.spec.fingerprint import combine, digest
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS, product_of_parameter
from weft.spec.slots import text_of
from weft.spec.tasks import Task
from weft.values import plain
from weft.values.items import Item

SHOWN_OUTPUTS: Final = 5  # paths that a detail names
SHOWN_REASONS: Final = 10
PRODUCTS: Final = "products"
"""Folder in the state folder of files that `weft.values` writes."""


class Examiner:
    """Looks at the tasks of one plan.

    run: of the rows that it makes. is_caching: whether finished work may stand in and is remembered. before_long: called before
    what may take long. sieve: of `weft watch`: files that count. Then work whose product nobody sees counts by what it was
    made from, because what follows it is to follow each time.
    """

    def __init__(
        self,
        plan: Plan,
        place: Place,
        history: History,
        run: str,
        products: Products,
        *,
        is_caching: bool,
        before_long: Callable[[], None],
        is_stopped: Callable[[], bool],
        shared_memory: str = SHARED_MEMORY_FOLDER,
        plan_digest: str = "",
        sieve: Sieve | None = None,
    ):
        self.plan = plan
        self.tasks: Sequence[Task] = plan.graph.tasks
        self.is_caching = is_caching
        self.contents = Contents(history.files, before_long, is_stopped=is_stopped)
        self.results: deque[ResultRow] = deque()
        self._place = place
        self._run = run
        self._plan_digest = plan_digest if sieve is None else ""  # stats of files tell nothing of a sieve
        self._sieve = sieve
        self._made_from: dict[int, str] = {}
        self._products = products
        self._history = history
        self._recorded: dict[tuple[str, str], ResultRow] | None = None
        self._older: Mapping[tuple[str, str, str], ResultRow] | None = None
        self._remembered: frozenset[str] | None = None
        self._loading = Lock()
        worked = None if sieve is None else self._made_from.get
        self._fingerprints = Fingerprints(plan, place, self.contents, self._product, self._made, worked)
        state = place.state_folder
        self._remains = Remains(place, self.contents, None if state is None else os.path.join(state, PRODUCTS))
        self._glances: Glances | None = None
        if is_caching and self._plan_digest:
            recorded, token = self._results_by_name, history.token
            self._glances = Glances(
                plan, place, self.contents, self._fingerprints, self._remains, recorded, self._plan_digest, token
            )
        self._surroundings = Surroundings(
            place, self._lack_of_parameter, shared_memory, before_long=before_long, is_stopped=is_stopped
        )
        self._findings: dict[int, Findings] = {}
        self._binders: dict[int, Callable[[str], str | None]] = {}
        self._items: dict[int, tuple[str, ...]] = {}
        self.beginnings = Beginnings()
        self._kept: set[int] = set()
        self._instances: dict[int, Instances] = {}

    def needs_look(self, task: int) -> bool:
        """Whether there is anything to look at before the task starts."""
        given = self.tasks[task]
        if _requires_something(given):
            return True
        return given.policy.foreach is not None or (self.is_caching and given.is_cacheable)

    def recover_items(self, task: int, items: Sequence[str]) -> None:
        """Resume: a mapped task keeps these items. Before the first `ask`."""
        self._items[task] = tuple(items)

    def items(self, task: int) -> tuple[str, ...]:
        """The items of a mapped task; empty before they are known."""
        known = self._items.get(task)
        foreach = self.tasks[task].policy.foreach
        if known is None and foreach is not None and foreach.values is not None:
            known = self._items[task] = tuple(text_of(value) for value in foreach.values)
        return known or ()

    def item(self, task: int, instance: int) -> str:
        """The item of an instance; of another task's product also one that was made since the last look."""
        known = self.items(task)
        if instance < len(known) or not self._is_fed(task):
            return known[instance]
        made = self._made_items(task)
        return made[instance].shown if instance < len(made) else str(instance)

    def _is_fed(self, task: int) -> bool:
        """Whether its items come from another task's product."""
        foreach = self.tasks[task].policy.foreach
        return foreach is not None and foreach.stream is not None

    def _made_items(self, task: int) -> Sequence[Item]:
        """The items that there are by now of a task that is mapped over another one's product."""
        foreach = self.tasks[task].policy.foreach
        if foreach is None or foreach.stream is None:
            return ()
        return self._products.items(self.plan.graph.index[foreach.stream]) or ()

    def _digest_of_item(self, task: int, instance: int) -> str:
        """Of an item of another task's product (hex); empty when that has not been made."""
        foreach = self.tasks[task].policy.foreach
        assert foreach is not None and foreach.stream is not None
        maker = self.plan.graph.index[foreach.stream]
        if self.tasks[maker].policy.foreach is None:
            made = self._products.items(maker) or ()
            return made[instance].digest if instance < len(made) else ""
        if maker in self._instances and instance in self._instances[maker].fresh:
            row = self.recorded(maker, instance)
            if row is not None and row.product is not None:
                return row.product
        return self._products.digest(maker, instance) or ""

    def _name_of(self, task: int, instance: int) -> str:
        """By which the finished work of a task or instance is found; for an item of another task's product its content."""
        if instance == WHOLE:
            return ""
        return f"#{self._digest_of_item(task, instance)}" if self._is_fed(task) else self.items(task)[instance]

    def recorded(self, task: int, instance: int = WHOLE) -> ResultRow | None:
        """The finished work that stands in for a task or instance that is up to date. After its answer only."""
        return self._results_by_name().get((self.tasks[task].name, self._name_of(task, instance)))

    def has_results(self, task: int) -> bool:
        """Whether finished work of the task, or of an instance of it, is remembered."""
        if self._remembered is None:
            self._remembered = frozenset(name for name, _ in self._results_by_name())
        return self.tasks[task].name in self._remembered

    def own_parts(self, task: int) -> Mapping[str, str]:
        """The parts of the task's fingerprint that follow from the plan alone."""
        return self._fingerprints.own_parts(task)

    def finished_work(self) -> Iterator[ResultRow]:
        """All that is remembered of the plan's tasks and instances."""
        yield from self._results_by_name().values()
        yield from self._older_results().values()

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, str | list[str] | None]:
        """Parameter -> path, or sorted paths, of what requirements bind, as the last look found it.

        Of an instance the parameters of sources that its file did not come from are None.
        """
        given = self.tasks[task]
        if given.requires is NO_REQUIREMENTS:
            return {}
        foreach = given.policy.foreach
        if instance == WHOLE or foreach is None or not foreach.files:
            return bound_files(given.requires, self._findings.get(task, NOTHING_REQUIRED))
        item = self._items[task][instance]
        return bound_item(given.requires, self._binder(task)(item), item)

    def outputs(self, task: int, instance: int = WHOLE) -> tuple[str, ...]:
        """Paths that the task or instance is to make, slots filled."""
        given = self.tasks[task]
        if instance == WHOLE or not given.outputs:
            return outputs_of(self.plan, given)
        return outputs_of(self.plan, given, self._item_values(task, instance))

    def outputs_with(self, task: int, items: Sequence[str]) -> list[tuple[str, ...]]:
        """What each instance of a mapped task is to make when it has these items. Instead of a look, not beside one."""
        given = self.tasks[task]
        self._items[task] = tuple(items)
        if given.outputs and given.policy.foreach is not None and given.policy.foreach.files:
            self._findings[task] = self.check(task)  # tells the sources apart
        return [self.outputs(task, instance) for instance in range(len(items))]

    def missing_outputs(self, task: int, instance: int) -> tuple[str, str] | None:
        """(cause, detail) when a declared output does not exist."""
        missing = [path for path in self.outputs(task, instance) if not _exists(self._place.absolute(path))]
        if not missing:
            return None
        more = len(missing) - SHOWN_OUTPUTS
        named = ", ".join(missing[:SHOWN_OUTPUTS]) + (f" and {more} more" if more > 0 else "")
        return MISSING_OUTPUT, f"declared output{'s' * (len(missing) > 1)} not made: {named}"

    def check(self, task: int) -> Findings:
        """Whether the task's requirements hold."""
        given = self.tasks[task]
        if not _requires_something(given):
            return NOTHING_REQUIRED
        surroundings = self._surroundings
        if self._sieve is not None:
            surroundings = replace(surroundings, shows=partial(self._sieve.shows, given))
        return check(given.requires, surroundings)

    def _binder(self, task: int) -> Callable[[str], str | None]:
        binder = self._binders.get(task)
        if binder is None:
            findings = self._findings.get(task)
            if findings is None:  # an earlier engine has looked
                findings = self._findings[task] = self.check(task)
            binder = self._binders[task] = item_binder(self.tasks[task].requires, findings)
        return binder

    def _item_values(self, task: int, instance: int) -> dict[str, Any]:
        """What an instance adds to its task's parameters."""
        foreach = self.tasks[task].policy.foreach
        assert foreach is not None
        item = self.item(task, instance)
        if foreach.values is not None:
            return {} if foreach.bind is None else {foreach.bind: foreach.values[instance]}
        values: dict[str, Any] = {} if foreach.bind is None else {foreach.bind: item}
        return {**self.bound(task, instance), **values}

    def glance(self, task: int) -> Inspected | None:
        """The answer of `look` when the task is up to date and stats alone can tell; None when it takes a look."""
        return self._glances.at(task) if self._glances is not None else None

    def close(self) -> None:
        """After the last look, when all results are stored: what the next run is to see at a glance."""
        if self._glances is not None:
            self._glances.keep()

    def recover_begun(self, rows: Sequence[BegunRow]) -> Sequence[tuple[int, int]]:
        """Resume: what attempts were begun with. (task, instance) of those that `keep` is due for."""
        if not self.is_caching:  # what is begun from now on is not looked at
            self.beginnings.news.extend(row._replace(is_over=True) for row in rows)
            return ()
        self.recover_fingerprints({row.task: row.fingerprint for row in rows if row.fingerprint is not None})
        return self.beginnings.recover(rows)

    def recover_fingerprints(self, found: Mapping[int, str]) -> None:
        """Resume: of tasks that are ok or under way."""
        self._made_from.update(found)

    def look(self, task: int, is_forced: bool, only: Collection[int] | None = None) -> Inspected:
        """What the world is like for a task that would start now. only: instances that would; None: all."""
        given = self.tasks[task]
        findings = self.check(task)
        if findings.unmet is not None:
            return Inspected(task, findings.unmet, findings.detail)
        if findings is not NOTHING_REQUIRED:
            self._findings[task] = findings
            self._binders.pop(task, None)
        items = None
        if given.policy.foreach is not None:
            items = self._take_items(task, given, findings)
            if given.policy.foreach.files and not items:
                return Inspected(task, _unmet_source(given), "none of its sources has a file")
        if not (self.is_caching and given.is_cacheable):
            return Inspected(task, items=items)
        try:
            if items is None:
                return self._compare(task, given, findings, is_forced)
            return self._compare_items(task, given, findings, items, is_forced, only)
        except UnreadableError as error:
            self.beginnings.forget(task, range(len(items or ())) if only is None else only)
            return Inspected(task, items=items, reasons=(Reason("input_unreadable", str(error)),))

    def _take_items(self, task: int, given: Task, findings: Findings) -> tuple[str, ...]:
        """Taken once: a later look, or a resumed run, keeps them."""
        known = self.items(task)
        foreach = given.policy.foreach
        if self._is_fed(task):
            made = self._made_items(task)
            if len(made) > len(known):
                more = tuple(made[place].shown for place in range(len(known), len(made)))
                known = self._items[task] = known + more
        elif not known and foreach is not None and foreach.files:
            known = source_files(given.requires, findings)
            if self._sieve is not None:
                known = tuple(item for item in known if self._sieve.admits(given, item))
            self._items[task] = known
        return known

    def _compare(self, task: int, given: Task, findings: Findings, is_forced: bool) -> Inspected:
        parts = self._fingerprints.parts(task, findings)
        row = self._row_for(given, "", parts)
        decision = self._judge(given, parts, row, outputs_of(self.plan, given), is_forced)
        if decision.fresh and row is not None:
            row = self._confirm(row)
        fingerprint = row.fingerprint if row is not None and row.parts == parts else combine(parts)
        self._made_from[task] = fingerprint
        if not decision.fresh or task in self.beginnings:  # up to date or not: it is tried again
            self.beginnings.begin(task, parts, fingerprint)
        return Inspected(task, None, None, None, decision.fresh, fingerprint, frozenset(), decision.reasons)

    def _compare_items(
        self,
        task: int,
        given: Task,
        findings: Findings,
        items: tuple[str, ...],
        is_forced: bool,
        only: Collection[int] | None,
    ) -> Inspected:
        """Instances that another look has compared stay as they were found: items come while the task goes on."""
        parts: Mapping[str, str] = self._fingerprints.parts(task, findings)
        is_fed = self._is_fed(task)
        beginnings = self.beginnings
        known = beginnings.shared(task) if is_fed else None
        if not is_fed:
            self._instances.pop(task, None)
        if known is not None:
            parts = known  # of the first look: those that came later read no less
        elif only is None or is_fed:
            beginnings.begin(task, parts)
        seen = self._instances.setdefault(task, Instances())
        binder = self._binder(task)
        for instance in range(seen.done, len(items)):
            digest = self._digest_of_item(task, instance) if is_fed else ""
            if instance in seen or (is_fed and not digest):
                continue
            item = items[instance]
            own = self._fingerprints.item_part(given, instance, item, binder(item), digest)
            seen.add(instance, own)
            # Of the others, an attempt may be under way that read something else.
            if only is None or instance in only or (is_fed and not beginnings.is_taken_over(task, instance)):
                beginnings.begin_item(task, instance, parts, own)
            whole = {**parts, own[0]: own[1]}
            row = self._row_for(given, f"#{digest}" if is_fed else item, whole)
            decision = self._judge(given, whole, row, self.outputs(task, instance), is_forced)
            if decision.fresh and row is not None:
                self._confirm(row)
                seen.fresh.add(instance)
            elif len(seen.reasons) < SHOWN_REASONS:
                seen.reasons.update(dict.fromkeys(decision.reasons))
        for instance in only or () if is_fed else ():
            beginnings.begin_anew(task, instance, parts)
        is_whole = seen.done == len(items)
        fingerprint = combine({**parts, "items": seen.own_parts}) if is_whole else None
        if fingerprint is not None:
            self._made_from[task] = fingerprint
            if not is_fed and only is None:
                beginnings.begin(task, parts, fingerprint)
        reasons = tuple(seen.reasons) or UP_TO_DATE.reasons
        if 0 < len(seen.fresh) < len(items):
            text = f"{len(seen.fresh)} of {len(items)} instances are up to date, the others are not"
            reasons = (Reason("instances_fresh", text), *reasons)
        all_fresh = len(seen.fresh) == len(items)
        return Inspected(task, None, None, items, all_fresh, fingerprint, frozenset(seen.fresh), reasons)

    def _row_for(self, given: Task, item: str, parts: Mapping[str, str]) -> ResultRow | None:
        """The finished work to compare with: the latest, unless earlier work was made from just these parts."""
        latest = self._results_by_name().get((given.name, item))
        if latest is None or latest.parts == parts:
            return latest
        return self._older_results().get((given.name, item, combine(parts)), latest)

    def _older_results(self) -> Mapping[tuple[str, str, str], ResultRow]:
        if self._older is None:
            with self._loading:
                if self._older is None:
                    self._older = self._history.older()
        return self._older

    def _confirm(self, row: ResultRow) -> ResultRow:
        """Finished work stands: the next run is to find it first, and to see at a glance that nothing has changed."""
        latest = self._results_by_name()
        confirmed = row._replace(plan=self._plan_digest, held=self._remains.again(row.held))
        if latest.get((row.name, row.instance)) != confirmed:
            latest[row.name, row.instance] = confirmed
            self.results.append(confirmed)
        return confirmed

    def _judge(
        self, given: Task, parts: Mapping[str, str], row: ResultRow | None, outputs: Sequence[str], is_forced: bool
    ) -> Decision:
        if is_forced or row is None:
            return decide(parts, None, {}, force=is_forced)
        return self._remains.judge(parts, row, outputs, _hands_on(given))

    def keep(self, task: int, instance: int, *, is_late: bool = False) -> None:
        """An attempt has done its work: remember what it was begun with and what it made.

        is_late: it took streams while they were made; what they were is known only now.
        """
        if is_late and task in self._kept:
            return  # the streams were complete before it was looked at
        self._kept.discard(task)
        begun = self.beginnings.take(task, instance)
        self._keep(task, instance, begun, is_late)
        if begun is not None:
            self.beginnings.over(task, instance)

    def _keep(self, task: int, instance: int, begun: Beginning | None, is_late: bool) -> None:
        given = self.tasks[task]
        is_by_content = instance != WHOLE and self._is_fed(task)
        self._fingerprints.forget(task)
        text = self._products.held(task, instance, is_by_content) if _hands_on(given) else None
        if is_late and self.is_caching and given.is_cacheable:
            try:
                begun = Beginning(self._fingerprints.parts(task, self.check(task)))
            except UnreadableError:
                return  # the next run will say so
        if not (self.is_caching and given.is_cacheable) or begun is None:
            return  # nobody knows what it read
        parts = begun.parts
        paths = [(path, self._place.absolute(path)) for path in self.outputs(task, instance)]
        if begun.ended is not None and any(changed_since(path, begun.ended) for _, path in paths):
            return  # what lies there now, somebody else has written while nobody looked
        try:
            states = [(path, self.contents.state(place)) for path, place in paths]
        except UnreadableError:
            return  # the next run will say so and make it again
        if any(state is None for _, state in states):
            return
        outputs = tuple((path, *state) for path, state in states if state is not None)
        name = self._name_of(task, instance)
        product, held = self._products.digest(task, instance), self._remains.held(text)
        if held is None and (text is not None or (is_by_content and _hands_on(given))):
            product = None  # nobody could find it again
        row = ResultRow(
            self.plan.results_key, given.name, name, combine(parts), parts, outputs, product, self._run,
            "" if begun.is_taken_over else self._plan_digest, held,
        )  # fmt: skip
        self._results_by_name()[given.name, name] = row
        self.results.append(row)
        if instance == WHOLE:
            self._kept.add(task)

    def _results_by_name(self) -> dict[tuple[str, str], ResultRow]:
        if self._recorded is None:
            with self._loading:
                if self._recorded is None:
                    self._recorded = dict(self._history.results())
        return self._recorded

    def _product(self, task: int) -> str | None:
        product = self.tasks[task].policy.product
        if product is None:
            return None
        found = self._products.digest(task)
        if found is None and product.source != "outputs":
            if self.tasks[task].policy.foreach is not None:
                return self._digest_of_instances(task)
            row = self._results_by_name().get((self.tasks[task].name, ""))
            found = None if row is None else row.product
        return found

    def _digest_of_instances(self, task: int) -> str | None:
        """Of what a mapped task hands on when finished work stands in for all of it, as `Products.digest` makes it."""
        count = len(self.items(task))
        if task not in self._instances or len(self._instances[task].fresh) < count:
            return None
        rows = [self.recorded(task, instance) for instance in range(count)]
        parts = [row.product for row in rows if row is not None and row.product is not None]
        return digest(parts) if len(parts) == count else None

    def _made(self, task: int) -> Sequence[str]:
        """All outputs of a task, of a mapped one those of its instances as far as they are known."""
        given = self.tasks[task]
        if given.policy.foreach is None:
            return outputs_of(self.plan, given)
        items = self.items(task)
        if items:
            return [path for instance in range(len(items)) for path in self.outputs(task, instance)]
        rows = sorted(key for key in self._results_by_name() if key[0] == given.name)
        return [output[0] for key in rows for output in self._results_by_name()[key].outputs]

    def _lack_of_parameter(self, name: str) -> str | None:
        """Why a required parameter is not at hand; None when it is."""
        values = self.plan.values
        required = product_of_parameter(name, values, self.plan.graph.index)
        if required is None:
            return None if values.get(name) is not None else "has no value"
        maker, key = required
        if not self._has_product(maker):
            return f"is not there: {self.tasks[maker].name!r} has made no product"
        return None if key is None else self._lack_of_key(maker, key)

    def _has_product(self, task: int) -> bool:
        product = self.tasks[task].policy.product
        if product is not None and product.source == "outputs":
            return all(_exists(self._place.absolute(path)) for path in self._made(task))
        return product is not None and (self._product(task) is not None or self._products.text(task) is not None)

    def _lack_of_key(self, maker: int, key: str) -> str | None:
        """Why a product has no such key with a value; None when it has."""
        task = self.tasks[maker]
        product = task.policy.product
        if product is None or product.source in ("stdout", "outputs") or task.policy.foreach is not None:
            return f"is not there: the product of {task.name!r} has no keys"
        text = self._products.text(maker)
        try:
            value = None if text is None else plain.value_of(text)
        except ValueError:
            text = None  # what an older version let in
        if text is None:
            return f"cannot be looked up: the product of {task.name!r} is not at hand as JSON"
        return None if _at_key(value, key) is not None else f"has no value in the product of {task.name!r}"


def _at_key(value: Any, key: str) -> Any:
    """What an object has under a key, or under `KEY.KEY` further down; None when it has nothing there."""
    if not isinstance(value, dict):
        return None
    if key in value:
        return value[key]
    head, dot, rest = key.partition(".")
    while dot:
        if head in value:
            return _at_key(value[head], rest)
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _requires_something(task: Task) -> bool:
    """Nearly all tasks share one object for nothing; comparing it by value costs ten times as much."""
    return task.requires is not NO_REQUIREMENTS and task.requires != NO_REQUIREMENTS


def _hands_on(task: Task) -> bool:
    """Whether the task has a product that lies in no file."""
    product = task.policy.product
    return product is not None and product.source != "outputs"


def _unmet_source(task: Task) -> str:
    """The requirement that is named when a mapped task has no items."""
    for need in task.requires.folders:
        if need.source:
            return f"folder:{need.path}"
    return next((unmet_match(need) for need in task.requires.match if need.source), "foreach:files")


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True
