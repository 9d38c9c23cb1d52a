"""The JSON objects of `status`, `show`, `usage`, `plan` and `explain` (design.md 16), from rows of the store."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.ports import AttemptRow, RunRow, TaskRow
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import CACHED, LogRegion, Request
from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet, kind_of
from weft.spec.resources import from_units
from weft.spec.secrets import is_secret_name
from weft.spec.tasks import NOTHING, Task

if TYPE_CHECKING:
    from weft.assemble import Explanation, PlannedTask
    from weft.assemble.consumption import Consumption


_INPUT_KEY = re.compile(r"/-[0-9a-f]{64}$")  # a plan that came by standard input is known by its content
COVERED = "********"  # stands for the value of a parameter that is named like a secret


def moment(seconds: float | None) -> str | None:
    """Wall clock time as ISO 8601 UTC with milliseconds."""
    if seconds is None:
        return None
    whole = int(seconds // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1000):03d}Z"


def counts_of(rows: Iterable[TaskRow]) -> dict[str, int]:
    """Counts of design.md 12, and of what has not ended."""
    counts = dict.fromkeys(("ok", "failed", "skipped", "cancelled", "cached", "pending", "running"), 0)
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
        if row.cause == CACHED and row.state == "ok":
            counts["cached"] += 1
    return counts


def plan_title(run: RunRow) -> str:
    """The plan's name, else its first document; `-` is standard input, as on the command line."""
    if run.plan_name:
        return run.plan_name
    return "-" if _INPUT_KEY.search(run.plan_key) else run.plan_key


def seconds_of(run: RunRow, now: float) -> float:
    """Wall seconds that a run took, or has taken so far."""
    return max(0.0, (run.ended if run.ended is not None else now) - run.started)


def status(run: RunRow, rows: Sequence[TaskRow], now: float) -> dict[str, Any]:
    """`weft status`."""
    return {
        "run": run.run,
        "plan": plan_title(run),
        "state": run.state,
        "exit_code": run.exit_code,
        "started": moment(run.started),
        "seconds": round(seconds_of(run, now), 6),
        "counts": counts_of(rows),
        "tasks": {row.name: task_entry(row) for row in rows},
    }


def task_entry(row: TaskRow) -> dict[str, Any]:
    """A task as `status` and `run_ended` show it."""
    return {
        "state": row.state,
        "cause": row.cause,
        "attempts": row.attempts,
        "seconds": row.seconds,
        "memory": row.memory,
        "cpu_seconds": row.cpu_seconds,
        "instances": row.instances or None,
        "detail": row.detail,
    }


def request_entry(request: Request) -> dict[str, Any]:
    """What an attempt was given, in amounts as people write them."""
    entry: dict[str, Any] = {"cores": 0, "memory": None}
    entry.update((name, from_units(name, units)) for name, units in request.amounts)
    entry["timeout"] = request.timeout
    entry.update(request.besides)
    return entry


def region_of(attempt: AttemptRow, stream: str) -> LogRegion:
    """Where a stream of an attempt is."""
    return attempt.stdout if stream == "stdout" else attempt.stderr


def _log(region: LogRegion) -> dict[str, Any]:
    return {"file": region.file, "offset": region.offset, "length": region.length if region.length >= 0 else None}


def attempt_entry(row: AttemptRow, items: Sequence[str] = ()) -> dict[str, Any]:
    """An attempt as `show` shows it. items: of a mapped task."""
    instance = row.key.instance
    item = {"item": items[instance]} if instance < len(items) and instance != WHOLE else {}
    return {
        "attempt": row.key.attempt,
        "instance": None if instance == WHOLE else instance,
        **item,
        "state": row.state,
        "cause": row.cause,
        "detail": row.detail,
        "exit_code": row.exit_code,
        "started": moment(row.started),
        "seconds": row.usage.seconds or None,  # none of what never began
        "cpu_seconds": row.usage.cpu_seconds,
        "memory": row.usage.memory,
        "request": request_entry(row.request),
        "queue": row.request.queue,
        "retry": row.retry,
        "log": {"stdout": _log(region_of(row, "stdout")), "stderr": _log(region_of(row, "stderr"))},
    }


