"""Values of variables that are not stored: what can be known of them later, and what cannot be done without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from weft.errors import UsageError, WeftError
from weft.ports import RunRow, TaskRow
from weft.spec.environments import Environment, VariableValue, Withheld
from weft.spec.plan import Plan
from weft.spec.secrets import is_secret_name
from weft.spec.withholding import digest_of
from weft.store.archive import SqliteArchive

STANDARD_INPUT: Final = "-"
DOCUMENTS: Final = (".json", ".yaml", ".yml", ".toml")  # anything else may be Python, which is executed when it is read


def has_withheld(plan: Plan) -> bool:
    """Whether values of variables are not known: the plan was taken from the store, because no document holds it."""
    return any(each.withheld for each in plan.environments.values())


def filled(plan: Plan) -> Plan:
    """A recorded plan with the values of its variables as its documents hold them, where they are the ones that were meant."""
    present = _read([os.path.join(plan.root, source.path) for source in plan.sources], plan.root)
    if present is None:
        return plan
    environments = {
        name: each._replace(variables=tuple(_values(each, present.environments.get(name, each))))
        for name, each in plan.environments.items()
    }
    return replace(plan, environments=MappingProxyType(environments))


def _values(environment: Environment, present: Environment) -> Iterator[tuple[str, VariableValue]]:
    now = dict(present.variables)
    for name, value in environment.variables:
        known = now.get(name, value)
        yield name, known if isinstance(value, Withheld) and digest_of(name, known) == value.digest else value


def refuse_withheld(
    plan: Plan, folder: str, row: RunRow, chosen: Callable[[Sequence[TaskRow], Plan], Iterable[int]]
) -> None:
    """Raise UsageError when tasks are to run whose variables have values that nobody knows any more. folder: of the state."""
    with SqliteArchive(folder) as archive:
        rows = archive.tasks(row.run)
    names: dict[str, None] = {}
    for task in sorted(chosen(rows, plan)):
        environment = plan.graph.tasks[task].policy.environment
        if environment is not None:
            found = plan.environments[environment].withheld
            names.update((f"{name} of environment {environment!r}", None) for name in found)
    if names:
        came = (
            "came by standard input" if STANDARD_INPUT in _paths(row) else "is in no document that could be read again"
        )
        raise UsageError(
            f"run {row.run[:12]} cannot go on: its plan {came}, and values of variables are not stored: {', '.join(names)}",
            "run the plan anew, or go on from the program that made it; a variable that says $NAME needs not to be stored",
        )


class Covering(NamedTuple):
    """What is known of secrets. unknown: the variables whose values neither store nor document holds, and what is left."""

    environments: Sequence[Environment]
    unknown: Sequence[tuple[str, Withheld]] = ()


def covering(row: RunRow, recorded: Plan) -> Covering:
    """A recorded plan's environments with the secret values that its documents hold now.

    Documents are read again only where something is to be covered, and no code is executed for it.
    """
    hidden = [
        (environment, name, value)
        for environment, each in recorded.environments.items()
        for name, value in each.variables
        if isinstance(value, Withheld) and is_secret_name(name)
    ]
    if not hidden:
        return Covering(list(recorded.environments.values()))
    present = _present(row, recorded) or filled(recorded)
    found = present.environments
    unknown = [
        (name, value)
        for environment, name, value in hidden
        if environment not in found or digest_of(name, dict(found[environment].variables).get(name, "")) != value.digest
    ]
    return Covering([*recorded.environments.values(), *found.values()], unknown)


def _present(row: RunRow, recorded: Plan) -> Plan | None:
    if not _are_documents(_paths(row)):
        return None
    from weft.assemble.runs import reload  # late: it takes runs up, and is heavy

    try:
        return reload(row, recorded)
    except WeftError:
        return None  # whoever reads an output is told of what follows from it


def _read(paths: Sequence[str], root: str) -> Plan | None:
    if not _are_documents(paths):
        return None
    from weft.formats.load import load

    try:
        return load(paths, root=root).plan
    except WeftError:
        return None  # as above


def _are_documents(paths: Sequence[str]) -> bool:
    return bool(paths) and all(str(path).endswith(DOCUMENTS) for path in paths)


def _paths(row: RunRow) -> Sequence[Any]:
    told = row.settings
    return [*told.get("paths", ()), *told.get("inputs", ())]
