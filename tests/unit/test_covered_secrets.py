"""Secrets in what is told of an attempt are covered where it is told first."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.executors.supervisor.secrets import KEPT_NAME, OWN, SECRET_NAME, cover, keep
from weft.spec import secrets
from weft.spec.environments import Environment, Withheld
from weft.spec.withholding import withhold
from weft.store.logs import KEPT_SECRETS, LogReader


def test_both_floors_call_the_same_names_secret() -> None:
    assert SECRET_NAME == secrets._SECRET_NAME


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_TOKEN", "hunter22", "no ******** here"),
        ("HOME", "hunter22", "no hunter22 here"),
        ("API_TOKEN", "here", "no hunter22 here"),
        (OWN, "hunter22", "no hunter22 here"),
    ],
)
def test_the_value_of_a_secret_variable_becomes_stars(name: str, value: str, told: str) -> None:
    assert cover("no hunter22 here", [(name, value)]) == told


@pytest.mark.parametrize("value", ["hunter22", "correct  horse battery", 'a/"b"+é&=', " padded value "])
def test_what_is_kept_of_a_secret_that_an_attempt_learnt_is_what_would_have_been_stored(
    tmp_path: Path, value: str
) -> None:
    logs = tmp_path / "logs" / "run"
    logs.mkdir(parents=True)
    for _ in range(2):
        keep(
            str(logs), [("API_TOKEN", value.strip()), ("HOME", value), ("PW_KEY", "short"), ("B_TOKEN", "another one")]
        )
    assert KEPT_NAME == KEPT_SECRETS
    assert (logs / KEPT_NAME).stat().st_mode & 0o777 == 0o600
    variables = (("API_TOKEN", value.strip()), ("B_TOKEN", "another one"))
    stored = withhold(Environment(variables=variables)).variables
    found = LogReader(str(tmp_path), "run").kept_secrets()
    assert [name for name, _ in found] == ["API_TOKEN", "B_TOKEN"]
    for (_, kept), (_, wanted) in zip(found, stored, strict=True):
        assert isinstance(wanted, Withheld)
        assert (kept.digest, kept.words, set(kept.forms)) == (wanted.digest, wanted.words, set(wanted.forms))


def test_a_run_without_such_secrets_and_a_broken_line_are_nothing_to_stumble_over(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "run"
    logs.mkdir(parents=True)
    reader = LogReader(str(tmp_path), "run")
    assert reader.kept_secrets() == ()
    (logs / KEPT_NAME).write_text('["A_KEY", "00", 1, []]\n["B_KEY", "0', encoding="ascii")
    assert reader.kept_secrets() == (("A_KEY", Withheld("00")),)
