"""Which Python serialised a function: pickles that cloudpickle wrote under other versions."""

from __future__ import annotations

import base64
import pickle
import sys
from types import SimpleNamespace

import pytest

from weft.executors.supervisor import calls, makers
from weft.executors.supervisor.makers import is_older, maker_of

# cloudpickle.dumps of `def f(n): return sum(range(n))`
ADDS = {
    "3.8": (
        "gAWViQEAAAAAAACMF2Nsb3VkcGlja2xlLmNsb3VkcGlja2xllIwOX21ha2VfZnVuY3Rpb26Uk5QoaACMDV9idWlsdGluX3R5cGWUk5SMCENvZG"
        "VUeXBllIWUUpQoSwFLAEsASwFLA0tDQwx0AHQBfACDAYMBUwCUToWUjANzdW2UjAVyYW5nZZSGlIwBbpSFlIwIPHN0cmluZz6UjAFmlEsBQwIA"
        "AZQpKXSUUpR9lIwIX19uYW1lX1+UjAhfX21haW5fX5RzTk5OdJRSlGgAjBJfZnVuY3Rpb25fc2V0c3RhdGWUk5RoGH2UfZQoaBVoEIwMX19xdW"
        "FsbmFtZV9flGgQjA9fX2Fubm90YXRpb25zX1+UfZSMDl9fa3dkZWZhdWx0c19flE6MDF9fZGVmYXVsdHNfX5ROjApfX21vZHVsZV9flGgWjAdf"
        "X2RvY19flE6MC19fY2xvc3VyZV9flE6MF19jbG91ZHBpY2tsZV9zdWJtb2R1bGVzlF2UjAtfX2dsb2JhbHNfX5R9lHWGlIZSMC4="
    ),
    "3.10": (
        "gAWViQEAAAAAAACMF2Nsb3VkcGlja2xlLmNsb3VkcGlja2xllIwOX21ha2VfZnVuY3Rpb26Uk5QoaACMDV9idWlsdGluX3R5cGWUk5SMCENvZG"
        "VUeXBllIWUUpQoSwFLAEsASwFLA0tDQwx0AHQBfACDAYMBUwCUToWUjANzdW2UjAVyYW5nZZSGlIwBbpSFlIwIPHN0cmluZz6UjAFmlEsBQwIM"
        "AZQpKXSUUpR9lIwIX19uYW1lX1+UjAhfX21haW5fX5RzTk5OdJRSlGgAjBJfZnVuY3Rpb25fc2V0c3RhdGWUk5RoGH2UfZQoaBVoEIwMX19xdW"
        "FsbmFtZV9flGgQjA9fX2Fubm90YXRpb25zX1+UfZSMDl9fa3dkZWZhdWx0c19flE6MDF9fZGVmYXVsdHNfX5ROjApfX21vZHVsZV9flGgWjAdf"
        "X2RvY19flE6MC19fY2xvc3VyZV9flE6MF19jbG91ZHBpY2tsZV9zdWJtb2R1bGVzlF2UjAtfX2dsb2JhbHNfX5R9lHWGlIZSMC4="
    ),
    "3.11": (
        "gAWV0AEAAAAAAACMF2Nsb3VkcGlja2xlLmNsb3VkcGlja2xllIwOX21ha2VfZnVuY3Rpb26Uk5QoaACMDV9idWlsdGluX3R5cGWUk5SMCENvZG"
        "VUeXBllIWUUpQoSwFLAEsASwFLBUsDQzqXAHQBAAAAAAAAAAAAAHQDAAAAAAAAAAAAAHwApgEAAKsBAAAAAAAAAACmAQAAqwEAAAAAAAAAAFMA"
        "lE6FlIwDc3VtlIwFcmFuZ2WUhpSMAW6UhZSMCDxzdHJpbmc+lIwBZpSMAWaUSwFDFIAA3QsOjXWQUYl4jHiJPYw90AQYlEMAlCkpdJRSlH2UjA"
        "hfX25hbWVfX5SMCF9fbWFpbl9flHNOTk50lFKUaACMEl9mdW5jdGlvbl9zZXRzdGF0ZZSTlGgafZR9lChoF2gQjAxfX3F1YWxuYW1lX1+UaBCM"
        "D19fYW5ub3RhdGlvbnNfX5R9lIwOX19rd2RlZmF1bHRzX1+UTowMX19kZWZhdWx0c19flE6MCl9fbW9kdWxlX1+UaBiMB19fZG9jX1+UTowLX1"
        "9jbG9zdXJlX1+UTowXX2Nsb3VkcGlja2xlX3N1Ym1vZHVsZXOUXZSMC19fZ2xvYmFsc19flH2UdYaUhlIwLg=="
    ),
    "3.12": (
        "gAWVugEAAAAAAACMF2Nsb3VkcGlja2xlLmNsb3VkcGlja2xllIwOX21ha2VfZnVuY3Rpb26Uk5QoaACMDV9idWlsdGluX3R5cGWUk5SMCENvZG"
        "VUeXBllIWUUpQoSwFLAEsASwFLBUsDQyqXAHQBAAAAAAAAAAB0AwAAAAAAAAAAfACrAQAAAAAAAKsBAAAAAAAAUwCUToWUjANzdW2UjAVyYW5n"
        "ZZSGlIwBbpSFlIwIPHN0cmluZz6UjAFmlGgQSwFDEIAA3AsOjHWQUYt4iz3QBBiUQwCUKSl0lFKUfZSMCF9fbmFtZV9flIwIX19tYWluX1+Uc0"
        "5OTnSUUpRoAIwSX2Z1bmN0aW9uX3NldHN0YXRllJOUaBl9lH2UKGgWaBCMDF9fcXVhbG5hbWVfX5RoEIwPX19hbm5vdGF0aW9uc19flH2UjA5f"
        "X2t3ZGVmYXVsdHNfX5ROjAxfX2RlZmF1bHRzX1+UTowKX19tb2R1bGVfX5RoF4wHX19kb2NfX5ROjAtfX2Nsb3N1cmVfX5ROjBdfY2xvdWRwaW"
        "NrbGVfc3VibW9kdWxlc5RdlIwLX19nbG9iYWxzX1+UfZR1hpSGUjAu"
    ),
    "3.13": (
        "gAWVugEAAAAAAACMF2Nsb3VkcGlja2xlLmNsb3VkcGlja2xllIwOX21ha2VfZnVuY3Rpb26Uk5QoaACMDV9idWlsdGluX3R5cGWUk5SMCENvZG"
        "VUeXBllIWUUpQoSwFLAEsASwFLBUsDQyqVAFsBAAAAAAAAAABbAwAAAAAAAAAAVQA1AQAAAAAAADUBAAAAAAAAJACUToWUjANzdW2UjAVyYW5n"
        "ZZSGlIwBbpSFlIwIPHN0cmluZz6UjAFmlGgQSwFDEIAA3AsOjHWQUYt4iz3QBBiUQwCUKSl0lFKUfZSMCF9fbmFtZV9flIwIX19tYWluX1+Uc0"
        "5OTnSUUpRoAIwSX2Z1bmN0aW9uX3NldHN0YXRllJOUaBl9lH2UKGgWaBCMDF9fcXVhbG5hbWVfX5RoEIwPX19hbm5vdGF0aW9uc19flH2UjA5f"
        "X2t3ZGVmYXVsdHNfX5ROjAxfX2RlZmF1bHRzX1+UTowKX19tb2R1bGVfX5RoF4wHX19kb2NfX5ROjAtfX2Nsb3N1cmVfX5ROjBdfY2xvdWRwaW"
        "NrbGVfc3VibW9kdWxlc5RdlIwLX19nbG9iYWxzX1+UfZR1hpSGUjAu"
    ),
}
HERE = "{}.{}".format(*sys.version_info[:2])


