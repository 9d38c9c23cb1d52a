"""Where the slots of a shell script stand, and how a value is quoted there so that the shell can only read it as data.

A value that is always put in single quotes would be set free by the quotes of a script such as `echo '{name}'`. So the script
is read by the shell's own rules (POSIX.1-2024, XCU 2.2, 2.6, 2.7.4): plain text, quotes, `${...}`, `$(...)`, here-documents,
comments. Where no quoting holds, or where this reader cannot be sure of the place (backquotes, arithmetic, `case` inside
`$(...)`), only values of harmless characters are let in; the others are refused, never guessed. Slots in comments are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple

from weft.spec.slots import ShellSlotError as ShellSlotError

Place = Literal["plain", "single", "double", "here", "here_literal", "unsafe"]

_SLOT = r"\{(?P<slot>[^\W\d]\w*)\}"
_BRACES = r"(?P<open>\{\{)|(?P<close>\}\})|" + _SLOT
_ESCAPE = rf"(?P<escape>\\(?!{_SLOT.replace('?P<slot>', '?:')}).)|(?P<bare>\\)"
_STARTS = rf"{_ESCAPE}|(?P<start>\$\(\(|\$\(|\$\{{(?!\{{)|`|\")|(?P<pid>\$\$)"
_WORD = r"(?:\\.|'[^']*'|\"[^\"]*\"|[^\s;&|<>()'\"\\`$])+"
_PLAIN_ONLY = (
    r"(?P<single>')|(?P<odd>\$'|\(\()|(?P<group>\()|(?P<end>\))|(?P<line>\n)|(?P<case>(?<![\w-])case(?=\s))"
    rf"|(?P<text><<<)|(?P<here><<(?P<dash>-?)[ \t]*(?P<delimiter>{_WORD}))"
)
_COMMENT = r"(?P<comment>(?<![^\s;&|()])#[^\n]*)"
_TOKENS = {
    "plain": re.compile(f"{_COMMENT}|{_PLAIN_ONLY}|{_STARTS}|{_BRACES}", re.DOTALL),
    "brace": re.compile(rf"(?P<single>')|(?P<end>\}})|{_STARTS}|{_SLOT}", re.DOTALL),
    "quoted_brace": re.compile(rf"(?P<end>\}})|{_STARTS}|{_SLOT}", re.DOTALL),
    "single": re.compile(rf"(?P<end>')|{_BRACES}"),
    "double": re.compile(rf"(?P<end>\")|{_STARTS}|{_BRACES}", re.DOTALL),
    "arithmetic": re.compile(rf"(?P<group>\()|(?P<end>\))|{_STARTS}|{_BRACES}", re.DOTALL),
    "backquote": re.compile(rf"(?P<end>`)|{_ESCAPE}|(?P<start>\$\{{(?!\{{))|{_BRACES}", re.DOTALL),
}
_HERE = re.compile(rf"{_ESCAPE}|(?P<start>\$\{{(?!\{{))|{_BRACES}|(?P<end>\}})", re.DOTALL)
_TABBED = re.compile(r"^\t", re.MULTILINE)
_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


class _Here(NamedTuple):
    delimiter: str
    is_literal: bool
    strips_tabs: bool

    def is_ended_by(self, line: str) -> bool:
        return (line.lstrip("\t") if self.strips_tabs else line) == self.delimiter


class Piece(NamedTuple):
    """Text of a script as it is to be, or the name of a slot. here: the here-document it stands in."""

    text: str
    is_slot: bool = False
    place: Place = "plain"
    here: _Here | None = None


def fill_pieces(pieces: Iterable[Piece], texts: dict[str, str]) -> str:
    """The script with the texts quoted in. Raises ShellSlotError, KeyError for a slot without a text."""
    filled: list[str] = []
    for here, group in groupby(pieces, key=attrgetter("here")):
        members = tuple(group)
        text = "".join(quote(piece, texts[piece.text]) if piece.is_slot else piece.text for piece in members)
        slot = next((piece.text for piece in members if piece.is_slot), None)
        if here is not None and slot is not None and any(map(here.is_ended_by, text.split("\n"))):
            raise ShellSlotError(slot, "there, because it would end the here-document")
        filled.append(text)
    return "".join(filled)


def quote(piece: Piece, text: str) -> str:
    """The text as it must stand at the slot. Raises ShellSlotError."""
    if _HARMLESS.fullmatch(text):
        return text
    if piece.here is not None and piece.here.strips_tabs and _TABBED.search(text):
        raise ShellSlotError(piece.text, "after `<<-`, where the shell takes tabs away")
    if piece.place == "plain":
        return "'" + text.replace("'", "'\"'\"'") + "'"
    if piece.place == "single":
        return text.replace("'", "'\\''")
    if piece.place == "double":
        return re.sub(r'([\\"$`])', r"\\\1", text)
    if piece.place == "here":
        return re.sub(r"([\\$`])", r"\\\1", text)
    if piece.place == "here_literal":
        return text
    raise ShellSlotError(piece.text, "in backquotes, arithmetic, after a backslash or inside an expansion")


def scan(script: str) -> Iterator[Piece]:
    """The script's pieces, in order."""
    return _Scanner(script).pieces()


