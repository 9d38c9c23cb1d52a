"""Graphviz: the graph in the dot language."""

from __future__ import annotations

from collections.abc import Mapping

from weft.formats.export import palette
from weft.formats.export.edges import declared_edges
from weft.spec.plan import Plan
from weft.spec.tasks import Dependency, Task


def render(plan: Plan, states: Mapping[str, str] | None = None) -> str:
    """The plan's graph for Graphviz, coloured by state when states (task name -> state) are given."""
    lines = [
        f"digraph {_quoted(plan.name or 'plan')} {{",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif"];',
    ]
    tasks = plan.graph.tasks
    lines += [f"  {_quoted(task.name)}{_attributes(task, states)};" for task in tasks]
    for source, target, dependency in declared_edges(plan.graph):
        lines.append(f"  {_quoted(tasks[source].name)} -> {_quoted(tasks[target].name)}{_edge(dependency)};")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _attributes(task: Task, states: Mapping[str, str] | None) -> str:
    found = []
    label = _label(task.name)
    if label != _quoted(task.name) or "\\" in task.name:
        found.append(f"label={label}")
    state = states.get(task.name) if states else None
    if state is not None:
        colour = palette.of(state)
        found.append(f'fillcolor="{colour.fill}", color="{colour.line}", tooltip={_label(f"{task.name}: {state}")}')
    return f" [{', '.join(found)}]" if found else ""


def _edge(dependency: Dependency) -> str:
    found = [f"label={_label(dependency.bind)}"] if dependency.bind else []
    if dependency.each:
        found.append("style=dashed")
    return f" [{', '.join(found)}]" if found else ""


def _quoted(name: str) -> str:
    """A name as a quoted id. A backslash is doubled because one before the closing quote would open it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _label(text: str) -> str:
    """Text as it is to be read: dot labels know backslash escapes and HTML entities."""
    return _quoted(text.replace("&", "&amp;"))
