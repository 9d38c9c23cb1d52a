"""Small files of the kernel: /proc and below /sys, as text."""

from __future__ import annotations


def number(path: str) -> int | None:
    """The number that a file holds; None for `max`, -1, other text, or no such file."""
    word = first_word(path)
    return int(word) if word is not None and word.isdigit() else None


def first_word(path: str) -> str | None:
    """None where there is none."""
    found = words(path)
    return found[0] if found else None


def words(path: str) -> list[str]:
    """Words of the first line."""
    found = lines(path)
    return found[0].split() if found else []


def lines(path: str) -> list[str]:
    """Empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []
