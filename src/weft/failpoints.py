"""Named places where a fault can be ordered from outside: compiled in always, idle unless `WEFT_FAILPOINT` names one.

`WEFT_FAILPOINT=name:action[:nth]` (several with commas). Actions: `kill` (SIGKILL to this process), `EIO` and `ENOSPC`
(the system's error), `sleep` (until killed or 3600 s), `unknown` (the call is made, its answer is lost: `LostAnswer`).
nth counts hits from 1; without it every hit acts.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping

POINTS: dict[str, str] = {}
"""Every failpoint by name: what has happened when it is hit. Filled by `declare` in the module that hits it."""

ACTIONS = ("kill", "EIO", "ENOSPC", "sleep", "unknown")
SLEEP_SECONDS = 3600.0  # for ever, as tests see it, yet nothing that is forgotten stays for days

_armed: dict[str, tuple[str, int | None]] = {}
_hits: dict[str, int] = {}


class LostAnswer(Exception):
    """Ordered by a failpoint: what was called may or may not have happened."""


def declare(name: str, meaning: str) -> str:
    """Make a failpoint known to `weft doctor --failpoints`; gives its name back."""
    POINTS[name] = meaning
    return name


def arm(setting: str | None) -> None:
    """Take orders as `WEFT_FAILPOINT` spells them; None or empty disarms all. Raises ValueError on a bad spelling."""
    armed: dict[str, tuple[str, int | None]] = {}
    for order in (setting or "").split(","):
        if not order.strip():
            continue
        name, _, rest = order.strip().partition(":")
        action, _, nth = rest.partition(":")
        if action not in ACTIONS or (nth and not nth.isdecimal()):
            raise ValueError(
                f"failpoint {order.strip()!r} is not NAME:ACTION[:NTH] with an action of {', '.join(ACTIONS)}"
            )
        armed[name] = (action, int(nth) if nth else None)
    _armed.clear()
    _armed.update(armed)
    _hits.clear()


def arm_from(environment: Mapping[str, str]) -> None:
    """Take orders from `WEFT_FAILPOINT` of an environment."""
    arm(environment.get("WEFT_FAILPOINT"))


def hit(name: str) -> None:
    """Pass the failpoint: nothing happens unless it is armed."""
    if _armed:
        _act(name)


def _act(name: str) -> None:
    order = _armed.get(name)
    if order is None:
        return
    action, nth = order
    _hits[name] = _hits.get(name, 0) + 1
    if nth is not None and _hits[name] != nth:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        time.sleep(SLEEP_SECONDS)
    elif action == "unknown":
        raise LostAnswer(name)
    else:
        code = getattr(errno, action)
        raise OSError(code, f"{os.strerror(code)} (failpoint {name})")
