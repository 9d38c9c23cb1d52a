"""A record as text and as JSON, and what of it may stand where.

record: `time` ISO 8601 text (UTC) of the task's end, `run`, `task`, `state`, `cause` or null, `exit_code` or null,
`seconds` and `attempts` of the task, `output`: what it wrote, stdout then stderr, made harmless and cut in the middle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from weft.units import show_seconds

# Everything a terminal or an editor might obey: control characters but tab and newline, separators, direction marks.
_ACTIVE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_INDENT: Final = "    "


def harmless(text: str) -> str:
    """`text` with control characters written out; newlines and tabs stay, line ends become newlines."""
    if not _ACTIVE.search(text):
        return text
    return _ACTIVE.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """For a head line or a header."""
    return " ".join(harmless(text).split())


def headline(record: Mapping[str, Any]) -> str:
    """`greet: ok, exit code 0, 0.012 s`."""
    state = record["state"]
    parts = [f"{state} ({one_line(record['cause'])})" if record["cause"] else state]
    if record["exit_code"] is not None:
        parts.append(f"exit code {record['exit_code']}")
    if record["seconds"] is not None:
        parts.append(show_seconds(record["seconds"]))
    if record["attempts"] > 1:
        parts.append(f"{record['attempts']} attempts")
    return f"{one_line(record['task'])}: {', '.join(parts)}"


def as_text(record: Mapping[str, Any]) -> str:
    """A head line, then the output. Indented, so that no output can look like another record."""
    lines = "".join(f"{_INDENT}{line}\n" for line in record["output"].splitlines())
    return f"{record['time']} {headline(record)}\n{lines}"


def as_message(record: Mapping[str, Any]) -> str:
    """For people who read it elsewhere: the head line, the output, and which run it was."""
    output = record["output"].rstrip("\n")
    body = f"\n\n{output}" if output else ""
    return f"{headline(record)}{body}\n\nrun {record['run']}, {record['time']}"


def as_json(record: Mapping[str, Any]) -> str:
    """One line, without its end."""
    return json.dumps(record, default=str)


def shorten(text: str, length: int) -> str:
    """At most `length` characters."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"
