"""Parameter mappings: how parameters become argv words. Rules: dialects.md 2.4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from weft.errors import cut
from weft.spec.slots import has_nul, text_of

DEFAULT_MAPPING: Final = "--{key} {value}"
REST: Final = "*"  # key of an object mapping for the parameters that it does not name

_SLOT = r"\{\{|\}\}|\{([^{}]*)\}|[{}]"


class MappingError(ValueError):
    """A mapping, or a value under it, that gives no argv words.

    code: `mapping.invalid`, `shape.type` or `shape.value`. parameter: whose value or mapping is at fault, if it is one's.
    """

    def __init__(self, code: str, message: str, parameter: str | None = None):
        super().__init__(message)
        self.code = code
        self.parameter = parameter


class Token(NamedTuple):
    """One word of a mapping. pieces: texts; "{key}" and "{value}" stand for what fills them."""

    pieces: tuple[str, ...]

    @property
    def has_value(self) -> bool:
        """Whether the word shows the value."""
        return _VALUE in self.pieces

    def fill(self, key: str, value: str) -> str:
        """The word for one parameter; what is filled in is never looked at again."""
        return "".join(key if piece is _KEY else value if piece is _VALUE else piece for piece in self.pieces)

    def flag(self, key: str) -> str:
        """What stays of the word for `true`: all before the value, cut at the last `=` or `:` there; maybe nothing."""
        before = list(self.pieces[: self.pieces.index(_VALUE)])
        for number in range(len(before) - 1, -1, -1):
            sign = -1 if before[number] is _KEY else max(before[number].rfind("="), before[number].rfind(":"))
            if sign >= 0:
                before[number:] = [before[number][:sign]]
                break
        return Token(tuple(before)).fill(key, "")


class _Slot(str):
    """A slot among the pieces of a token; told from equal text by identity."""

    __slots__ = ()


_KEY: Final = _Slot("{key}")
_VALUE: Final = _Slot("{value}")
_SLOTS: Final = {"key": _KEY, "value": _VALUE, "{{": "{", "}}": "}"}

ParsedMapping = Mapping[str, tuple[Token, ...]]
"""Words by parameter; `"*"` for all others."""


def parse(mapping: str | Mapping[str, str] | None) -> ParsedMapping:
    """The words of a mapping; None is the default one. Raises MappingError (`mapping.invalid`)."""
    if mapping is None:
        return {REST: parse_text(DEFAULT_MAPPING)}
    if isinstance(mapping, str):
        return {REST: parse_text(mapping)}
    parsed = {REST: parse_text(DEFAULT_MAPPING)}
    for parameter, text in mapping.items():
        try:
            parsed[parameter] = parse_text(text)
        except MappingError as error:
            raise MappingError(error.code, f"{error} (for {cut(parameter)!r})", parameter) from None
    return parsed


@lru_cache(maxsize=256)  # a plan has few mappings and many tasks
def parse_text(text: str) -> tuple[Token, ...]:
    """The words of one text: split by shell quoting rules first, so that no value is ever split. Raises MappingError."""
    import shlex  # late: most plans map nothing

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise MappingError("mapping.invalid", f"the mapping {cut(text)!r} cannot be split: {error}") from None
    if not words:
        raise MappingError("mapping.invalid", "an empty mapping writes nothing; the usual one is '--{key} {value}'")
    return tuple(Token(tuple(_pieces(word, text))) for word in words)


def _pieces(word: str, text: str) -> Iterator[str]:
    position = 0
    for found in re.finditer(_SLOT, word):
        if found.start() > position:
            yield word[position : found.start()]
        piece = _SLOTS.get(found[0] if found[1] is None else found[1])
        if found[0] in ("{", "}"):
            message = f"the mapping {cut(text)!r} has a {found[0]!r} alone; a brace that is no slot is written twice"
            raise MappingError("mapping.invalid", message)
        if piece is None:
            message = f"the mapping {cut(text)!r} has the slot {cut(found[0])!r}; there are only {{key}} and {{value}}"
            raise MappingError("mapping.invalid", message)
        yield piece
        position = found.end()
    if position < len(word):
        yield word[position:]


def map_parameters(parameters: Mapping[str, Any], mapping: str | Mapping[str, str] | None = None) -> list[str]:
    """The argv words of all parameters, in their order. Raises MappingError.

    A list repeats its mapping per item; None and False leave the parameter (or item) out; True keeps the flag alone.
    """
    if not parameters:
        parse(mapping)
        return []
    parsed = parse(mapping)
    words: list[str] = []
    for key, value in parameters.items():
        tokens = parsed.get(key) or parsed[REST]
        items: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
        for item in items:
            _check(key, item)
            words += _words(tokens, key, item)
    return words


def _check(key: str, item: Any) -> None:
    if isinstance(item, list | tuple | Mapping):
        kind = "an object" if isinstance(item, Mapping) else "a list in a list"
        raise MappingError("shape.type", f"parameter {cut(key)!r} is {kind}, which no argument can show", key)
    if has_nul(item) or has_nul(key):
        raise MappingError("shape.value", f"parameter {cut(key)!r} holds a NUL character, which no argument can", key)


def _words(tokens: tuple[Token, ...], key: str, item: Any) -> list[str]:
    if item is None or item is False:
        return []
    if item is not True:
        text = text_of(item)
        return [token.fill(key, text) for token in tokens]
    words = [token.flag(key) if token.has_value else token.fill(key, "") for token in tokens]
    shown = [word for token, word in zip(tokens, words, strict=True) if word or not token.has_value]
    if not shown:
        raise MappingError(
            "mapping.invalid", f"parameter {cut(key)!r} is true, and its mapping shows nothing but a value", key
        )
    return shown
