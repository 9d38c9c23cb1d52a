"""What the end of a worker means for the call that it was making, or was to make first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.executors.workers import Sent, Worker
from weft.ports import Function, Order
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, NOT_FOUND, SETUP, TIMEOUT

Fact = list[Any]
NO_REGION = ("", 0, 0)


def crash(worker: Worker, call: Sent, fact: Fact, seconds: float, log_folder: str) -> Fact:
    """The end of a call that ran so long until its worker ended as `fact` tells. It has failed, unless the time of another
    one was up just when it began."""
    cause, code, detail, ended_usage = fact[2], fact[3], fact[4], fact[6]
    output = worker.output(log_folder, call.nonce)
    usage = [seconds, None, ended_usage[2] if ended_usage else None, 0]
    timeout = call.order.timeout
    if cause == TIMEOUT and not worker.is_ending and (timeout is None or seconds < timeout):
        end: Fact = [LOST, None, "its worker was ended for the call before it", False]
    elif cause is None:
        end = ["exit:0", None, "it ended its process", True]
    elif cause == TIMEOUT:
        end = [cause, None, None, True]
    else:
        end = [cause, code, detail or ("it ended its process" if cause.startswith("exit:") else None), True]
    return ["ended", call.nonce, *end, usage, *output]


def stillborn(call: Sent, fact: Fact, log_folder: str) -> Fact:
    """The end of a call whose worker ended before it could take any: the interpreter's fault, or the environment's."""
    cause, detail, charged = fact[2], fact[4], fact[5]
    if fact[6] is not None and cause not in (SETUP, NOT_FOUND, LOST):
        said = _last_words(log_folder, fact[8])
        detail = f"its interpreter ended before the call could begin ({cause or 'exit:0'}){said}"
        cause = SETUP
    elif cause == NOT_FOUND:
        cause = SETUP  # of the environment, not of the function
    return ["ended", call.nonce, cause, None, detail, charged, None, NO_REGION, NO_REGION]


def _last_words(log_folder: str, region: tuple[str, int, int]) -> str:
    name, offset, length = region
    if not length:
        return ""
    try:
        with open(f"{log_folder}/{name}", "rb") as file:
            file.seek(offset)
            lines = file.read(min(length, 1 << 16)).decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1][:300]}" if lines else ""


def order_of(nonce: int, wanted: Mapping[int, AttemptKey]) -> Order:
    """What is known of a call that an earlier engine ordered."""
    return Order(wanted[nonce], nonce, "", "", Function(None, None, {}), "", timeout=0.0)
