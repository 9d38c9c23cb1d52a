"""A validated graph with its environments, notes, options and defaults: what a run is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from weft.errors import cut, hint_nearest
from weft.spec.environments import Environment
from weft.spec.given import given, given_back
from weft.spec.graph import Graph, Selection, diff
from weft.spec.options import Option
from weft.spec.rewrites import GraphDiff, RewriteError
from weft.spec.tasks import Task, nothing
from weft.spec.types import Type, problem_of

if TYPE_CHECKING:
    from weft.spec.notes import Note


class Source(NamedTuple):
    """A file that a plan was made from: its path, dialect and the blake2b digest (hex) of its bytes."""

    path: str
    dialect: str
    digest: str


RESOURCES: Final = "resources"
"""The dialect of a file that a document names for what its tasks ask for."""


class Template(NamedTuple):
    """A native template: the raw keys (normal form, units canonical) that its tasks take over unless they say otherwise."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before a run.

    root: absolute folder that relative paths are resolved against. values: plan options that were given or have defaults.
    order: `path` = priority, longest remaining path, plan order; `file` = priority, plan order.
    key: what the owner's lock is taken on (real path of the first document, a module, a workflow's identity).
    family: what its finished work is kept under, for all plans of one registry; empty: the key.
    limits: capacities of named resources that the plan itself gives, in integer units.
    """

    graph: Graph
    root: str
    key: str = ""
    name: str | None = None
    description: str | None = None
    sources: tuple[Source, ...] = ()
    options: Mapping[str, Option] = field(default_factory=nothing)
    values: Mapping[str, Any] = field(default_factory=nothing)
    types: Mapping[str, Type] = field(default_factory=nothing)
    environments: Mapping[str, Environment] = field(default_factory=nothing)
    notes: Mapping[str, Note] = field(default_factory=nothing)
    templates: Mapping[str, Template] = field(default_factory=nothing)
    attributes: Mapping[str, Any] = field(default_factory=nothing)
    order: Literal["path", "file"] = "path"
    family: str = ""
    limits: Mapping[str, int] = field(default_factory=nothing)

    @property
    def results_key(self) -> str:
        """Under which finished work is looked for and kept."""
        return self.family or self.key

    # --- rewrites mirror the graph's, check what only the plan knows, and give plans; they raise RewriteError ---

    def with_graph(self, graph: Graph) -> Plan:
        """The same plan around another graph, whose tasks may name only this plan's environments, notes and templates."""
        checked: set[int] = set()
        for task in graph.tasks:
            policy = task.policy
            if id(policy) in checked:
                continue
            checked.add(id(policy))
            for kind, names, known in (
                ("environment", (policy.environment,), self.environments),
                ("note", policy.notes, self.notes),
                ("template", (policy.template,), self.templates),
            ):
                missing = next((name for name in names if name is not None and name not in known), None)
                if missing is not None:
                    hint = hint_nearest(missing, known)
                    raise RewriteError(
                        f"task {cut(task.name)!r} names the {kind} {cut(missing)!r}, which the plan lacks", hint
                    )
        return replace(self, graph=graph)

    def replace(self, name: str, by: Any) -> Plan:
        """`by`, a task or a value, in the place of a task.

        A value becomes a task (`spec.given`) whose product it is, without dependencies; it must be of the product's type. What
        the replaced task depended on stays in the plan.
        """
        if isinstance(by, Task):
            return self.with_graph(self.graph.replace(name, by, self.types))
        before = self.graph[name].policy
        product = before.product
        type_name = product.type if product is not None else "any"
        has_items = product is not None and (
            product.stream
            or (before.foreach is not None and product.source == "return" and isinstance(by, list | tuple))
        )
        problem = self._problem_of_items(by, type_name) if has_items else problem_of(by, type_name, self.types)
        if problem is not None:
            raise RewriteError(f"the value for {cut(name)!r} does not fit its product: {problem}")
        try:
            task = given(name, by, before, type_name)
            if has_items and product is not None and product.source == "return":
                task = given_back(name, list(by), before, product)
        except (TypeError, ValueError) as error:
            message = f"the value for {cut(name)!r} cannot be written as JSON: {error}"
            raise RewriteError(message, "give a task that makes it") from None
        return self.with_graph(self.graph.replace(name, task, self.types))

    def _problem_of_items(self, value: Any, type_name: str) -> str | None:
        if not isinstance(value, list | tuple):
            return "it hands on many items; give a list of them"
        for index, item in enumerate(value):
            problem = problem_of(item, type_name, self.types)
            if problem is not None:
                return f"item {index}: {problem}"
        return None

    def substitute(self, selection: Selection, tasks: Iterable[Task]) -> Plan:
        """Other tasks, or another graph, instead of the selected ones (`Graph.substitute`)."""
        return self.with_graph(self.graph.substitute(selection, tasks, self.types))

    def select(self, expression: str) -> Plan:
        """The selected tasks alone (`Graph.keep`)."""
        return self.keep(expression)

    def keep(self, selection: Selection) -> Plan:
        """The selected tasks alone; their dependencies on others are cut (`Graph.keep`)."""
        return self.with_graph(self.graph.keep(selection))

    def drop(self, selection: Selection) -> Plan:
        """Without the selected tasks; dependencies on them are cut (`Graph.drop`)."""
        return self.with_graph(self.graph.drop(selection))

    def add(self, *tasks: Task) -> Plan:
        """With these tasks at the end."""
        return self.with_graph(self.graph.add(*tasks))

    def remove(self, *names: str) -> Plan:
        """Without these tasks, which nothing that stays may depend on."""
        return self.with_graph(self.graph.remove(*names))

    def rename(self, name: str, new_name: str) -> Plan:
        """With another name for a task; those that depend on it follow."""
        return self.with_graph(self.graph.rename(name, new_name))

    def diff(self, other: Plan) -> GraphDiff:
        """What makes the other plan's graph of this one's."""
        return diff(self.graph, other.graph)
