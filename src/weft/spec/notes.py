"""Sinks for the results of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

CONDITIONS = ("only_if_output_non_empty", "only_if_ok", "only_if_failed", "only_if_changed")


@dataclass(frozen=True, slots=True)
class Note:
    """A sink by kind (`file`, `echo`, `email`, `telegram`, `webhook`, `command`, or `module:Class`) and its arguments."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    conditions: tuple[str, ...] = ()
