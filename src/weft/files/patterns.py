"""File expressions: what they match, where a search for them begins, and a search that ends in time.

Python's matcher cannot be interrupted and holds the interpreter while it works, so a catastrophic expression would stop weft as a
whole. Expressions whose cost could explode (quantified groups, many open quantifiers) are therefore matched in a small child
process, which is ended when the time is over; all others are matched in place.
"""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Final, Literal

from weft.files.patience import Patience, SearchTimeoutError
from weft.spec.requirements import MatchNeed

if TYPE_CHECKING:
    import subprocess

SEARCH_SECONDS: Final = 30.0  # a check that takes longer has failed; reliability.md F7
BATCH_PATHS: Final = 2000
ANSWER_SECONDS: Final = 0.1  # after so long without an answer, look whether anybody still waits
HARMLESS_QUANTIFIERS: Final = 2  # open ones outside any group: cost at most cubic in a path's length
_OPEN_COUNT: Final = re.compile(r"\{\d*,\d*\}")  # `{3}` alone costs nothing
GLOB_SIGNS: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled expression. start: folder where the search begins (relative to the root, "" is the root, or absolute).

    depth: how many folders below `start` a match can lie, None when unlimited. is_risky: matched in a child process.
    is_named: `start` is a path that somebody wrote (of a glob, or absolute), so that it may be hidden or a link; the rule that
    leaves such folders out is for what a search passes.
    """

    text: str
    expression: re.Pattern[str]
    start: str
    depth: int | None
    is_risky: bool
    is_named: bool

    def is_below(self, start: str) -> bool:
        """Whether a search from the folder `start` passes everything that a search from this pattern's own start does."""
        return not start or self.start == start or self.start.startswith(start + "/")


@lru_cache(maxsize=4096)
def compile_pattern(text: str, kind: Literal["regex", "glob"]) -> Pattern:
    """The pattern of a `MatchNeed`. Raises re.error."""
    is_absolute = text.startswith("/")
    if kind == "glob":
        text = text.removeprefix("./")
        start = glob_start(text)
        depth = (
            None if "**" in text else text.count("/") - (start.count("/") + 1 if start.strip("/") else int(is_absolute))
        )
        return Pattern(text, re.compile(translate_glob(text)), start, depth, _glob_is_risky(text), True)
    return Pattern(text, re.compile(text), regex_start(text), None, regex_is_risky(text), is_absolute)


def of_need(need: MatchNeed) -> Pattern:
    """The pattern of a requirement. Raises re.error."""
    return compile_pattern(need.pattern, need.kind)


# --- where a search begins -------------------------------------------------------------------------------------------------


def glob_start(pattern: str) -> str:
    """The folder that every match of the glob lies in: its leading names without wildcards."""
    names = pattern.split("/")[:-1]
    fixed: list[str] = []
    for name in names:
        if GLOB_SIGNS.search(name):
            break
        fixed.append(name)
    return "/".join(fixed) or ("/" if pattern.startswith("/") else "")


def regex_start(pattern: str) -> str:
    """The folder that every match of the regular expression lies in: its literal beginning up to a slash."""
    nowhere = "/" if pattern.startswith("/") else ""
    if _has_outer_alternative(pattern):
        return nowhere
    literal: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\" and position + 1 < len(pattern) and not pattern[position + 1].isalnum():
            literal.append(pattern[position + 1])
            position += 2
        elif character in "*?+{":
            if literal:
                literal.pop()
            break
        elif character in ".^$[]\\|()":
            break
        else:
            literal.append(character)
            position += 1
    return "".join(literal).rpartition("/")[0] or nowhere


def _has_outer_alternative(pattern: str) -> bool:
    """Whether a `|` stands outside of groups and character classes; may say yes too often, never too rarely."""
    return any(character == "|" and depth <= 0 for character, depth, _ in _signs(pattern))


def _signs(pattern: str) -> Iterator[tuple[str, int, int]]:
    """The characters of a regular expression that are neither escaped nor in a class: (character, depth of group, position)."""
    depth = 0
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 2
            continue
        if character == "[":
            end = pattern.find("]", position + (3 if pattern.startswith("[^]", position) else 2))
            while end > 0 and _is_escaped(pattern, end):
                end = pattern.find("]", end + 1)
            position = end + 1 if end > 0 else len(pattern)
            yield "]", depth, position - 1
            continue
        depth -= character == ")"
        yield character, depth, position
        depth += character == "("
        position += 1


