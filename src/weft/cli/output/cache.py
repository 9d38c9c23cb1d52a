"""What is kept for later runs, as text and as records for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.cli.output.records import moment
from weft.cli.output.tables import table
from weft.cli.output.terminal import Place, label
from weft.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from weft.assemble.caching import Collected, Entry, Listing, Verified

SHORT = 12  # characters of an id or a digest


def listing_record(listing: Listing, now: float) -> dict[str, Any]:
    """`weft cache ls --output json`."""
    return {
        "results": [_entry_record(entry, now) for entry in listing.entries],
        "files": {"count": listing.files, "bytes": listing.bytes, "unreferenced": listing.unreferenced},
        "environments": [
            {"path": found.path, "bytes": found.size, "made": moment(found.made)} for found in listing.environments
        ],
    }


def _entry_record(entry: Entry, now: float) -> dict[str, Any]:
    return {
        "plan": entry.plan,
        "task": entry.task,
        "item": entry.item,
        "fingerprint": entry.fingerprint,
        "format": entry.format,
        "bytes": entry.size,
        "made": None if entry.made is None else moment(entry.made),
        "age_seconds": None if entry.made is None else round(now - entry.made, 3),
        "run": entry.run,
        "path": entry.path,
    }


def listing_text(listing: Listing, place: Place, now: float) -> str:
    """`weft cache ls`."""
    text = "nothing is kept\n"
    if listing.entries:
        text = table(
            ("TASK", "FINGERPRINT", "FORMAT", "SIZE", "AGE", "RUN"),
            [_row(entry, now) for entry in listing.entries],
            place,
            spare=("FINGERPRINT", "RUN"),
        )
    for found in listing.environments:
        text += f"environment {label(found.path)}: {show_bytes(found.size)}, {show_seconds(now - found.made)} old\n"
    text += f"{_counted(len(listing.entries), 'result')}, {_counted(listing.files, 'file')} of products"
    text += f" ({show_bytes(listing.bytes)})"
    if listing.unreferenced:
        text += f"; nothing refers to {listing.unreferenced} of them: weft cache gc"
    return text + "\n"


def _row(entry: Entry, now: float) -> tuple[str, ...]:
    item = "" if entry.item is None else f"[{entry.item[: SHORT + 1] if entry.item.startswith('#') else entry.item}]"
    return (
        entry.task + item,
        entry.fingerprint[:SHORT],
        entry.format,
        "-" if entry.size is None else show_bytes(entry.size),
        "-" if entry.made is None else show_seconds(now - entry.made),
        entry.run[:SHORT],
    )


def collected_record(done: Collected, is_dry: bool) -> dict[str, Any]:
    """`weft cache gc --output json`."""
    return {
        "dry_run": is_dry,
        "removed": {"results": done.results, "files": done.files, "bytes": done.bytes},
        "kept": {"results": done.kept_results, "files": done.kept_files, "bytes": done.kept_bytes},
        "live": list(done.live),
    }


def collected_text(done: Collected, is_dry: bool) -> str:
    """`weft cache gc`."""
    verb = "would remove" if is_dry else "removed"
    text = f"{verb} {_counted(done.results, 'result')} and {_counted(done.files, 'file')} ({show_bytes(done.bytes)})\n"
    kept = f"{_counted(done.kept_results, 'result')} and {_counted(done.kept_files, 'file')}"
    text += f"{'would keep' if is_dry else 'kept'} {kept} ({show_bytes(done.kept_bytes)})\n"
    for run in done.live:
        text += f"run {run[:SHORT]} is at work: what it may need stays\n"
    return text


def verified_record(found: Verified) -> dict[str, Any]:
    """`weft cache verify --output json`."""
    problems = [{"path": path, "problem": problem, "set_aside": aside} for path, problem, aside in found.problems]
    return {"files": found.files, "bytes": found.bytes, "problems": problems}


def verified_text(found: Verified) -> str:
    """`weft cache verify`."""
    text = ""
    for path, problem, aside in found.problems:
        after = f"; set aside as {label(aside)}" if aside is not None else ""
        text += f"{label(path)}: {problem}{after}\n"
    text += f"read {_counted(found.files, 'file')} ({show_bytes(found.bytes)}): "
    if not found.problems:
        return text + "all as they were written\n"
    return text + f"{_counted(len(found.problems), 'problem')}; what is missing is made again when it is needed\n"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
