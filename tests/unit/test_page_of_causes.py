"""The page of states and causes names them all, and says rightly what is tried again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from weft.scheduling import outcomes
from weft.spec.retries import NEVER_RETRIED

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "causes.md").read_text(encoding="utf-8")
ROWS = {
    cause.partition(":")[0]: (state, again)
    for cause, state, again in re.findall(r"^\| `([^`]+)` \| (\w+) \|[^|]*\| ?([^|\n]*?) ?\|$", PAGE, re.M)
}


def test_every_state_and_every_cause_is_there() -> None:
    causes = {value for name, value in vars(outcomes).items() if name.isupper() and isinstance(value, str)}
    assert causes | {"exit", "signal", "unmet", "unsatisfiable"} == set(ROWS)
    assert all(f"| `{state}` |" in PAGE for state in get_args(outcomes.TaskState))
    assert {state for state, _ in ROWS.values()} <= set(get_args(outcomes.TaskState))


def test_what_is_tried_again_is_what_the_scheduler_tries_again() -> None:
    failures = {cause: again for cause, (state, again) in ROWS.items() if state == "failed"}
    assert {cause for cause, again in failures.items() if again == "no"} == NEVER_RETRIED & set(failures)
    assert {cause for cause, again in failures.items() if "more" in again} == outcomes.RESOURCE_CAUSES
