"""What the place that we print to can show: terminal or not, colour or not, how wide; and text made harmless for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Colour = Literal["auto", "always", "never"]

FALLBACK_COLUMNS: Final = 80
LEAST_COLUMNS: Final = 20

# Everything a terminal might obey: C0 but newline and tab, DEL, C1, and the marks that turn reading order around
# (CVE-2021-42574).
_ACTIVE: Final = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


class Place(NamedTuple):
    """Where text goes. is_terminal: escapes act there. is_live: it can be redrawn. has_colour: styles are wanted."""

    is_terminal: bool
    is_live: bool
    has_colour: bool
    columns: int


def look(descriptor: int, environ: Mapping[str, str], colour: Colour = "auto") -> Place:
    """What is behind a file descriptor, by the terminal itself and `NO_COLOR`, `CI`, `TERM`, `COLUMNS`."""
    is_terminal = os.isatty(descriptor)
    is_dumb = environ.get("TERM", "") in ("dumb", "unknown", "")
    is_live = is_terminal and not is_dumb and not _is_set(environ.get("CI"))
    if colour == "auto":
        has_colour = is_terminal and not is_dumb and not environ.get("NO_COLOR")
    else:
        has_colour = colour == "always"
    return Place(is_terminal, is_live, has_colour, _columns(descriptor, environ, is_terminal))


def _is_set(value: str | None) -> bool:
    return value not in (None, "", "0", "false", "False")


def _columns(descriptor: int, environ: Mapping[str, str], is_terminal: bool) -> int:
    written = environ.get("COLUMNS", "")
    if written.isascii() and written.isdigit() and int(written) > 0:
        return max(LEAST_COLUMNS, int(written))
    if is_terminal:
        try:
            return max(LEAST_COLUMNS, os.get_terminal_size(descriptor).columns or FALLBACK_COLUMNS)
        except OSError:
            return FALLBACK_COLUMNS
    return FALLBACK_COLUMNS


def harmless(text: str) -> str:
    """`text` with everything a terminal might obey written out (`\\x1b`); newlines and tabs stay."""
    if text.isprintable() or not re.search(_ACTIVE, text):
        return text
    return re.sub(_ACTIVE, _written_out, text.replace("\r\n", "\n"))


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def label(text: str) -> str:
    """A name, or what else is to stand in one line, made harmless: also in a pipe, whose reader is often a terminal."""
    if text.isprintable():
        return text
    return harmless(text).replace("\n", "\\n").replace("\t", "\\t")


STYLES: Final[Mapping[str, str]] = {
    "ok": "32",
    "failed": "1;31",
    "skipped": "33",
    "cancelled": "35",
    "running": "36",
    "pending": "2",
    "error": "1;31",
    "warning": "33",
    "dim": "2",
    "bold": "1",
}


def styled(text: str, style: str, has_colour: bool) -> str:
    """`text` in a style of STYLES, plain where colour is not wanted."""
    code = STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour and code else text
