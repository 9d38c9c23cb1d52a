"""Secrets in what is told of an attempt are covered where it is told first."""

from __future__ import annotations

import pytest

from weft.executors.supervisor.secrets import OWN, SECRET_NAME, cover
from weft.spec import secrets


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
