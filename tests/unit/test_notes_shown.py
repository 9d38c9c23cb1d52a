"""What the views say of notes: echoes where they belong, and a line in the report for each that failed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weft.cli.output.json_lines import JsonView
from weft.cli.output.live import LiveView
from weft.cli.output.plain import PlainView
from weft.cli.output.printer import Printer
from weft.cli.output.quiet import QuietView
from weft.cli.output.terminal import Place
from weft.cli.output.views import View
from weft.ports import Echoing, Gauge, NoteTally, RunEnding, RunOpening
from weft.spec.graph import Graph
from weft.spec.plan import Plan

ENDING = RunEnding(
    "ab" * 16,
    "ok",
    0,
    1.0,
    {"good": NoteTally(3, 0), "it's": NoteTally(1, 2, "no \x1b[2J room"), "none": NoteTally(0, 0)},
)
LINE = 'note "it\'s": 2 of 3 not sent  (no \\x1b[2J room)\n'
TERMINAL = Place(is_terminal=True, is_live=True, has_colour=False, columns=80)

Show = Callable[[Callable[[Printer], View], RunEnding], tuple[str, str]]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    paths = (tmp_path / "out", tmp_path / "err")
    descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for path in paths]

    def shown(make: Callable[[Printer], View], ending: RunEnding) -> tuple[str, str]:
        view = make(Printer(*descriptors))
        assert isinstance(view, Echoing)
        plan = Plan(Graph(()), root=str(tmp_path))
        view.run_started(RunOpening(ending.run, plan, (), 0, str(tmp_path), {}, lambda: Gauge({}, {}, ())))
        view.echoed("a: ok\nsaid\n")
        view.run_ended(ending)
        view.close()
        out, err = (path.read_text(encoding="utf-8") for path in paths)
        return out, err

    yield shown
    for descriptor in descriptors:
        os.close(descriptor)


def test_plain_lines_hold_both_in_the_result(show: Show) -> None:
    out, err = show(PlainView, ENDING)
    assert "a: ok\nsaid\n" in out and LINE in out
    assert "good" not in out and "said" not in err


def test_a_live_view_holds_both(show: Show) -> None:
    out, _ = show(lambda printer: LiveView(printer, TERMINAL, title="x"), ENDING)
    assert "said" in out and LINE in out


def test_json_has_standard_output_for_itself(show: Show) -> None:
    out, err = show(JsonView, ENDING)
    assert err == "a: ok\nsaid\n"
    last = json.loads(out.splitlines()[-1])
    assert last["notes"] == {
        "good": {"sent": 3, "unsent": 0, "problem": None},
        "it's": {"sent": 1, "unsent": 2, "problem": "no \x1b[2J room"},
        "none": {"sent": 0, "unsent": 0, "problem": None},
    }


def test_a_run_without_notes_looks_as_ever(show: Show) -> None:
    out, _ = show(JsonView, ENDING._replace(notes={}))
    assert "notes" not in json.loads(out.splitlines()[-1])


def test_quiet_is_quiet(show: Show) -> None:
    assert show(QuietView, ENDING) == ("", "")
