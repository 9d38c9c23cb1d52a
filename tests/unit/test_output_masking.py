"""Secrets in output that is shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from urllib.parse import quote

import pytest

from weft.cli.output.masking import MaskedLogs, secret_values
from weft.scheduling.outcomes import LogRegion
from weft.spec.actions import Expand
from weft.spec.environments import Environment, ShellValue, Withheld
from weft.spec.withholding import withhold

SECRET = 'canary/"7+x'


def kept(name: str, value: str) -> Withheld:
    """What is stored of a secret."""
    ((_, found),) = withhold(Environment(variables=((name, value),))).variables
    assert isinstance(found, Withheld)
    return found


class Logs:
    def __init__(self, data: bytes, secrets: Sequence[tuple[str, Withheld]] = ()):
        self.data = data
        self.secrets = secrets

    def kept_secrets(self) -> Sequence[tuple[str, Withheld]]:
        return self.secrets

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
    assert secret_values({"X": "1"}, [environment]) == ("from the plan",)


def test_a_secret_made_of_other_variables_is_one() -> None:
    variables = (
        *(("PLAIN", "start"), ("A_TOKEN", Expand("${PLAIN}-$$-$HOST")), ("COMMAND", ShellValue("pass"))),
        *(("B_TOKEN", Expand("$COMMAND-x")), ("C_TOKEN", Expand("$A_TOKEN$LATER-end")), ("LATER", "later")),
    )
    assert secret_values({"HOST": "behind"}, [Environment(variables=variables)]) == (
        "start-$-behind",
        "start-$-behind$LATER-end",
    )


@pytest.mark.parametrize(
    "form",
    [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(SECRET.encode() + b"\n"),
        quote(SECRET, safe="").encode(),
        quote(SECRET).encode(),
        json.dumps(SECRET).encode(),
    ],
)
def test_every_form_is_covered_without_moving_a_byte(form: bytes) -> None:
    data = b"before " + form + b" after"
    shown = MaskedLogs(Logs(data), [SECRET]).read(LogRegion("f", 0, len(data)))
    assert len(shown) == len(data)
    assert shown.startswith(b"before ") and shown.endswith(b" after")
    assert b"****" in shown and b"canary" not in shown and form.rstrip(b"=").strip(b'"') not in shown


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "someone:"])
@pytest.mark.parametrize("behind", ["", "@", "@h", "@host"])
def test_a_secret_is_covered_in_the_base64_of_more(before: str, behind: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET}{behind}".encode())
    shown = MaskedLogs(Logs(encoded), [SECRET]).read(LogRegion("f", 0, len(encoded)))
    assert len(shown) == len(encoded)
    # What is left of the secret are at most the bits that it shares with its neighbours in a character.
    assert shown.count(b"*") >= len(SECRET) * 4 // 3 - 2


@pytest.mark.parametrize("size", range(1, 24))
def test_no_secret_slips_through_between_pieces(size: int) -> None:
    data = b"x" * 10 + SECRET.encode() + b"y" * 10
    logs, region = MaskedLogs(Logs(data), [SECRET]), LogRegion("f", 0, len(data))
    pieces = [logs.read(region, offset, size) for offset in range(0, len(data), size)]
    assert b"".join(pieces) == b"x" * 10 + b"*" * len(SECRET) + b"y" * 10


def test_without_secrets_bytes_come_as_they_are() -> None:
    assert MaskedLogs(Logs(b"plain"), []).read(LogRegion("f", 0, 5), 1, 3) == b"lai"


# --- secrets of which only a digest is known ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "around", ["see {} here", "token={}", '{{"a": "{}"}}', "curl https://x/?key={}&b=1", "({})", "{}", "It is {}."]
)
def test_a_secret_that_is_no_longer_known_is_covered_where_it_stands_by_itself(around: str) -> None:
    value = "s3cret/with+signs"
    data = around.format(value).encode()
    shown = MaskedLogs(Logs(data), (), [("MY_TOKEN", kept("MY_TOKEN", value))]).read(LogRegion("f", 0, len(data)))
    assert shown == data.replace(value.encode(), b"*" * len(value))


@pytest.mark.parametrize(
    "around", ["see {} here", "TOKEN={}", '{{"a": "{}"}}', "more words {}. And more", "({})", "{}", "x: '{}'"]
)
def test_a_secret_of_several_words_that_is_no_longer_known_is_covered(around: str) -> None:
    value = "correct  horse\tbattery"
    data = around.format(value).encode()
    shown = MaskedLogs(Logs(data), (), [("MY_TOKEN", kept("MY_TOKEN", value))]).read(LogRegion("f", 0, len(data)))
    assert len(shown) == len(data)
    assert not any(word in shown for word in value.encode().split())


@pytest.mark.parametrize("value", ["s3cret/with+signs", 'correct "horse" battery'])
def test_other_forms_of_a_secret_that_is_no_longer_known_are_covered(value: str) -> None:
    raw = value.encode()
    forms = (base64.b64encode(raw), base64.b64encode(raw + b"\n"), quote(raw, safe="").encode(), quote(raw).encode())
    for form in (*forms, json.dumps(value).encode()):
        data = b"a " + form + b" b"
        shown = MaskedLogs(Logs(data), (), [("MY_TOKEN", kept("MY_TOKEN", value))]).read(LogRegion("f", 0, len(data)))
        assert len(shown) == len(data)
        assert form.rstrip(b"=").strip(b'"') not in shown and b"*" * 16 in shown


def test_a_secret_that_an_attempt_learnt_meanwhile_is_covered_from_then_on() -> None:
    data = b"it is s3cret/with+signs"
    logs = Logs(data)
    masked, region = MaskedLogs(logs, ()), LogRegion("f", 0, len(data))
    assert masked.read(region) == data
    logs.secrets = [("MY_TOKEN", kept("MY_TOKEN", "s3cret/with+signs"))]
    assert masked.read(region) == b"it is " + b"*" * 17


def test_other_words_and_the_same_value_of_another_variable_stay() -> None:
    data = b"an ordinary sentence of s3cret/with+signs\n\xff\xfe and bytes"
    for name, value in (("MY_TOKEN", "something else"), ("OTHER", "")):
        logs = MaskedLogs(Logs(data), (), [(name, kept("MY_TOKEN", value or "s3cret/with+signs"))])
        assert logs.read(LogRegion("f", 0, len(data))) == data


def test_a_word_that_is_cut_by_a_reader_is_covered_in_both_pieces() -> None:
    value = "s3cret/with+signs"
    data = b"x" * 600 + b" " + value.encode() + b" end"
    logs = MaskedLogs(Logs(data), (), [("T_KEY", kept("T_KEY", value))])
    region = LogRegion("f", 0, len(data))
    assert logs.read(region, 0, 605) + logs.read(region, 605) == data.replace(value.encode(), b"*" * len(value))
