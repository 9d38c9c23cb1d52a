"""Types as predicates on values."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from weft.spec.types import BUILTIN, Type, is_kind_of, problem_of

TYPES = {
    "positive": Type("positive", "int", minimum=1),
    "small": Type("small", "positive", maximum=10),
    "share": Type("share", "float", minimum=0, maximum=1),
    "code": Type("code", "str", pattern="[a-z]{3}"),
    "mode": Type("mode", choices=("fast", 1, None)),
    "orphan": Type("orphan", "nowhere"),
    "hen": Type("hen", "egg"),
    "egg": Type("egg", "hen"),
    "bounded": Type("bounded", minimum=0),
}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "any"),
        (True, "bool"),
        (3, "int"),
        (3, "float"),
        (0.5, "float"),
        ("", "str"),
        (b"x", "bytes"),
        ("a/b", "path"),
        (PurePosixPath("a"), "file"),
        ([], "list"),
        ((1,), "list"),
        ({}, "dict"),
        (BUILTIN, "dict"),
        (1, "positive"),
        (10, "small"),
        (1, "share"),
        ("abc", "code"),
        ("fast", "mode"),
        (1, "mode"),
        (None, "mode"),
    ],
)
def test_a_value_of_its_type_has_no_problem(value: object, name: str) -> None:
    assert problem_of(value, name, TYPES) is None


@pytest.mark.parametrize(
    ("value", "name", "problem"),
    [
        (1, "bool", "1 is no bool"),
        (True, "int", "true is no int"),
        (1.0, "int", "1.0 is no int"),
        (False, "float", "false is no float"),
        (None, "str", "null is no str"),
        ("x", "bytes", "'x' is no bytes"),
        ("", "path", "'' is no path"),
        ("a\0", "file", "'a\\x00' is no file"),
        ({}, "list", "{} is no list"),
        ([], "dict", "[] is no dict"),
        (0, "positive", "0 is below the minimum 1 of 'positive'"),
        ("1", "positive", "'1' is no int"),
        (11, "small", "11 is above the maximum 10 of 'small'"),
        (0, "small", "0 is below the minimum 1 of 'positive'"),
        (float("nan"), "share", "nan is below the minimum 0 of 'share'"),
        ("abcd", "code", "'abcd' does not match the pattern '[a-z]{3}' of 'code'"),
        (True, "mode", "true is none of 'fast', 1, null"),
        ("x", "bounded", "'x' is no number, which 'bounded' wants"),
        (True, "bounded", "true is no number, which 'bounded' wants"),
        (1, "nothing", "there is no type 'nothing'"),
        (1, "orphan", "type 'orphan' has no sound parent: 'nowhere'"),
        (1, "hen", "type 'egg' has no sound parent: 'hen'"),
    ],
)
def test_a_problem_says_what_is_wrong_parents_first(value: object, name: str, problem: str) -> None:
    assert problem_of(value, name, TYPES) == problem


def test_a_number_of_any_length_can_be_told() -> None:
    assert problem_of(10**5000, "str") == "a number of 16610 bits is no str"


def test_a_type_is_a_kind_of_itself_its_parents_and_any() -> None:
    assert is_kind_of("small", "small", TYPES)
    assert is_kind_of("small", "int", TYPES)
    assert is_kind_of("small", "any", TYPES)
    assert not is_kind_of("int", "small", TYPES)
    assert not is_kind_of("unknown", "int", TYPES)
