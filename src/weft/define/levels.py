"""What holds for a task in the end: it says it itself, else its call, its template, its workflow, its tool (workflows.md 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from weft.define.counts import USUAL_ATTEMPTS
from weft.define.growth import merge_scales
from weft.spec.compute import merge

if TYPE_CHECKING:
    from weft.define.defaults import Defaulted, ScaleOn
    from weft.define.templates import TaskTemplate
    from weft.define.treatments import Treatment
    from weft.define.workflows import WorkflowDraft

LOCAL: Final = "local"


def _levels(template: TaskTemplate, workflow: WorkflowDraft | None) -> Iterator[Defaulted]:
    """The nearest level first."""
    yield template
    if workflow is not None:
        yield workflow
    yield template.tool if workflow is None else workflow.tool


def said_cluster_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> str | None:
    """The cluster that somebody names; None: nobody does."""
    if treatment.cluster_name:
        return treatment.cluster_name
    for level in _levels(template, workflow):
        if level.default_cluster_name:
            return level.default_cluster_name
    return None


def cluster_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> str:
    """Where the task runs."""
    return said_cluster_of(treatment, template, workflow) or LOCAL


def max_attempts_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> int:
    """Attempts in all."""
    if treatment.max_attempts is not None:
        return treatment.max_attempts
    for level in _levels(template, workflow):
        if level.default_max_attempts is not None:
            return level.default_max_attempts
    return USUAL_ATTEMPTS


def compute_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> dict[str, Any]:
    """Resources, as `read_compute` gives them."""
    cluster = cluster_of(treatment, template, workflow)
    lower = [each for level in reversed([*_levels(template, workflow)]) for each in level.compute_levels(cluster)]
    return merge(*lower, dict(treatment.compute))


def scales_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> dict[str, Any] | None:
    """Scales, as `take_scales` gives them; None: nobody says anything."""
    cluster = cluster_of(treatment, template, workflow)
    lower = [each for level in reversed([*_levels(template, workflow)]) for each in level.scale_levels(cluster)]
    return merge_scales(*lower, None if treatment.scales is None else dict(treatment.scales))


def scale_on_of(treatment: Treatment, template: TaskTemplate, workflow: WorkflowDraft | None) -> ScaleOn | None:
    """What makes amounts grow; None: nobody says anything."""
    if treatment.scale_on is not None:
        return treatment.scale_on
    return next((level.scale_on for level in _levels(template, workflow) if level.scale_on is not None), None)
