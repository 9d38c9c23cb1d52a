"""How a workflow is to run: what `run()` was told, over the settings that the command line would read here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from weft.define.telling import tell
from weft.errors import ArgumentError, UsageError
from weft.settings import STATE_FOLDER, Settings, read, without_credentials

if TYPE_CHECKING:
    from weft.assemble import RunSettings
    from weft.define.workflows import WorkflowDraft

USUAL_TIMEOUT: Final = 36000
"""Seconds that a workflow may take when nobody says otherwise."""


class Told(NamedTuple):
    """Arguments of `run()`, by the names that they have there."""

    fail_fast: bool = False
    seconds_until_timeout: Any = USUAL_TIMEOUT
    resume: bool = False
    reset_running_jobs: bool = True
    resume_timeout: Any = 300
    configure_logging: bool = False
    jobs: int | None = None
    timeout: Any = None
    state: str | None = None
    store: str | None = None
    executor: str | None = None


class Chosen(NamedTuple):
    """settings: for the run. executors: by the names of clusters. scale_on: None where nobody says."""

    settings: RunSettings
    clusters: Mapping[str, str]
    scale_on: Literal["exhausted", "any"] | None


def recorded(draft: WorkflowDraft) -> Mapping[str, Any]:
    """What the run's row keeps, so that workflows can be listed without reading their plans."""
    return {
        "workflow": {
            "tool": draft.tool.name,
            "version": draft.tool_version,
            "workflow_args": draft.workflow_args,
            "name": draft.name,
        }
    }


def choose(told: Told, draft: WorkflowDraft | None = None) -> Chosen:
    """Raises PlanError for bad values, UsageError for what this version cannot."""
    flags = {
        name: (value, f"{name}=")
        for name, value in (
            ("jobs", told.jobs),
            ("state", None if told.state is None else os.path.abspath(os.fspath(told.state))),
            ("store", told.store),
            ("executor", told.executor),
        )
        if value is not None
    }
    found = read_here(flags)
    settings = _run_settings(found, told, {} if draft is None else recorded(draft))
    return Chosen(settings, found["clusters"], found["workflow"].get("scale_on"))


def read_here(flags: Mapping[str, tuple[Any, str]] | None = None) -> Settings:
    """Settings as they hold for a command in the current folder; what is unknown in them, as warnings."""
    found = read(os.getcwd(), os.environ, flags)
    for problem in found.warnings:
        tell(str(problem))
    return found


def default_state() -> str:
    """The state folder of a workflow that is told nothing."""
    stated: str | None = read(os.getcwd(), os.environ)["state"]
    return os.path.abspath(stated or STATE_FOLDER)


def _run_settings(found: Settings, told: Told, kept: Mapping[str, Any]) -> RunSettings:
    from weft.assemble import RunSettings

    if found["store"] not in (None, "sqlite"):
        raise UsageError(
            f"store {without_credentials(found['store'])!r} is not in this version, which keeps state in the state folder",
            "leave store away, or give the folder as state=",
        )
    return RunSettings(
        jobs=found["jobs"],
        resources=found["resources"],
        reserve=found["reserve"],
        opportunistic=found["opportunistic"],
        trackers=found["trackers"],
        executor=found["executor"] if found.origin("executor") != "default" else None,
        state=found["state"],
        fail_fast=told.fail_fast or found["fail_fast"],
        use_cache=found["cache"],
        timeout=_timeout(found, told),
        wait=found["wait"],
        durability=found["durability"],
        queues=found["queues"],
        recorded=kept,
    )


def _timeout(found: Settings, told: Told) -> float:
    """Seconds: as `timeout`, else as `seconds_until_timeout` was told, else by the settings."""
    if told.timeout is not None:
        return seconds("timeout", told.timeout)
    if told.seconds_until_timeout == USUAL_TIMEOUT and found["timeout"] is not None:
        return float(found["timeout"])
    return seconds("seconds_until_timeout", told.seconds_until_timeout)


def patience(told: Told) -> float:
    """Seconds that a live owner has to let go; 0 for none. Raises ArgumentError."""
    return 0.0 if told.resume_timeout == 0 else seconds("resume_timeout", told.resume_timeout)


def seconds(name: str, value: Any) -> float:
    """A number, or a text as `2h`. Raises ArgumentError."""
    from weft.units import UnitError, parse_time

    try:
        return parse_time(value)
    except UnitError as error:
        raise ArgumentError(f"{name}: {error}") from error
