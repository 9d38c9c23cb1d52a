"""Time limits that are looked at late: this process was kept from running, and maybe the whole host was.

Then those whose time is over had none to end in, either. They get a moment, so that nobody is called late for a sleep that
was everybody's; who does not end in it has really had too long.
"""

from __future__ import annotations

LATE_SECONDS = 1.0  # no busy host delays a look so long
MOMENT_SECONDS = 1.0


def is_late(due: float, now: float) -> bool:
    """Whether a look at `now` for a limit that ended at `due` comes so late that something stood still."""
    return now - due > LATE_SECONDS
