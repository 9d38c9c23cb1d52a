"""Which tasks of a plan take part in a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from weft.errors import PlanError, Problem
from weft.spec.plan import Plan
from weft.spec.select import SelectError, select


def choose(
    plan: Plan,
    chosen: Sequence[str] = (),
    exclude: Sequence[str] = (),
    until: Sequence[str] = (),
    start_from: Sequence[str] = (),
    *,
    states: Mapping[str, str] | None = None,
    invokes: bool = False,
) -> tuple[int, ...]:
    """Indexes in plan order (design.md 16): the union of all that is named, else everything; `exclude` is taken away last.

    states: by task name, for `state:`. invokes: what `chosen` needs takes part, too.
    Raises PlanError with every expression that selects nothing or cannot be read.
    """
    graph = plan.graph
    problems: list[Problem] = []

    def read(flag: str, expression: str) -> set[int]:
        try:
            return set(select(graph, expression, states))
        except SelectError as error:
            problems.append(Problem("select", f"{flag} {expression!r}: {error}", hint=error.hint))
            return set()

    wanted: set[int] = set()
    for expression in chosen:
        found = read("--select", expression)
        wanted |= found | set(graph.ancestors_indexes(found)) if invokes else found
    for expression in until:
        found = read("--until", expression)
        wanted |= found | set(graph.ancestors_indexes(found))
    for expression in start_from:
        found = read("--from", expression)
        wanted |= found | set(graph.descendants_indexes(found))
    if not (chosen or until or start_from):
        wanted = set(range(len(graph)))
    for expression in exclude:
        wanted -= read("--exclude", expression)
    if problems:
        raise PlanError(problems)
    return tuple(sorted(wanted))


def check_unselected(
    plan: Plan, selected: Sequence[int], has_product: Callable[[int], bool], outputs: Callable[[int], Sequence[str]]
) -> None:
    """Dependencies that do not take part count as satisfied; what they should have left must be there. Raises PlanError.

    outputs: of a task, all paths that it should have made.
    """
    if len(selected) == len(plan.graph):
        return
    inside = frozenset(selected)
    graph = plan.graph
    problems: list[Problem] = []
    checked: set[int] = set()
    for index in selected:
        task = graph.tasks[index]
        for dependency in task.dependencies:
            maker = graph.index[dependency.name]
            if maker in inside:
                continue
            missing = _missing(plan.root, outputs(maker)) if maker not in checked else []
            checked.add(maker)
            product = graph.tasks[maker].policy.product
            is_kept = product is not None and product.source != "outputs"
            text = None
            pair = f"{task.name!r} depends on {dependency.name!r}, which is not selected"
            if missing:
                text = f"{pair}, and its output {missing[0]!r} is missing"
            elif dependency.bind is not None and is_kept and not has_product(maker):
                text = f"{pair}, takes its product, and that was never made"
            if text is not None:
                problems.append(
                    Problem("select.missing", text, hint=f"select its ancestors, too: --select '+{task.name}'")
                )
    if problems:
        raise PlanError(problems)


def _missing(root: str, paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(os.path.join(root, path))]
