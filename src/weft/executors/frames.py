"""Orders as they travel to the supervisor."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from weft.executors.inputs import stdin_of
from weft.executors.link import Place
from weft.executors.supervisor.wire import WireOrder
from weft.executors.variables import wire_variables
from weft.ports import Order, Process


def frame_of(place: Place, order: Order, is_ahead: bool, is_suspect: bool) -> WireOrder:
    """A program, or a call in a process of its own. Raises UnfitArgumentsError, OSError for what cannot travel."""
    launch = order.launch
    words = list(launch.argv) if isinstance(launch, Process) else _write_request(place, order)
    return WireOrder(
        order.nonce,
        order.key,
        order.token,
        words,
        order.folder,
        {**order.environment, "WEFT_TASK": order.name, "WEFT_ATTEMPT": str(order.key.attempt)},
        wire_variables(order) if order.variables else [],
        list(launch.expand) if isinstance(launch, Process) else [],
        order.timeout,
        order.memory_bytes,
        order.niceness,
        order.lane,
        is_ahead,
        is_suspect,
        stdin_of(place, order),
        order.is_streamed,
    )


class Server(NamedTuple):
    """A process of ours that makes calls: a host or a worker. name: of the files it writes. number: its own among its kind.

    kind: what stands for the task in its key. lane: of its own.
    """

    nonce: int
    name: str
    number: int
    kind: int
    lane: int


def server_frame(
    place: Place, run_token: str, server: Server, program: Sequence[str], order: Order, environment: Mapping[str, str]
) -> WireOrder:
    """The start of a server for calls that are ordered like this one. program: the words of its interpreter."""
    settings = {
        "run": place.run,
        "run_folder": place.run_folder,
        "log_folder": place.log_folder,
        "name": server.name,
        "nonce": server.nonce,
    }
    return WireOrder(
        server.nonce,
        (server.kind, server.number, 1),
        f"{run_token}:{server.name}",
        [order.interpreter or sys.executable, *program, json.dumps(settings)],
        order.folder,
        dict(environment),
        wire_variables(order),
        [],
        None,
        None,
        order.niceness,
        server.lane,
        False,
    )


def _write_request(place: Place, order: Order) -> list[str]:
    from weft.executors.singles import write_request  # late: most runs start programs only

    return write_request(place, order)
