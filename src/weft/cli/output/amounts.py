"""Amounts of JSON records as people write them."""

from __future__ import annotations

from collections.abc import Mapping

from weft.spec.compute import LIMIT_PREFIX
from weft.units import BYTE_AMOUNTS, show_bytes, show_seconds


def seconds_text(seconds: float | None) -> str:
    """A duration, `-` where unknown."""
    return show_seconds(seconds) if seconds is not None else "-"


def bytes_text(size: float | None) -> str:
    """A size, `-` where unknown."""
    return show_bytes(size) if size is not None else "-"


def request_text(request: Mapping[str, float | str | None] | None, between: str = " ") -> str:
    """`cores=2 memory=8G timeout=1h`; `-` for nothing. What caps tasks at a time is nothing that anybody asked for."""
    if request is None:
        return "-"
    parts = [
        f"{name}={_amount_text(name, amount)}"
        for name, amount in request.items()
        if amount is not None and not name.startswith(LIMIT_PREFIX)
    ]
    return between.join(parts) or "-"


def _amount_text(name: str, amount: float | str) -> str:
    if isinstance(amount, str):
        return amount
    if name in BYTE_AMOUNTS:
        return show_bytes(amount) + ("/s" if name == "network_bandwidth" else "")
    if name in ("timeout", "runtime"):
        return show_seconds(amount)
    return f"{amount:.12g}"
