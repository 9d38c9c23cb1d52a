"""Text and numbers as SVG holds them."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2 (Char)


def cut_middle(text: str, limit: int) -> str:
    """The beginning and the end: numbered tasks differ at their ends."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def xml(text: str) -> str:
    """Text for XML: escaped, and without the characters that XML 1.0 cannot hold at all."""
    return escape(_NOT_XML.sub("\ufffd", text))


def number(value: float) -> str:
    """A length in pixels, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
