"""Who of those that carry a run is alive and does not answer. Nothing is taken from them for it."""

from __future__ import annotations

import os

from weft.executors.living import is_supervisor_silent
from weft.ports import RunRow
from weft.store.archive import SqliteArchive
from weft.store.ownership import owner_pid

STOPPED = ("T", "t")  # proc_pid_stat(5): by a signal, by a debugger


def silent(archive: SqliteArchive, run: RunRow) -> list[str]:
    """Sentences about an engine that stands still and a supervisor that says nothing, of a run that has not ended."""
    found = []
    pid = owner_pid(archive.folder, run.plan_key) if archive.is_owned(run) else None
    if pid is not None and _state_of(pid) in STOPPED:
        found.append(f"the engine (process {pid}) is not answering: it was stopped; kill -CONT {pid} lets it go on")
    if is_supervisor_silent(run.run, os.path.join(archive.folder, "runs", run.run)):
        found.append("the supervisor is not answering; its tasks go on, and nothing is taken from it")
    return found


def _state_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
