"""What type hints say in the words of a registry, and which of them contradict what was declared."""

from __future__ import annotations

import collections.abc
import os
import typing
from collections.abc import Iterator  # noqa: F401 - named by a hint
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import pytest

import weft
from weft.define.hints import Hint, contradicts, hints_of, read, resolved
from weft.define.signatures import signature_of
from weft.define.types import implied

UserId = NewType("UserId", int)


class Row(TypedDict):
    name: str


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, Hint("int")),
        (bool, Hint("bool")),
        (bytes, Hint("bytes")),
        (Path, Hint("path", is_path=True)),
        (list, Hint("list")),
        (list[int], Hint("list_of(int)")),
        (typing.List[int], Hint("list_of(int)")),  # noqa: UP006 - people write it
        (list[list[str]], Hint("list_of(list_of(str))")),
        (list[Any], Hint("list")),
        (list[Optional[int]], Hint("list")),  # noqa: UP045 - people write it
        (dict[str, int], Hint("dict")),
        (collections.abc.Mapping[str, int], Hint("dict")),
        (Row, Hint("dict")),
        (Any, Hint("any")),
        (object, Hint("any")),
        (os.PathLike, Hint("any")),
        (Optional[int], Hint("int", is_optional=True)),  # noqa: UP045 - people write it
        (int | None, Hint("int", is_optional=True)),
        (int | float, Hint("float")),
        (int | str, Hint("any")),
        (Annotated[int, "cm"], Hint("int")),
        (UserId, Hint("int")),
        (Literal["a", "b"], Hint("str")),
        (Literal["a", 1], Hint("any")),
        (collections.abc.Iterator[int], Hint("int", is_stream=True)),
        (collections.abc.Generator[str, None, None], Hint("str", is_stream=True)),
        (collections.abc.AsyncIterator[int], Hint("int", is_stream=True)),
        (collections.abc.Iterator, Hint("any", is_stream=True)),
        (set[int], Hint("any")),
        (tuple[int, ...], Hint("any")),
        (None, Hint("any")),
    ],
)
def test_a_hint_is_read_as_a_type(annotation: Any, expected: Hint) -> None:
    assert read(annotation) == expected


def test_hints_that_cannot_be_resolved_say_no_more_than_a_name_and_hide_no_others() -> None:
    def body(a: Nowhere, b: int, c: 1 / 0, d: Nowhere.Else) -> list[int]:  # type: ignore[name-defined,valid-type]  # noqa: F821
        return []

    assert hints_of(body) == {
        "a": Hint("any", named="Nowhere"),
        "b": Hint("int"),
        "return": Hint("list_of(int)"),
    }


@pytest.mark.parametrize(
    ("annotation", "meant"),
    [
        ("positive", Hint("positive")),
        ("positive | None", Hint("positive", is_optional=True)),
        ("list[positive]", Hint("list_of(positive)")),
        (list["positive"], Hint("list_of(positive)")),  # type: ignore[name-defined]  # noqa: F821
        ("list_of(positive)", Hint("list_of(positive)")),
        (weft.list_of("positive"), Hint("list_of(positive)")),
        ("Iterator[positive]", Hint("positive", is_stream=True)),
        (weft.stream_of("positive"), Hint("positive", is_stream=True)),
        ("'positive'", Hint("positive")),
        ("path", Hint("path")),
        ("negative", Hint("any")),
        ("list[negative]", Hint("list")),
        ("dict[str, positive]", Hint("dict")),
    ],
)
def test_a_hint_may_name_a_type_of_the_registry_where_python_knows_no_such_name(annotation: Any, meant: Hint) -> None:
    registry = weft.Registry()
    registry.type("positive", lambda number: number > 0, parent="int")

    def body(a: int) -> None: ...

    body.__annotations__["a"] = annotation
    found = resolved(hints_of(body)["a"], registry.find_type)
    assert found._replace(named=None) == meant


def test_names_of_a_closure_are_resolved() -> None:
    Local = int  # noqa: N806 - it stands for a class

    def body(a: Local) -> int:  # type: ignore[valid-type]
        return Local(a)

    assert hints_of(body)["a"] == Hint("int")


@pytest.mark.parametrize(
    ("declared", "hint", "is_mistake"),
    [
        ("int", "int", False),
        ("int", "float", False),
        ("float", "int", True),
        ("bool", "int", False),
        ("int", "bool", True),
        ("path", "str", False),
        ("file", "path", False),
        ("str", "path", True),
        ("any", "int", False),
        ("list", "any", False),
        ("list", "list_of(int)", False),
        ("list_of(str)", "list", False),
        ("list_of(str)", "list_of(int)", True),
        ("list_of(list_of(int))", "list_of(list_of(float))", False),
        ("dict", "list", True),
    ],
)
def test_a_hint_contradicts_a_type_when_no_value_could_be_both(declared: str, hint: str, is_mistake: bool) -> None:
    assert contradicts(declared, hint, implied) is is_mistake


def test_a_signature_read_fast_is_the_one_that_inspect_reads() -> None:
    def plain(a, b: int, /, c=1, *rest, d, e: str = "x", **more) -> int:  # type: ignore[no-untyped-def]
        return 1

    class Called:
        def __call__(self, c=1, *rest, d, e: str = "x", **more) -> int:  # type: ignore[no-untyped-def]
            return 1

    fast, slow = signature_of(plain), signature_of(Called())
    assert fast.parameters == slow.parameters
    assert (fast.takes_any, fast.positional, fast.product) == (True, ("a", "b"), Hint("int"))
    assert (slow.takes_any, slow.product) == (True, Hint("int"))
