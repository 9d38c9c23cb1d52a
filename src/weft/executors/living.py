"""What of a run lives, and whether it answers."""

from __future__ import annotations

import select
import time

from weft.executors.supervisor.wire import message, take_answers
from weft.executors.sweep import bearers

ANSWER_SECONDS = 2.0  # a busy host is slow, and who asks is a person
NOBODY = -2  # an epoch that no engine has: every supervisor declines, and goes on as before


def living_attempts(run_token: str) -> int:
    """How many processes of this host still carry the run's token."""
    return sum(1 for _ in bearers(run_token))


def is_supervisor_silent(run: str, run_folder: str) -> bool:
    """Whether the run has a supervisor that does not answer: it takes calls, or would, and says nothing."""
    from weft.executors.link import connect

    try:
        connection = connect(run_folder)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    if connection is None:
        return False
    with connection:
        heard = bytearray()
        limit = time.monotonic() + ANSWER_SECONDS
        try:
            connection.send(message({"hello": NOBODY, "run": run, "environment": {}}))
            while not take_answers(heard)[1]:
                left = limit - time.monotonic()
                if left <= 0 or not select.select([connection], [], [], left)[0]:
                    return True
                data = connection.recv(1 << 16)
                if not data:
                    return False
                heard += data
        except ConnectionError:  # it has ended meanwhile
            return False
    return False