def action_entry(action: Action) -> dict[str, Any]:
    """An action under its key of the normal form."""
    return {kind_of(action): _action_value(action)}


def _action_value(action: Action) -> Any:
    match action:
        case Command(argv):
            return [{"expand": word.text} if isinstance(word, Expand) else word for word in argv]
        case Shell(script):
            return script
        case Snippet(source):
            return source
        case Call(function):
            if isinstance(function, Serialized):
                return {"path": function.path, "format": function.format}
            return function
        case Script(path):
            return path


def show(
    run: RunRow,
    row: TaskRow,
    task: Task | None,
    attempts: Sequence[AttemptRow],
    items: Sequence[str] = (),
    added: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:
    """`weft show`. task: None when the recorded plan cannot be read. items: of a mapped task. added: attributes that it got
    while it ran.
    """
    return {
        "run": run.run,
        "task": row.name,
        "state": row.state,
        "cause": row.cause,
        "detail": row.detail,
        "action": action_entry(task.action) if task is not None else None,
        "parameters": _plain(task.parameters) if task is not None else {},
        "dependencies": [dependency.name for dependency in task.dependencies] if task is not None else [],
        "resources": task.policy.resources.as_json() if task is not None else {},
        "directives": dict(task.policy.directives) if task is not None else {},
        "attributes": _plain({**(task.policy.attributes if task is not None else NOTHING), **added}),
        "fingerprint": row.fingerprint,
        "attempts": [attempt_entry(attempt, items) for attempt in attempts],
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: COVERED if is_secret_name(name) else plain(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """A frozen value as JSON can write it; documents nest at most 200 deep."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def usage(
    run: RunRow,
    rows: Sequence[TaskRow],
    attempts: Sequence[AttemptRow],
    kinds: Mapping[str, Consumption],
    safety: float,
    ids: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """`weft usage`: of the attempt that ended each task, and of the attempts together; then of the tasks of each template.

    ids: of the templates that have one, by name.
    """
    by_task: dict[int, list[AttemptRow]] = {}
    for attempt in attempts:
        by_task.setdefault(attempt.key.task, []).append(attempt)
    return {
        "run": run.run,
        "tasks": {row.name: _usage_entry(row, by_task.get(row.task, [])) for row in rows},
        "templates": {name: {"id": ids.get(name), **_consumption_entry(each, safety)} for name, each in kinds.items()},
    }


def _usage_entry(row: TaskRow, attempts: Sequence[AttemptRow]) -> dict[str, Any]:
    return {
        "state": row.state,
        "seconds": row.seconds,
        "cpu_seconds": row.cpu_seconds,
        "memory": row.memory,
        "request": request_entry(attempts[-1].request) if attempts else None,
        "attempts": row.attempts,
        "total_seconds": round(sum(attempt.usage.seconds for attempt in attempts), 6),
    }


def _consumption_entry(found: Consumption, safety: float) -> dict[str, Any]:
    from weft.assemble.consumption import Figures  # late: `statistics` takes a while

    used = {name: Figures.of(getattr(found, name)) for name in ("seconds", "cpu_seconds", "memory", "cores")}
    return {
        "tasks": found.tasks,
        "attempts": found.attempts,
        **{name: None if figures is None else figures.as_json() for name, figures in used.items()},
        "requested": dict(found.asked),
        "waste": found.waste(),
        "suggested": found.suggested(safety),
    }


def planned_entry(planned: PlannedTask) -> dict[str, Any]:
    """What would happen to a task, and why."""
    return {"action": planned.action, "reasons": [reason.as_json() for reason in planned.reasons]}


def explanation(found: Explanation) -> dict[str, Any]:
    """`weft explain`: what happened to a task in a run, why, and how it fared in earlier runs."""
    return {
        "run": found.run,
        "task": found.task,
        "action": found.action,
        "state": found.state,
        "cause": found.cause,
        "detail": found.detail,
        "reasons": [reason.as_json() for reason in found.reasons],
        "history": [{**episode._asdict(), "started": moment(episode.started)} for episode in found.history],
        **({} if found.shell is None else {"shell": found.shell}),
    }
