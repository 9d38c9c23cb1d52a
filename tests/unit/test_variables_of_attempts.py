"""Variables of attempts: one-pass substitution, and references that come too early."""

from __future__ import annotations

import pytest

from weft.environments.variables import early_references, references
from weft.executors.supervisor.substitution import substitute
from weft.spec.actions import Expand

KNOWN = {"A": "1", "B_2": "$A", "EMPTY": "", "PATH": "/bin", "_": "u"}
TABLE = [
    ("", ""),
    ("plain", "plain"),
    ("$A", "1"),
    ("${A}", "1"),
    ("$A$A", "11"),
    ("x${A}y", "x1y"),
    ("$Ay", "$Ay"),
    ("$B_2", "$A"),
    ("$EMPTY|", "|"),
    ("$$", "$"),
    ("$$A", "$A"),
    ("$$$A", "$1"),
    ("$", "$"),
    ("$1", "$1"),
    ("${", "${"),
    ("${}", "${}"),
    ("${A", "${A"),
    ("${A:-x}", "${A:-x}"),
    ("$(A)", "$(A)"),
    ("$NONE ${NONE}", "$NONE ${NONE}"),
    ("~/$A\n`$A`", "~/1\n`1`"),
    ("$_", "u"),
    ("$Ä", "$Ä"),
    ("$Aä", "1ä"),
    ("\\$A", "\\1"),
]


@pytest.mark.parametrize(("text", "result"), TABLE)
def test_substitution_is_one_pass_and_leaves_what_is_undefined(text: str, result: str) -> None:
    assert substitute(text, KNOWN) == result


@pytest.mark.parametrize("text", [text for text, _ in TABLE])
def test_what_is_told_as_a_reference_is_what_the_supervisor_looks_up(text: str) -> None:
    looked_up: dict[str, str] = {}

    class Watched(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            looked_up[name] = default
            return default

    substitute(text, Watched())
    assert references(text) == tuple(looked_up)


def test_references_are_told_once_in_order() -> None:
    assert references("$B $A ${B} $$C $$$D") == ("B", "A", "D")


def test_a_reference_to_a_later_variable_is_told() -> None:
    variables = (("A", Expand("$B $HOME $NONE")), ("B", Expand("$A $B")), ("C", "$D"), ("D", "x"))
    assert list(early_references(variables, {"HOME"})) == [("A", "B"), ("B", "B")]


def test_a_name_that_the_run_starts_with_may_be_extended() -> None:
    assert list(early_references((("PATH", Expand("/mine:$PATH")),), {"PATH"})) == []