class _Scanner:
    """One pass over a script. The stack holds what encloses the present position, innermost last."""

    __slots__ = ("_backslash", "_here", "_is_unsure", "_position", "_script", "_stack")

    def __init__(self, script: str):
        self._script = script
        self._position = 0
        self._stack = ["plain"]
        self._here: list[_Here] = []
        self._backslash = -1  # where one ends that has nothing to escape but a slot
        self._is_unsure = (
            "$\\\n" in script or "<\\\n" in script
        )  # a continued line joins what is read here as two tokens

    def pieces(self) -> Iterator[Piece]:
        script = self._script
        while self._position < len(script):
            token = self._tokens().search(script, self._position)
            if token is None:
                yield Piece(script[self._position :])
                return
            if token.start() > self._position:
                yield Piece(script[self._position : token.start()])
            self._position = token.end()
            yield self._take(token)
            if token.lastgroup == "line" and self._here:
                yield from self._bodies()

    def _tokens(self) -> re.Pattern[str]:
        top = self._stack[-1]
        return _TOKENS["plain" if top in ("group", "command") else top]

    def _take(self, token: re.Match[str]) -> Piece:
        text = token[0]
        kind = token.lastgroup
        if kind == "slot":
            return Piece(token["slot"], True, self._place(token.start()))
        if kind in ("open", "close"):
            return Piece(text[0])
        if kind == "end":
            self._leave(text)
        elif kind == "start":
            self._enter(text)
        elif kind == "single":
            self._stack.append("single")
        elif kind == "group":
            self._stack.append("arithmetic" if self._stack[-1] == "arithmetic" else "group")
        elif kind == "here":
            self._expect(token)
        elif kind == "bare":
            self._backslash = token.end()
        elif kind == "odd" or (kind == "case" and "command" in self._stack):
            # $'...' and ((...)) differ from shell to shell, and the patterns of `case` have brackets without a partner
            self._is_unsure = True
            self._stack += ["group", "group"] if text == "((" else []
        return Piece(text)

    def _enter(self, text: str) -> None:
        top = self._stack[-1]
        if text == "$((":
            self._stack += ["arithmetic", "arithmetic"]
        elif text == "$(":
            self._stack.append("command")
        elif text == "${":
            is_quoted = top in ("double", "quoted_brace", "backquote", "arithmetic")
            self._stack.append("quoted_brace" if is_quoted else "brace")
        else:
            self._stack.append("backquote" if text == "`" else "double")

    def _leave(self, text: str) -> None:
        # a bracket without a partner at the top is a pattern of `case`
        if text != ")" or self._stack[-1] in ("group", "command", "arithmetic"):
            self._stack.pop()

    def _place(self, start: int) -> Place:
        stack = self._stack
        if (
            self._is_unsure
            or self._backslash == start
            or not {"backquote", "arithmetic", "quoted_brace"}.isdisjoint(stack)
        ):
            return "unsafe"
        return "single" if stack[-1] == "single" else "double" if stack[-1] == "double" else "plain"

    def _expect(self, token: re.Match[str]) -> None:
        word = token["delimiter"]
        delimiter = re.sub(r"\\(.)|['\"]", r"\1", word)
        self._here.append(_Here(delimiter, delimiter != word, token["dash"] == "-"))

    def _bodies(self) -> Iterator[Piece]:
        for here in self._here:
            end = self._end_of_body(here)
            body = self._script[self._position : end]
            self._position = end
            yield from _body_pieces(body, here, self._is_unsure)
            newline = self._script.find("\n", end)
            after = len(self._script) if newline < 0 else newline + 1
            yield Piece(self._script[end:after])
            self._position = after
        self._here.clear()

    def _end_of_body(self, here: _Here) -> int:
        """Where the line of the delimiter begins; the script's end when there is none."""
        position = self._position
        while position < len(self._script):
            newline = self._script.find("\n", position)
            if here.is_ended_by(self._script[position : newline if newline >= 0 else None]):
                return position
            if newline < 0:
                break
            position = newline + 1
        return len(self._script)


def _body_pieces(body: str, here: _Here, is_unsure: bool) -> Iterator[Piece]:
    place: Place = "here_literal" if here.is_literal else "here"
    if is_unsure or (not here.is_literal and ("`" in body or "$(" in body)):
        place = "unsafe"
    position = depth = 0
    backslash = -1
    while (token := _HERE.search(body, position)) is not None:
        if token.start() > position:
            yield Piece(body[position : token.start()], here=here)
        kind, text = token.lastgroup, token[0]
        if kind == "slot":
            yield Piece(token["slot"], True, "unsafe" if token.start() == backslash else place, here)
            position = token.end()
            continue
        if kind == "close" and depth:
            kind, text = "end", "}"
        if kind in ("open", "close"):
            yield Piece(text[0], here=here)
        else:
            depth = depth + 1 if kind == "start" else max(0, depth - 1) if kind == "end" else depth
            yield Piece(text, here=here)
        backslash = token.end() if kind == "bare" and not here.is_literal else -1
        position = token.end() if kind != "end" else token.start() + 1
    if position < len(body):
        yield Piece(body[position:], here=here)
