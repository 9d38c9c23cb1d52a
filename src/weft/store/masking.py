"""Hides secrets in output that is shown or sent: values of variables that are named like one (reliability.md 7, Secrets).

The log itself keeps what the task wrote. A secret is covered by as many stars as it has bytes, so that places in a log stay
what they are and every reader can be masked in the same way. Of a secret that is not known any more, because only its digest
was stored, the words of the output are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from weft.scheduling.outcomes import LogRegion
from weft.spec.environments import Environment
from weft.spec.secrets import is_secret_name
from weft.spec.withholding import digest_of

LEAST_CHARACTERS: Final = 6  # shorter values are words that stand everywhere ("yes", "1234")
LONGEST_WORD: Final = 512  # bytes; a longer one may be cut where two pieces meet
_WORDS: Final = (
    re.compile(rb"\S{%d,%d}" % (LEAST_CHARACTERS, LONGEST_WORD)),
    re.compile(rb"[^\s\"'`=,;:()<>\[\]{}&?|@]{%d,%d}" % (LEAST_CHARACTERS, LONGEST_WORD)),
)


class Logs(Protocol):
    """The logs of a run: `store.logs.LogReader`."""

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region."""


def secret_values(environ: Mapping[str, str], environments: Iterable[Environment]) -> tuple[str, ...]:
    """Values of all variables that are named like a secret, of the process and of the plan's environments."""
    named = [*environ.items()]
    for environment in environments:
        named += [(name, value) for name, value in environment.variables if isinstance(value, str)]
    found = {value for name, value in named if len(value) >= LEAST_CHARACTERS and is_secret_name(name)}
    return tuple(sorted(found))


def _forms(value: str) -> set[bytes]:
    """A value as it may stand in output: itself, in base64, in a URL, in JSON."""
    import base64
    import json
    from urllib.parse import quote, quote_plus

    raw = value.encode("utf-8", "surrogateescape")
    forms = {raw, quote(raw, safe="").encode(), quote_plus(raw).encode(), json.dumps(value)[1:-1].encode()}
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b64encode(raw + b"\n")):
        forms.add(encoded.rstrip(b"="))
    return forms


class Mask:
    """Covers values in bytes and texts, in every form that they may have."""

    def __init__(self, values: Iterable[str]):
        forms = sorted({form for value in values for form in _forms(value)}, key=lambda form: (-len(form), form))
        self.margin = len(forms[0]) - 1 if forms else 0
        self._pattern = re.compile(b"|".join(map(re.escape, forms))) if forms else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to cover."""
        return self._pattern is None

    def cover(self, data: bytes) -> bytes:
        """`data` with as many stars as a secret has bytes."""
        return data if self._pattern is None else self._pattern.sub(_cover, data)

    def cover_text(self, text: str) -> str:
        """The same for a text."""
        if self._pattern is None:
            return text
        return self.cover(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


class WordMask:
    """Covers words that have one of some digests. digests: (variable, digest of its value)."""

    def __init__(self, digests: Sequence[tuple[str, str]]):
        self._digests = digests

    def cover(self, data: bytes) -> bytes:
        """`data` with as many stars as a secret word has bytes."""
        for words in _WORDS:
            data = words.sub(self._cover_word, data)
        return data

    def _cover_word(self, match: re.Match[bytes]) -> bytes:
        word = match[0].decode("utf-8", "surrogateescape")
        return _cover(match) if any(digest_of(name, word) == digest for name, digest in self._digests) else match[0]


class MaskedLogs:
    """Logs whose secrets are covered. Reads a little more than asked, so that none slips through between two pieces.

    unknown: (variable, digest of its value) of secrets of which no more is known.
    """

    def __init__(self, logs: Logs, values: Iterable[str], unknown: Sequence[tuple[str, str]] = ()):
        self._logs = logs
        self._mask = Mask(values)
        self._words = WordMask(unknown) if unknown else None
        self._margin = max(self._mask.margin, LONGEST_WORD if unknown else 0)

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region, as `LogReader.read` gives it."""
        if self._mask.is_empty and self._words is None:
            return self._logs.read(region, offset, limit)
        before = min(offset, self._margin)
        wanted = None if limit is None else before + limit + self._margin
        data = self._mask.cover(self._logs.read(region, offset - before, wanted))
        if self._words is not None:
            data = self._words.cover(data)
        return data[before:] if limit is None else data[before : before + limit]


def _cover(match: re.Match[bytes]) -> bytes:
    return b"*" * len(match[0])
