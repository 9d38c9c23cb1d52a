"""Attempts that were ordered and have not ended, as the executor of local processes keeps them."""

from __future__ import annotations

from typing import Literal

from weft.ports import Function, Order, Process
from weft.scheduling.keys import AttemptKey

Kind = Literal["process", "single", "thread", "worker"]


class UnfitArgumentsError(ValueError):
    """What a call is given is nothing that another process can be sent; says why."""


class OpenAttempt:
    """An attempt that was ordered and has not ended. has_begun: so that its loss counts. order: while we hold it back."""

    __slots__ = ("has_begun", "is_ahead", "keeps", "key", "kind", "lane", "order")

    def __init__(
        self, key: AttemptKey, keeps: str | None, kind: Kind, lane: int, is_ahead: bool, has_begun: bool = False
    ):
        self.key = key
        self.keeps = keeps
        self.kind = kind
        self.lane = lane
        self.is_ahead = is_ahead
        self.has_begun = has_begun
        self.order: Order | None = None


def kind_of(order: Order) -> Kind:
    """Where an attempt runs."""
    if isinstance(order.launch, Process):
        return "process"
    if order.memory_bytes is not None or order.isolation == "process":
        return "single"
    if isinstance(order.launch, Function):
        return "worker"
    return "thread" if order.isolation == "thread" else "single"
