"""Hides secrets in output that is shown or sent: values of variables that are named like one (reliability.md 7, Secrets).

The log itself keeps what the task wrote. A secret is covered by as many stars as it has bytes, so that places in a log stay
what they are and every reader can be masked in the same way. Of a secret that is not known any more, because only digests
were stored, the words of the output are tried, and as many in a row as the secret had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from weft.scheduling.outcomes import LogRegion
from weft.spec.environments import Environment, Withheld
from weft.spec.secrets import is_secret_name, written_forms
from weft.spec.withholding import digest_of, known_values

LEAST_CHARACTERS: Final = 6  # shorter values are words that stand everywhere ("yes", "1234")
LONGEST_WORD: Final = 512  # bytes; a longer one may be cut where two pieces meet
_STOPS: Final = b".!"  # end a sentence, and may end a secret
_AROUND: Final = b"\"'`=,;:()<>[]{}&?|@" + _STOPS
_WORDS: Final = (
    re.compile(rb"\S{%d,%d}" % (LEAST_CHARACTERS, LONGEST_WORD)),
    re.compile(rb"[^\s\"'`=,;:()<>\[\]{}&?|@]{%d,%d}" % (LEAST_CHARACTERS, LONGEST_WORD)),
)


class Logs(Protocol):
    """The logs of a run, covered or not."""

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region."""


class RunLogs(Logs, Protocol):
    """The logs of a run as they were written: `store.logs.LogReader`."""

    def kept_secrets(self) -> Sequence[tuple[str, Withheld]]:
        """(variable, what was kept of its value) of secrets that only attempts of the run knew."""


def secret_values(environ: Mapping[str, str], environments: Iterable[Environment]) -> tuple[str, ...]:
    """Values of all variables that are named like a secret, of the process and of the plan's environments."""
    named = [*environ.items()]
    for environment in environments:
        named += known_values(environment, environ).items()
    found = {value for name, value in named if len(value) >= LEAST_CHARACTERS and is_secret_name(name)}
    return tuple(sorted(found))


def _forms(value: str) -> set[bytes]:
    """A value as it may stand in output, also amid what is in base64 as a whole (`user:password`)."""
    import base64

    forms = {form.encode("utf-8", "surrogateescape") for form in written_forms(value)}
    raw = value.encode("utf-8", "surrogateescape")
    for before in range(3):
        # Of three bytes four characters are made; what neighbours have a part in is left away.
        first, end = -(-before * 4 // 3), (before + len(raw)) * 4 // 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(bytes(before) + raw)[first:end])
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
    """Covers words, alone or in a row, that have one of some digests. secrets: (variable, what is known of its value)."""

    def __init__(self, secrets: Sequence[tuple[str, Withheld]]):
        self._secrets = [(name, frozenset((value.digest, *value.forms))) for name, value in secrets]
        self._rows = sorted({value.words for _, value in secrets} - {1})

    def cover(self, data: bytes) -> bytes:
        """`data` with as many stars as a secret has bytes."""
        for count in self._rows:
            data = self._cover_rows(data, count)
        for words in _WORDS:
            data = words.sub(self._cover_word, data)
        return data

    def _cover_rows(self, data: bytes, count: int) -> bytes:
        spans = [found.span() for found in re.finditer(rb"\S+", data)]
        covered = bytearray(data)
        for (start, first_end), (last_start, end) in zip(spans, spans[count - 1 :], strict=False):
            if end - start > LONGEST_WORD:
                continue
            for left, right in _edges(data, start, first_end, last_start, end):
                if self._is_secret(data[left:right]):
                    covered[left:right] = b"*" * (right - left)
        return bytes(covered)

    def _cover_word(self, match: re.Match[bytes]) -> bytes:
        word = match[0]
        for part in dict.fromkeys((word, word.rstrip(_STOPS))):
            if self._is_secret(part):
                return b"*" * len(part) + word[len(part) :]
        return word

    def _is_secret(self, words: bytes) -> bool:
        text = words.decode("utf-8", "surrogateescape")
        return any(digest_of(name, text) in digests for name, digests in self._secrets)


def _edges(data: bytes, start: int, first_end: int, last_start: int, end: int) -> set[tuple[int, int]]:
    """Where words in a row may begin and end: with the signs around them, without, and behind a `name=`."""
    first, last = data[start:first_end], data[last_start:end]
    bare = first.lstrip(_AROUND)
    named = first[max(first.rfind(b"="), first.rfind(b":")) + 1 :].lstrip(_AROUND)
    lefts = {start, first_end - len(bare), first_end - len(named)}
    return {(left, right) for left in lefts for right in (end, last_start + len(last.rstrip(_AROUND)))}


class MaskedLogs:
    """Logs whose secrets are covered. Reads a little more than asked, so that none slips through between two pieces.

    unknown: (variable, what was kept of its value) of secrets of which no more is known.
    """

    def __init__(self, logs: RunLogs, values: Iterable[str], unknown: Sequence[tuple[str, Withheld]] = ()):
        self._logs = logs
        self._mask = Mask(values)
        self._unknown = tuple(unknown)
        self._kept: Sequence[tuple[str, Withheld]] = ()
        self._words = WordMask(unknown) if unknown else None

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region, as `LogReader.read` gives it."""
        self._learn()
        if self._mask.is_empty and self._words is None:
            return self._logs.read(region, offset, limit)
        margin = max(self._mask.margin, 0 if self._words is None else LONGEST_WORD)
        before = min(offset, margin)
        wanted = None if limit is None else before + limit + margin
        data = self._cover(self._logs.read(region, offset - before, wanted))
        return data[before:] if limit is None else data[before : before + limit]

    def cover_text(self, text: str) -> str:
        """What else comes of the run's tasks, covered as their output is."""
        self._learn()
        return self._cover(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _learn(self) -> None:
        kept = self._logs.kept_secrets()
        if kept != self._kept:
            self._kept, self._words = kept, WordMask((*self._unknown, *kept))

    def _cover(self, data: bytes) -> bytes:
        data = self._mask.cover(data)
        return data if self._words is None else self._words.cover(data)


def _cover(match: re.Match[bytes]) -> bytes:
    return b"*" * len(match[0])