def under(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    major, minor = map(int, version.split("."))
    monkeypatch.setattr(makers, "sys", SimpleNamespace(version_info=(major, minor, 0)))


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("here", ["3.8", "3.11", "3.12", "3.13", "3.14"])
def test_the_maker_is_told_by_its_code_when_it_is_another_one(
    version: str, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(monkeypatch, here)
    assert maker_of(base64.b64decode(ADDS[version])) == (None if here == version else version)


@pytest.mark.parametrize("version", ["3.8", "3.10"])
def test_code_from_before_3_11_is_told_where_it_could_not_be_read(version: str) -> None:
    written = base64.b64decode(ADDS[version])
    assert maker_of(written) is None and is_older(written)
    assert not is_older(base64.b64decode(ADDS["3.12"]))


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.12", "3.13"])
def test_a_function_of_another_python_is_refused_with_both_versions_named(version: str) -> None:
    if version == HERE:
        pytest.skip("this is that Python")
    with pytest.raises(calls.Refused) as refused:
        calls.find({"serialized": ADDS[version], "reference": None})
    assert refused.value.cause == "setup"
    assert f"Python {sys.version.split()[0]}" in refused.value.detail
    assert ("3.10 or older" if version in ("3.8", "3.10") else version) in refused.value.detail


def test_a_function_of_this_python_is_called() -> None:
    if HERE not in ADDS:
        pytest.skip("no function of this Python is kept here")
    assert calls.find({"serialized": ADDS[HERE], "reference": None})(4) == 6


@pytest.mark.parametrize(
    "value",
    [len, (1, 2, 3, 4, 5, 6, b"data"), (1, 2, 3, 4, 5, 6, b"\x97\x00S\x00"), b"", [3.5, "text"]],
    ids=["a name", "numbers and bytes", "numbers and a piece of code", "bytes", "data"],
)
def test_what_is_no_function_of_another_python_is_not_taken_for_one(value: object) -> None:
    assert maker_of(pickle.dumps(value)) in (None, "3.11 or 3.12")
    assert sys.version_info[:2] not in ((3, 11), (3, 12)) or maker_of(pickle.dumps(value)) is None


@pytest.mark.parametrize("written", [b"", b"no pickle", b"\x80\x04K", b"\x80\x04."])
def test_broken_bytes_tell_nothing(written: bytes) -> None:
    assert maker_of(written) is None


def test_what_the_pickle_says_itself_counts() -> None:
    written = pickle.dumps(len)
    assert maker_of(written + b"\nPython 3.7.1") == "3.7.1"
    assert maker_of(written + f"\nPython {HERE}.99".encode()) is None
    assert maker_of(pickle.dumps(b"\nPython 3.7")) is None  # it stands in the data, not behind the end
