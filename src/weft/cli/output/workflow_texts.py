"""Answers of `weft workflow` and `weft task` as text, made from the same records as their JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from weft.cli.output.records import moment
from weft.cli.output.tables import table
from weft.cli.output.terminal import Place
from weft.units import show_bytes, show_seconds

LABELS: Final = ("pending", "scheduled", "running", "done", "fatal")


def status_text(entries: Sequence[Mapping[str, Any]], place: Place) -> str:
    """`weft workflow status`."""
    if not entries:
        return "no workflow is recorded here\n"
    rows = [
        (
            str(entry["workflow_id"]),
            str(entry["name"] or entry["workflow_args"]),
            entry["status"],
            str(moment(entry["created"])),
            str(entry["tasks"]),
            *(_share(entry[label], entry["tasks"]) for label in LABELS),
            str(entry["retries"]),
        )
        for entry in entries
    ]
    head = ("ID", "NAME", "STATUS", "CREATED", "TASKS", *(label.upper() for label in LABELS), "RETRIES")
    return table(head, rows, place, spare=("CREATED", "SCHEDULED", "RETRIES"))


def counted(count: int) -> str:
    """`1 task`, `2 tasks`."""
    return "1 task" if count == 1 else f"{count} tasks"


def _share(count: int, whole: int) -> str:
    return f"{count} ({count / whole:.0%})" if whole else str(count)


def tasks_text(entries: Sequence[Mapping[str, Any]], place: Place) -> str:
    """`weft workflow tasks`, `weft task status`."""
    if not entries:
        return "no task has that status\n"
    rows = [
        (str(entry["task_id"]), entry["name"], entry["status"], entry["cause"] or "-", str(entry["retries"]))
        for entry in entries
    ]
    return table(("ID", "NAME", "STATUS", "CAUSE", "RETRIES"), rows, place, spare=("RETRIES",))


def dependencies_text(found: Mapping[str, Any], place: Place) -> str:
    """`weft task dependencies`."""
    rows = [
        (word, str(entry["task_id"]), entry["name"], entry["status"])
        for word, entries in (
            ("upstream", found["upstream"]),
            ("task", [found["task"]]),
            ("downstream", found["downstream"]),
        )
        for entry in entries
    ]
    return table(("", "ID", "NAME", "STATUS"), rows, place)


def logs_text(entries: Sequence[Mapping[str, Any]], place: Place) -> str:
    """`weft workflow logs`: a file and, where several share it, which bytes."""
    rows = [(str(entry["task_id"]), entry["name"], _log(entry["stdout"]), _log(entry["stderr"])) for entry in entries]
    return table(("ID", "NAME", "STDOUT", "STDERR"), rows, place) if rows else "no task has run\n"


def _log(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "-"
    if not entry["offset"] and entry["length"] is None:
        return str(entry["path"])
    length = "" if entry["length"] is None else f"+{entry['length']}"
    return f"{entry['path']}:{entry['offset']}{length}"


def usage_text(found: Mapping[str, Any], place: Place) -> str:
    """`weft workflow resources usage`."""
    rows = [
        (
            title,
            *(_shown(found[f"{figure}_{key}"], show) for figure in ("min", "mean", "median", "max")),
            _interval(found[f"ci_{key}"], show),
        )
        for title, key, show in (("memory", "mem", show_bytes), ("runtime", "runtime", show_seconds))
    ]
    told = f"{counted(found['num_tasks'] or 0)} of template {found['template']} ({', '.join(found['ids'])})\n"
    return told + table(("", "MIN", "MEAN", "MEDIAN", "MAX", "INTERVAL"), rows, place)


def _shown(value: float | None, show: Any) -> str:
    return "-" if value is None else str(show(value))


def _interval(found: Sequence[float] | None, show: Any) -> str:
    return "-" if found is None else f"{show(max(0.0, found[0]))} to {show(found[1])}"
