"""Variables of environments that use one which comes after them: it stays as written, with a warning (dialects.md 5.2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from weft.errors import Problem, cut

if TYPE_CHECKING:
    from weft.spec.plan import Plan

CODE = "variable"


class EarlyVariable(NamedTuple):
    """task: the first of the plan that works in the environment."""

    task: int
    message: str
    hint: str


def early_variables(plan: Plan) -> Iterator[EarlyVariable]:
    """Of the environments that tasks work in, as far as what they want is not in the environment of the run."""
    if not plan.environments:
        return
    from weft.environments.variables import early_references  # late: most plans have no environments

    used: dict[str, int] = {}
    for index, task in enumerate(plan.graph.tasks):
        if task.policy.environment is not None:
            used.setdefault(task.policy.environment, index)
    for environment, index in used.items():
        for name, wanted in early_references(plan.environments[environment].variables, os.environ.keys()):
            message = f"environment {cut(environment)!r}: variable {name} uses ${wanted} before it is defined"
            yield EarlyVariable(index, message, f"it stays as written; put {wanted} before it")


def early_problems(plan: Plan, file: str | None) -> list[Problem]:
    """The same as warnings of a run, which knows no longer where in its documents they stand."""
    return [Problem(CODE, found.message, file, None, None, None, found.hint) for found in early_variables(plan)]
