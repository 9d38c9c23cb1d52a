"""What is kept for later runs: to be listed, cleared and verified."""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from weft.environments.installations import READY
from weft.files.examination import PRODUCTS
from weft.store.archive import SqliteArchive
from weft.store.keeping import Keeping, KeptResult, Work, is_needed_by, read_work
from weft.store.products import RecordedProducts
from weft.values import encoding
from weft.values.encoding import DamagedError, Reference
from weft.values.files import ASIDE, FRESH_SECONDS, ROOM, set_aside
from weft.values.items import ItemReader

GRACE_SECONDS: Final = 2 * FRESH_SECONDS
"""While a run is at work, files that are younger stay: it may have written one of which nothing is recorded yet."""


class Entry(NamedTuple):
    """Finished work. item: of an instance. size: bytes of product and outputs, None where unknown. made: wall clock seconds.

    format: of the product: `text` that is recorded, a format of `weft.values`, or `files` for outputs alone.
    """

    plan: str
    task: str
    item: str | None
    fingerprint: str
    format: str
    size: int | None
    made: float | None
    run: str
    path: str | None


class InstalledFolder(NamedTuple):
    """A virtual environment. size: bytes."""

    path: str
    size: int
    made: float


class Listing(NamedTuple):
    """Everything that is kept. files, bytes: of products; unreferenced: those that `collect` would remove."""

    entries: Sequence[Entry]
    files: int
    bytes: int
    unreferenced: int
    environments: Sequence[InstalledFolder]


class Collected(NamedTuple):
    """What was given up, or would be, and what stays. live: runs that are at work."""

    results: int
    files: int
    bytes: int
    kept_results: int
    kept_files: int
    kept_bytes: int
    live: Sequence[str]


class Verified(NamedTuple):
    """files, bytes: that were read. problems: (path, what is wrong, where it lies now or None)."""

    files: int
    bytes: int
    problems: Sequence[tuple[str, str, str | None]]


# --- listing -----------------------------------------------------------------------------------------------------------


def list_kept(state: str) -> Listing:
    """What is kept in a state folder, oldest first. Raises StoreError."""
    folder = os.path.join(state, PRODUCTS)
    recorded = RecordedProducts(state)
    with SqliteArchive(state) as archive:
        work = read_work(archive.connection, state)
    entries = [_entry(kept, folder, recorded) for kept in work.results]
    entries.sort(key=lambda entry: (entry.made or 0.0, entry.plan, entry.task, entry.item or ""))
    files = list(_files(folder))
    wanted = _wanted(folder, work.results, (*work.needed, *work.shown))
    unreferenced = sum(1 for path, _ in files if not _stays(path, folder, wanted, work, is_all=False))
    return Listing(
        entries, len(files), sum(found.st_size for _, found in files), unreferenced, list(_environments(state))
    )


def _entry(kept: KeptResult, folder: str, recorded: RecordedProducts) -> Entry:
    row = kept.row
    text = row.held.text if row.held is not None else _recorded_text(kept, recorded)
    form, size, path = "files", None, None
    if row.product is not None:
        form = "text"
        reference = _reference(text)
        if reference is not None:
            form, size = reference.format, reference.size
            path = None if reference.inline is not None else encoding.path_of(folder, reference)
        elif text is not None:
            size = len(text.encode("utf-8", "surrogatepass"))
    outputs = sum(output[1] for output in row.outputs)
    if row.outputs:
        size = outputs + (size or 0)
    item = row.instance or None
    return Entry(row.plan_key, row.name, item, row.fingerprint, form, size, kept.started, row.run, path)


def _recorded_text(kept: KeptResult, recorded: RecordedProducts) -> str | None:
    row = kept.row
    if row.product is None or kept.started is None:
        return None
    return recorded.of_item(row.run, row.name, row.instance) if row.instance else recorded.text(row.run, row.name)


def _environments(state: str) -> Iterator[InstalledFolder]:
    folder = os.path.join(state, "environments")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        ready = os.path.join(path, READY)
        if os.path.isfile(ready):
            yield InstalledFolder(path, _bytes_below(path), os.stat(ready).st_mtime)


def _bytes_below(path: str) -> int:
    return sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(path) for name in names)


# --- clearing ----------------------------------------------------------------------------------------------------------


def collect(
    state: str,
    *,
    older: float | None = None,
    keep: int | None = None,
    is_all: bool = False,
    is_dry: bool = False,
    now: float | None = None,
    told: Callable[[str], None] | None = None,
) -> Collected:
    """Give up finished work that no run can use, and files that nothing refers to. Raises StoreError, OSError.

    older: work of runs that began more than so many seconds ago, too. keep: all but so many of each task, or instance.
    is_all: all of it. What a run that is at work may use stays in any case.
    """
    folder = os.path.join(state, PRODUCTS)
    with Keeping(state, told) as keeping:
        work = keeping.work()
        gone = _given_up(work, folder, older, keep, is_all, time.time() if now is None else now)
        staying = [kept for kept in work.results if kept.number not in gone]
        if not is_dry:
            keeping.give_up(gone)
        wanted = _wanted(folder, staying, work.needed if is_all else (*work.needed, *work.shown))
        removed = kept_files = removed_bytes = kept_bytes = 0
        for path, found in _files(folder):
            if _stays(path, folder, wanted, work, is_all=is_all) or (work.live and _is_young(found)):
                kept_files, kept_bytes = kept_files + 1, kept_bytes + found.st_size
                continue
            removed, removed_bytes = removed + 1, removed_bytes + found.st_size
            if not is_dry:
                os.unlink(path)
        if not is_dry:
            _remove_empty(folder)
    return Collected(len(gone), removed, removed_bytes, len(staying), kept_files, kept_bytes, work.owners)


