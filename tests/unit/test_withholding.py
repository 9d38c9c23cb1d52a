"""What of an environment may be stored."""

from __future__ import annotations

import pytest

from weft.spec.actions import Expand
from weft.spec.environments import Environment, ShellValue, VariableValue, Withheld
from weft.spec.withholding import digest_of, withhold


def kept(name: str, value: VariableValue) -> VariableValue:
    ((_, found),) = withhold(Environment(variables=((name, value),))).variables
    return found


@pytest.mark.parametrize("name", ["API_TOKEN", "HOME", "EMPTY"])
def test_a_text_is_never_stored_whatever_the_variable_is_called(name: str) -> None:
    value = "" if name == "EMPTY" else "canary"
    found = kept(name, value)
    assert isinstance(found, Withheld)
    assert found.digest == digest_of(name, value)
    assert "canary" not in repr(found)


def test_of_a_secret_alone_it_is_kept_how_to_know_it_again() -> None:
    found = kept("API_TOKEN", "two words")
    assert isinstance(found, Withheld)
    assert found.words == 2
    assert digest_of("API_TOKEN", "two%20words") in found.forms
    assert kept("HOME", "two words") == Withheld(digest_of("HOME", "two words"))


@pytest.mark.parametrize("text", ["$OTHER", "${OTHER}", "$A$B", "${A}$B"])
def test_references_and_commands_are_what_a_document_says_and_stay(text: str) -> None:
    assert kept("API_TOKEN", Expand(text)) == Expand(text)
    assert kept("API_TOKEN", ShellValue("pass show token")) == ShellValue("pass show token")
    assert kept("RESULTS", Expand(f"{text}/results")) == Expand(f"{text}/results")


@pytest.mark.parametrize("text", ["abc$OTHER", "${OTHER}abc", "$$", "$(x)"])
def test_a_secret_that_is_written_out_beside_references_is_not_stored(text: str) -> None:
    assert kept("API_TOKEN", Expand(text)) == Withheld(digest_of("API_TOKEN", text))


def test_an_environment_without_texts_is_the_very_same_and_withholding_twice_changes_nothing() -> None:
    plain = Environment("3.11", ("x",), "work", (("A", Expand("$B")),))
    assert withhold(plain) is plain
    once = withhold(Environment(variables=(("A", "x"), ("B", Expand("$A")))))
    assert withhold(once) is once
    assert once.withheld == ("A",)


def test_digests_tell_values_and_variables_apart() -> None:
    assert len({digest_of("A", "x"), digest_of("A", "y"), digest_of("B", "x"), digest_of("A", Expand("z"))}) == 4
