"""Errors and warnings as text on standard error, or as the `error` event of design.md 12."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from weft.cli.output.terminal import Colour, harmless, look, styled
from weft.errors import Problem, WeftError


class OutputError(WeftError):
    """The answer cannot be written where it was to go."""

    exit_code = 1

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("output", str(self), hint="nothing was changed by that; send the output elsewhere"),)


def print_as_text(
    problems: Sequence[Problem], colour: Colour = "auto", kind: Literal["error", "warning"] = "error"
) -> None:
    """One problem a line, its hint below it; several mistakes in input are counted at the end."""
    place = look(2, os.environ, colour)
    lines = []
    for problem in problems:
        text = str(problem)
        if place.is_terminal:
            text = harmless(text)
        lines.append(f"{styled(kind, kind, place.has_colour)}: {text}\n")
    if len(problems) > 1 and kind == "error":
        lines.append(f"{len(problems)} errors; nothing was run\n")
    write_stderr("".join(lines))


def print_as_json(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
    """One line on standard output. warnings: a list of their own, where there are any."""
    from weft.cli.output.json_lines import VERSION, Stamps

    event: dict[str, object] = {
        "v": VERSION,
        "event": "error",
        "time": Stamps().now(),
        "errors": [problem.as_json() for problem in problems],
    }
    if warnings:
        event["warnings"] = [problem.as_json() for problem in warnings]
    write_stdout(json.dumps(event) + "\n")


def write_stdout(data: str | bytes) -> None:
    """Results: text is UTF-8 whatever the locale says."""
    with told_refusals():
        sys.stdout.flush()
        sys.stdout.buffer.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
        sys.stdout.buffer.flush()


@contextmanager
def told_refusals() -> Iterator[None]:
    """For writing results: what the system refuses becomes an OutputError; a reader that has gone stays BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error


def write_stderr(text: str) -> None:
    """All the rest; a closed standard error is nobody's business."""
    try:
        sys.stderr.flush()
        sys.stderr.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        pass