def _given_up(
    work: Work, folder: str, older: float | None, keep: int | None, is_all: bool, now: float
) -> Collection[int]:
    """Numbers of results that go."""
    gone = set()
    newer: dict[tuple[str, str, str], int] = defaultdict(int)
    for kept in reversed(work.results):
        row = kept.row
        place = (row.plan_key, row.name, row.instance)
        newer[place] += 1
        if is_needed_by(row.plan_key, work.live):
            continue
        is_old = older is not None and now - (kept.started or 0.0) > older
        is_spare = keep is not None and newer[place] > keep
        if is_all or is_old or is_spare or not _is_usable(kept, folder):
            gone.add(kept.number)
    return gone


def _is_usable(kept: KeptResult, folder: str) -> bool:
    """Whether a run could take it over: its product is where it was left."""
    if kept.row.held is None:
        return kept.row.product is None or kept.started is not None
    reference = _reference(kept.row.held.text)
    if reference is None or reference.inline is not None:
        return True
    try:
        return os.stat(encoding.path_of(folder, reference)).st_size == reference.size
    except OSError:
        return False


def _wanted(folder: str, results: Iterable[KeptResult], handed_on: Iterable[str]) -> Collection[str]:
    """Paths of the files that these refer to, also from within item logs."""
    open_texts = [kept.row.held.text for kept in results if kept.row.held is not None]
    open_texts += handed_on
    wanted: set[str] = set()
    while open_texts:
        reference = _reference(open_texts.pop())
        if reference is None or reference.inline is not None:
            continue
        path = encoding.path_of(folder, reference)
        if path in wanted:
            continue
        wanted.add(path)
        if reference.format == "items" and os.path.exists(path):
            with ItemReader(path, folder) as items:
                open_texts += [text for text in map(items.text, range(items.count)) if text.startswith("@")]
    return wanted


def _stays(path: str, folder: str, wanted: Collection[str], work: Work, *, is_all: bool) -> bool:
    """Whether a file below the products folder is needed. Rooms belong to a run, as long as that can be taken up."""
    if path in wanted:
        return True
    first = os.path.relpath(path, folder).split(os.sep)[0]
    if first.startswith(ROOM):
        run = first.removeprefix(ROOM)
        return run in work.owners or not (is_all or run in work.ended)
    return False


def _is_young(found: os.stat_result) -> bool:
    return time.time() - found.st_mtime < GRACE_SECONDS


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files of products, by path; also what was set aside, or left half written. The key is none of them."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if parent == folder and name == "key":
                continue
            try:
                yield path, os.lstat(path)
            except FileNotFoundError:
                continue  # its run has just given it its name


def _remove_empty(folder: str) -> None:
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.listdir(path):
            shutil.rmtree(path, ignore_errors=True)  # a run may have put something in: then it stays


# --- verifying ---------------------------------------------------------------------------------------------------------


def verify_kept(state: str) -> Verified:
    """Read every product file. Damaged ones are set aside, so that they are made again. Raises StoreError."""
    folder = os.path.join(state, PRODUCTS)
    with SqliteArchive(state) as archive:
        work = read_work(archive.connection, state)
    wanted = _wanted(folder, work.results, ())
    problems: list[tuple[str, str, str | None]] = []
    seen: set[str] = set()
    count = size = 0
    for path, found in _files(folder):
        reference = _named(path, found.st_size)
        if reference is None:
            continue
        seen.add(path)
        count, size = count + 1, size + found.st_size
        if encoding.verify(folder, reference) is not None:
            problems.append((path, "its content is not what was written", set_aside(path)))
    problems += [(path, "it is not there", None) for path in sorted(set(wanted) - seen)]
    return Verified(count, size, problems)


def _named(path: str, size: int) -> Reference | None:
    """The reference that a file's name tells; None for what is no product."""
    digest, dot, form = os.path.basename(path).partition(".")
    if not dot or form.endswith(ASIDE.removeprefix(".")):
        return None
    room = os.path.basename(os.path.dirname(path))
    text = f"@{form} {digest} {size}" + (f" {room}" if room.startswith(ROOM) else "")
    return _reference(text)


def _reference(text: str | None) -> Reference | None:
    """The reference that a text is; None for every other text."""
    try:
        return encoding.parse(text) if text is not None else None
    except DamagedError:
        return None
