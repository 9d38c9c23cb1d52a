"""Letters of tasks, attempts, runs and workflows; weft uses those of workflows.md 7, the others only have a name."""

from __future__ import annotations

from typing import Final

from weft.spec.compute import NO_LIMIT


class TaskStatus:
    """Of a task."""

    REGISTERING = "G"
    QUEUED = "Q"
    INSTANTIATING = "I"
    LAUNCHED = "O"
    RUNNING = "R"
    DONE = "D"
    ERROR_RECOVERABLE = "E"
    ADJUSTING_RESOURCES = "A"
    ERROR_FATAL = "F"


class TaskInstanceStatus:
    """Of an attempt."""

    QUEUED = "Q"
    INSTANTIATED = "I"
    LAUNCHED = "O"
    RUNNING = "R"
    DONE = "D"
    RESOURCE_ERROR = "Z"
    UNKNOWN_ERROR = "U"
    KILL_SELF = "K"
    ERROR = "E"
    ERROR_FATAL = "F"
    SUBMITTED_TO_BATCH_DISTRIBUTOR = "B"
    TRIAGING = "T"
    NO_DISTRIBUTOR_ID = "W"
    NO_HEARTBEAT = "X"


class WorkflowRunStatus:
    """Of one execution of a workflow: what `workflow.run()` gives."""

    REGISTERED = "G"
    LINKING = "L"
    BOUND = "B"
    INSTANTIATED = "I"
    LAUNCHED = "O"
    RUNNING = "R"
    DONE = "D"
    ERROR = "E"
    STOPPED = "S"
    TERMINATED = "T"
    ABORTED = "A"
    COLD_RESUME = "C"
    HOT_RESUME = "H"


class WorkflowStatus:
    """Of a workflow."""

    REGISTERING = "G"
    QUEUED = "Q"
    INSTANTIATING = "I"
    LAUNCHED = "O"
    RUNNING = "R"
    DONE = "D"
    HALTED = "H"
    FAILED = "F"
    ABORTED = "A"


class MaxConcurrentlyRunning:
    """How many tasks may be live where nobody says it."""

    MAXCONCURRENTLYRUNNING: Final = NO_LIMIT
