"""The page that shows the state machines is drawn from their tables. `WEFT_RENEW=1 pytest …` writes it anew."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from weft.scheduling import lifecycle

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "lifecycle.md"

TEXT = """# Lifecycles

Drawn from the tables in `src/weft/scheduling/lifecycle.py` by `tests/unit/test_lifecycle_diagrams.py`; not written by hand.
A pair that is not here never happens: the scheduler ends with exit code 70 rather than go through it.

## Tasks

The states that people see hold these phases: {phases}.

{task}
## Instances of a mapped task

{instance}
## Attempts

{attempt}"""


def diagram(table: Mapping[str, Iterable[str]]) -> str:
    lines = [
        f"  {state} --> {after}"
        for state, following in table.items()
        for after in sorted(following, key=list(table).index)
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"]) + "\n"


def by_name(table: Iterable[Iterable[int]]) -> dict[str, list[str]]:
    names = lifecycle.PHASES
    return {names[phase]: [names[after] for after in following] for phase, following in enumerate(table)}


def page() -> str:
    phases: dict[str, list[str]] = {}
    for name, state in zip(lifecycle.PHASES, lifecycle.STATE_BY_PHASE, strict=True):
        if name != "absent":
            phases.setdefault(state, []).append(name)
    return TEXT.format(
        phases="; ".join(f"`{state}`: {', '.join(names)}" for state, names in phases.items()),
        task=diagram(by_name(lifecycle.TASK_TABLE)),
        instance=diagram(by_name(lifecycle.INSTANCE_TABLE)),
        attempt=diagram({str(state): following for state, following in lifecycle.ATTEMPT_TABLE.items()}),
    )


def test_the_page_of_lifecycles_shows_the_tables() -> None:
    if os.environ.get("WEFT_RENEW"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_ended_states_lead_nowhere_and_every_other_state_to_an_end() -> None:
    for table in (lifecycle.TASK_TABLE, lifecycle.INSTANCE_TABLE):
        for phase, following in enumerate(table[: lifecycle.ABSENT]):
            assert bool(following) != lifecycle.is_settled(phase)
            reached, open_phases = {phase}, [phase]
            while open_phases:
                found = table[open_phases.pop()] - reached
                reached |= found
                open_phases += found
            assert any(map(lifecycle.is_settled, reached))