def _is_escaped(pattern: str, position: int) -> bool:
    slashes = 0
    while position - slashes > 0 and pattern[position - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


# --- which may take for ever -------------------------------------------------------------------------------------------------


def regex_is_risky(pattern: str) -> bool:
    """Whether matching could take more than a low power of the path's length: quantified groups, many open quantifiers."""
    opened = 0
    before = ""
    for character, _, position in _signs(pattern):
        if character in "*+{" and before == ")":
            return True
        opened += character in "*+" or (character == "{" and _OPEN_COUNT.match(pattern, position) is not None)
        before = character
    return opened > HARMLESS_QUANTIFIERS or "(?" in pattern or re.search(r"\\[1-9]", pattern) is not None


def _glob_is_risky(pattern: str) -> bool:
    return len(re.findall(r"\*+", pattern)) > HARMLESS_QUANTIFIERS


# --- globs ---------------------------------------------------------------------------------------------------------------------


def translate_glob(pattern: str) -> str:
    """The regular expression for whole paths that a glob stands for.

    `*` and `?` stay inside one name, `**` as a whole name crosses folders (none or more). As in a shell, a wildcard does not
    match the dot at the beginning of a name.
    """
    names = pattern.split("/")
    last = len(names) - 1
    parts = []
    for number, name in enumerate(names):
        if name == "**":
            parts.append(r"(?:(?!\.)[^/]+/)*" if number < last else r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+")
        else:
            parts.append(_translate_name(name) + ("/" if number < last else ""))
    return "(?s:" + "".join(parts) + ")"


def _translate_name(name: str) -> str:
    parts = [r"(?!\.)"] if name[:1] in ("*", "?", "[") else []
    position = 0
    while position < len(name):
        character = name[position]
        position += 1
        if character == "*":
            while name[position : position + 1] == "*":
                position += 1
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif (
            character == "["
            and (end := name.find("]", position + (2 if name[position : position + 1] in ("!", "^") else 1))) > 0
        ):
            parts.append(_translate_class(name[position:end]))
            position = end + 1
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def _translate_class(body: str) -> str:
    is_negated = body[0] in "!^"
    inner = body[is_negated:]
    inner = (
        inner.replace("\\", "\\\\")
        .replace("[", "\\[")
        .replace("]", "\\]")
        .replace("&&", "&\\&")
        .replace("~~", "~\\~")
        .replace("--", "-\\-")
        .replace("||", "|\\|")
    )
    return f"[^/{inner}]" if is_negated else f"(?!/)[{inner}]"


# --- matching with an end ------------------------------------------------------------------------------------------------------

# The child matches whole batches and answers with the numbers of the paths that match. It ends with its input, or by the
# limit on processor time when it is stuck in an expression and its parent has been killed.
_CHILD = """
import re, resource, sys
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
match = re.compile(sys.argv[1]).fullmatch
source, sink = sys.stdin.buffer, sys.stdout.buffer
while True:
    size = source.read(8)
    if len(size) < 8:
        break
    data = source.read(int.from_bytes(size, "little"))
    paths = [path.decode("utf-8", "surrogateescape") for path in data.split(b"\\0")]
    found = b",".join(b"%d" % number for number, path in enumerate(paths) if match(path))
    sink.write(len(found).to_bytes(8, "little") + found)
    sink.flush()
"""


class Matcher:
    """Matches paths against one pattern. Close it when done."""

    def __init__(self, pattern: Pattern, patience: Patience):
        self._pattern = pattern
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None

    def matching(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that match. Raises SearchTimeoutError, OSError."""
        if not self._pattern.is_risky:
            match = self._pattern.expression.fullmatch
            return [path for path in paths if match(path)]
        return [
            path
            for start in range(0, len(paths), BATCH_PATHS)
            for path in self._ask(paths[start : start + BATCH_PATHS])
        ]

    def close(self) -> None:
        """End the child process, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:  # what it had not taken is of no use any more
                pass
        child.wait()

    def _ask(self, paths: Sequence[str]) -> list[str]:
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        data = "\0".join(paths).encode("utf-8", "surrogateescape")
        child.stdin.write(len(data).to_bytes(8, "little") + data)
        child.stdin.flush()
        size = int.from_bytes(self._read(child.stdout, 8), "little")
        found = self._read(child.stdout, size)
        return [paths[int(number)] for number in found.split(b",")] if found else []

    def _read(self, stream: IO[bytes], size: int) -> bytes:
        data = b""
        poll = select.poll()  # select() knows no descriptors above 1023
        poll.register(stream, select.POLLIN)
        while len(data) < size:
            while not poll.poll(min(self._patience.left(), ANSWER_SECONDS) * 1000):
                if self._patience.is_over():
                    text = self._pattern.text
                    raise SearchTimeoutError(f"the expression {text!r} takes too long to match", text)
            chunk = os.read(stream.fileno(), size - len(data))
            if not chunk:
                raise ChildProcessError(f"the process that matches {self._pattern.text!r} has ended")
            data += chunk
        return data

    def _start(self) -> subprocess.Popen[bytes]:
        import subprocess  # late: only expressions that could explode need it

        self._patience.expect_long()
        seconds = str(int(self._patience.left()) + 3)
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CHILD, self._pattern.expression.pattern, seconds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        return self._child
