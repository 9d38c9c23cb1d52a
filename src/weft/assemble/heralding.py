"""What wakes a run that waits for files (`--wait`): events of the system where there are any."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from weft.assemble.run_settings import DRY, RunSettings
from weft.files.changes import Changes, FileEvents, Polling, has_events
from weft.files.herald import Herald
from weft.files.search import Place
from weft.files.watched import requires_files, watched_folders
from weft.runtime.requests import Requests
from weft.scheduling.events import WorldChanged
from weft.spec.plan import Plan
from weft.store.folder import LOCAL_TYPES, file_system_of


def make_herald(
    plan: Plan, selected: Sequence[int], settings: RunSettings, state: str, requests: Requests
) -> Herald | None:
    """Who tells the scheduler that files may have come; None where it looks every second by itself."""
    if settings.wait is None or settings.executor in DRY or not has_events():
        return None
    tasks = [task for task in map(plan.graph.tasks.__getitem__, selected) if requires_files(task)]
    if not tasks:
        return None
    place = Place(os.path.abspath(plan.root), os.path.realpath(state))
    return Herald(lambda: open_changes(watched_folders(tasks, place), place), teller(requests))


def open_changes(folders: Sequence[str], place: Place) -> Changes:
    """Events of the folders; looks where one is on a disk that other machines write, too: those tell of nothing."""
    if any(file_system_of(folder) not in LOCAL_TYPES for folder in folders):
        return Polling(0.0)
    return FileEvents(folders, place.state_folder)


def teller(requests: Requests) -> Callable[[], None]:
    """Asks the scheduler to look again."""
    return lambda: requests.put(WorldChanged())
