"""Secrets in output that is shown."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from weft.cli.output.masking import MaskedLogs, secret_values
from weft.scheduling.outcomes import LogRegion
from weft.spec.actions import Expand
from weft.spec.environments import Environment

SECRET = 'canary/"7+x'


class Logs:
    def __init__(self, data: bytes):
        self.data = data

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        region_data = self.data[region.offset : region.offset + region.length]
        return region_data[offset:] if limit is None else region_data[offset : offset + limit]


@pytest.mark.parametrize(
    "name", ["API_KEY", "GITHUB_TOKEN", "db_password", "ClientSecret", "KEY", "apikey", "AWS_ACCESS_KEY_ID"]
)
def test_values_of_variables_named_like_a_secret_are_secrets(name: str) -> None:
    assert secret_values({name: SECRET, "HOME": "/home/somebody"}, ()) == (SECRET,)


@pytest.mark.parametrize("name", ["KEYBOARD", "MONKEY", "HOME", "PATH", "LC_ALL"])
def test_other_variables_are_not(name: str) -> None:
    assert secret_values({name: "something long"}, ()) == ()


def test_short_values_are_words_and_variables_of_environments_count() -> None:
    environment = Environment(variables=(("MY_TOKEN", "from the plan"), ("B_TOKEN", Expand("$X")), ("C_KEY", "yes")))
    assert secret_values({}, [environment]) == ("from the plan",)


@pytest.mark.parametrize(
    "form",
    [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(SECRET.encode() + b"\n"),
        quote(SECRET, safe="").encode(),
        json.dumps(SECRET).encode(),
    ],
)
def test_every_form_is_covered_without_moving_a_byte(form: bytes) -> None:
    data = b"before " + form + b" after"
    shown = MaskedLogs(Logs(data), [SECRET]).read(LogRegion("f", 0, len(data)))
    assert len(shown) == len(data)
    assert shown.startswith(b"before ") and shown.endswith(b" after")
    assert b"****" in shown and b"canary" not in shown and form.rstrip(b"=").strip(b'"') not in shown


@pytest.mark.parametrize("size", range(1, 24))
def test_no_secret_slips_through_between_pieces(size: int) -> None:
    data = b"x" * 10 + SECRET.encode() + b"y" * 10
    logs, region = MaskedLogs(Logs(data), [SECRET]), LogRegion("f", 0, len(data))
    pieces = [logs.read(region, offset, size) for offset in range(0, len(data), size)]
    assert b"".join(pieces) == b"x" * 10 + b"*" * len(SECRET) + b"y" * 10


def test_without_secrets_bytes_come_as_they_are() -> None:
    assert MaskedLogs(Logs(b"plain"), []).read(LogRegion("f", 0, 5), 1, 3) == b"lai"
