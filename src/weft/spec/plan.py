"""A validated graph with its environments, notes, options and defaults: what a run is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from weft.spec.environments import Environment
from weft.spec.graph import Graph
from weft.spec.notes import Note
from weft.spec.options import Option
from weft.spec.tasks import NOTHING
from weft.spec.types import Type


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a plan was made from: its path, dialect and the blake2b digest (hex) of its bytes."""

    path: str
    dialect: str
    digest: str


@dataclass(frozen=True, slots=True)
class Template:
    """A native template: the raw keys (normal form, units canonical) that its tasks take over unless they say otherwise."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before a run.

    root: absolute folder that relative paths are resolved against. values: plan options that were given or have defaults.
    order: `path` = priority, longest remaining path, plan order; `file` = priority, plan order.
    key: what the owner's lock is taken on (real path of the first document, a module, a workflow's identity).
    """

    graph: Graph
    root: str
    key: str = ""
    name: str | None = None
    description: str | None = None
    sources: tuple[Source, ...] = ()
    options: Mapping[str, Option] = NOTHING
    values: Mapping[str, Any] = NOTHING
    types: Mapping[str, Type] = NOTHING
    environments: Mapping[str, Environment] = NOTHING
    notes: Mapping[str, Note] = NOTHING
    templates: Mapping[str, Template] = NOTHING
    attributes: Mapping[str, Any] = NOTHING
    order: Literal["path", "file"] = "path"
