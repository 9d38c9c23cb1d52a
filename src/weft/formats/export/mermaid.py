"""Mermaid: the graph as a flowchart, for Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from weft.formats.export import palette
from weft.formats.export.edges import declared_edges
from weft.spec.plan import Plan
from weft.spec.tasks import Dependency

# Everything that Mermaid or the Markdown inside its labels could read as its own becomes an entity code.
_SPECIAL = re.compile(r"[\"#&<>\[\](){}|`\\%*_~^$@;]|^\s*(?:[-+>=]|\d+[.)])|--|==|://", re.ASCII)


def render(plan: Plan, states: Mapping[str, str] | None = None) -> str:
    """The plan's graph as a Mermaid flowchart, coloured by state when states (task name -> state) are given."""
    tasks = plan.graph.tasks
    lines = ["flowchart LR"]
    used: dict[str, None] = {}
    for index, task in enumerate(tasks):
        state = states.get(task.name) if states else None
        suffix = ""
        if state in palette.STATES:
            used[state] = None
            suffix = f":::{state}"
        lines.append(f'  n{index}["{_text(task.name)}"]{suffix}')
    for source, target, dependency in declared_edges(plan.graph):
        lines.append(f"  n{source} {_arrow(dependency)} n{target}")
    for state in used:
        colour = palette.of(state)
        lines.append(f"  classDef {state} fill:{colour.fill},stroke:{colour.line},color:{colour.text}")
    return "\n".join(lines) + "\n"


def _arrow(dependency: Dependency) -> str:
    arrow = "-.->" if dependency.each else "-->"
    return f'{arrow}|"{_text(dependency.bind)}"|' if dependency.bind else arrow


def _text(text: str) -> str:
    return _SPECIAL.sub(lambda found: "".join(f"#{ord(character)};" for character in found.group()), text)
