"""Variables of attempts: one-pass substitution, what is inherited, what is warned about."""

from __future__ import annotations

import pytest

from weft.environments.variables import (
    base_environment,
    name_problem,
    references,
    substitute,
    value_problem,
    warnings,
    with_installation,
)
from weft.executors.supervisor import substitution
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue

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


@pytest.mark.parametrize("replace", [substitute, substitution.substitute], ids=["weft", "supervisor"])
@pytest.mark.parametrize(("text", "result"), TABLE)
def test_substitution_is_one_pass_and_leaves_what_is_undefined(replace, text: str, result: str) -> None:  # type: ignore[no-untyped-def]
    assert replace(text, KNOWN) == result


def test_references_are_told_once_in_order() -> None:
    assert references("$B $A ${B} $$C $$$D") == ("B", "A", "D")


def test_a_run_does_not_inherit_the_variables_of_an_attempt_around_it() -> None:
    assert base_environment({"WEFT_TOKEN": "t", "WEFT_FILE": "f", "WEFT_STATE": "s", "HOME": "/h"}) == {
        "WEFT_STATE": "s",
        "HOME": "/h",
    }


def test_programs_of_an_installation_are_found_first() -> None:
    made = with_installation({"PATH": "/bin", "PYTHONHOME": "/x"}, "/e/bin")
    assert made == {"PATH": "/e/bin:/bin", "VIRTUAL_ENV": "/e"}
    assert with_installation({}, "/e/bin")["PATH"].startswith("/e/bin:/")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "a.b"])
def test_names_that_posix_does_not_know_are_refused(name: str) -> None:
    assert name_problem(name) is not None


def test_good_names_and_values_have_no_problem() -> None:
    assert [name_problem(name) for name in ("A", "_", "a1", "__x")] == [None] * 4
    assert [value_problem("A", value) for value in ("", Expand("$B"), ShellValue("date"))] == [None] * 3


def test_a_bad_value_is_told_without_the_value() -> None:
    problem = value_problem("A", "secret\0")
    assert problem is not None
    assert "secret" not in problem
    assert value_problem("A", ShellValue("  ")) is not None


def test_a_reference_to_a_later_variable_is_warned_about() -> None:
    variables = (("A", Expand("$B $HOME $NONE")), ("B", Expand("$A $B")), ("C", "$D"), ("D", "x"))
    assert list(warnings(variables, {"HOME": "/h"})) == [
        "variable A uses $B, which is defined only after it: it stays as written",
        "variable B uses $B, which is defined only after it: it stays as written",
    ]
