"""What of its code a task's fingerprint holds: changed by what a change does, not by how it is written."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import textwrap
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from weft.define.code import parts_of, pinned
from weft.define.forms import digest_of_value, shown_of
from weft.define.values import held

Parts = Callable[..., Mapping[str, str]]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """`parts(fit=source, helpers=source)`: of the function `fit` of a project made of these modules."""
    made: list[str] = []
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    count = 0

    def read(function: str = "fit", **sources: str) -> Mapping[str, str]:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
            sys.modules.pop(name, None)
            made.append(name)
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return parts_of(getattr(importlib.import_module("pipeline"), function))

    yield read
    for name in made:
        sys.modules.pop(name, None)


BASE = """
    import helpers
    from helpers import clip
    THRESHOLD = 3
    SECRET_KEY = "abc"
    NAMES = {"b": 1, "a": 2}
    def local(x):
        return x + THRESHOLD
    def fit(rows, k=2):
        if rows and k or THRESHOLD:
            return helpers.scale(local(k), clip(rows), NAMES, SECRET_KEY)
        return None
"""
HELPERS = """
    FACTOR = 2
    def scale(x, *rest):
        return x * FACTOR
    def clip(x):
        return x
    def unused(x):
        return x
"""


def test_each_thing_that_is_used_is_one_part(parts: Parts) -> None:
    found = parts(pipeline=BASE, helpers=HELPERS)
    assert sorted(found) == [
        "code:fit",
        "code:helpers.clip",
        "code:helpers.scale",
        "code:local",
        "constant:NAMES",
        "constant:SECRET_KEY",
        "constant:THRESHOLD",
        "constant:helpers.FACTOR",
    ]
    assert next(iter(found)) == "code:fit"
    assert found["constant:THRESHOLD"].endswith("|3")
    assert "|" not in found["constant:SECRET_KEY"]


LAYOUT = '''
    """A module."""
    # A comment.
    import helpers
    from helpers import clip

    SECRET_KEY = 'abc'
    THRESHOLD = (
        3  # as ever
    )
    NAMES = {"a": 2,
             "b": 1}


    def fit(
        rows,
        k=2,
    ):
        """What it does."""

        # Why.
        if (
            rows
            and k
            or THRESHOLD
        ):
            return helpers.scale(
                local(k), clip(rows),

                NAMES,
                SECRET_KEY,
            )
        return None


    def local(x: int) -> int:
        """Adds."""
        return (x
                + THRESHOLD)
'''


def test_comments_docstrings_hints_layout_and_order_change_nothing(parts: Parts) -> None:
    assert dict(parts(pipeline=LAYOUT, helpers=HELPERS)) == dict(parts(pipeline=BASE, helpers=HELPERS))


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        ("pipeline", "THRESHOLD = 3", "THRESHOLD = 4", {"constant:THRESHOLD"}),
        ("pipeline", "THRESHOLD = 3", "THRESHOLD = 3.0", {"constant:THRESHOLD"}),
        ("pipeline", "x + THRESHOLD", "x - THRESHOLD", {"code:local"}),
        ("pipeline", "return None", "return 0", {"code:fit"}),
        ("pipeline", '"a": 2', '"a": 3', {"constant:NAMES"}),
        ("helpers", "x * FACTOR", "x ** FACTOR", {"code:helpers.scale"}),
        ("helpers", "FACTOR = 2", "FACTOR = 3", {"constant:helpers.FACTOR"}),
        ("helpers", "def unused(x):", "def unused(x, y):", set()),
        ("pipeline", "k=2", "k=3", set()),  # of the task's own function: a value of its option
        ("pipeline", "def local(x)", "def local(x, y=1)", {"code:local"}),
    ],
)
def test_a_change_shows_in_the_part_that_it_is_in(
    parts: Parts, module: str, old: str, new: str, changed: set[str]
) -> None:
    sources = {"pipeline": BASE, "helpers": HELPERS}
    before = dict(parts(**sources))
    assert old in sources[module]
    after = dict(parts(**{**sources, module: sources[module].replace(old, new)}))
    assert {name for name in {**before, **after} if before.get(name) != after.get(name)} == changed


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (
            "def make(n):\n    def inner(x):\n        return x + n\n    return inner\nfit = make(1)\n",
            "make(1)",
            "make(2)",
        ),
        ("def one(x): return 1\nHANDLERS = {'a': one}\ndef fit(x): return HANDLERS['a'](x)\n", "return 1", "return 2"),
        ("class A:\n    def m(self): return 1\ndef fit(x): return A().m()\n", "return 1", "return 2"),
        ("class A:\n    n = 1\nclass B(A): pass\ndef fit(x): return B().n\n", "n = 1", "n = 2"),
        ("class A:\n    @property\n    def m(self): return 1\ndef fit(x): return A().m\n", "return 1", "return 2"),
        ("def g(x, n=1): return n\ndef fit(x): return g(x)\n", "n=1", "n=2"),
        ("def fit(x): return [y + 1 for y in x]\n", "y + 1", "y + 2"),
        ("def fit(x): return (lambda y: y + 1)(x)\n", "y + 1", "y + 2"),
        ("import re\nP = re.compile('a')\ndef fit(x): return P.match(x)\n", "'a'", "'b'"),
        (
            "import functools\n@functools.lru_cache\ndef g(x): return 1\ndef fit(x): return g(x)\n",
            "return 1",
            "return 2",
        ),
        (
            "from functools import partial\ndef g(x, y): return x\nh = partial(g, 1)\ndef fit(x): return h(x)\n",
            "g, 1",
            "g, 2",
        ),
        ("from math import floor as f\ndef fit(x): return f(x)\n", "floor", "ceil"),
        ("S = frozenset({'a', 'b'})\ndef fit(x): return x in S\n", "'b'", "'c'"),
        ("def fit(x):\n    import late\n    return late.g(x)\n", "late", "later"),
        ("def g(x): return fit(x)\ndef fit(x): return g(x) if x else 1\n", "else 1", "else 2"),
        ("def fit(x):\n    try: return 1\n    except ValueError: return 2\n", "ValueError", "TypeError"),
    ],
)
def test_what_is_reached_in_other_ways_counts_too(parts: Parts, source: str, old: str, new: str) -> None:
    assert old in source
    before = dict(parts(pipeline=source))
    assert before == dict(parts(pipeline="# a comment\n\n" + source))
    assert before != dict(parts(pipeline=source.replace(old, new)))


BROKEN_LINES = {
    "conditions": (
        """
            def fit(x):
                if x and (x.a or not x.b) and x.c: return [1 if y else 2 for y in x if y or x]
                return f'{x!r}' 'b'
        """,
        """
            def fit(x):
                if (
                    x
                    and (
                        x.a
                        or not x.b
                    )
                    and x.c
                ):
                    return [
                        1
                        if y
                        else 2
                        for y in x
                        if y
                        or x
                    ]
                return (
                    f'{x!r}'
                    'b'
                )
        """,
    ),
    "loops": (
        """
            def fit(x):
                while True:
                    if x: pass
                    else: break
                for i in x: print(i, end='')
        """,
        """
            def fit(x):
                while True:
                    # why
                    if x:
                        pass
                    else:
                        break
                for i in x:
                    print(
                        i,
                        end='',
                    )
        """,
    ),
    "blocks": (
        """
            def fit(x):
                class A:
                    'what'
                    q = 1
                try:
                    with x as f: return f(A)
                except (ValueError, TypeError) as e: raise RuntimeError from e
                finally: print(1)
        """,
        """
            def fit(x):

                class A:
                    'what else'

                    q = 1

                try:
                    with x as f:
                        return f(
                            A
                        )
                except (
                    ValueError,
                    TypeError,
                ) as e:
                    raise RuntimeError from e
                finally:
                    print(1)
        """,
    ),
    "async": (
        """
            async def fit(x):
                async with x as y: return [await z async for z in y]
        """,
        """
            async def fit(x):
                async with x as y:
                    return [
                        await z
                        async for z in y
                    ]
        """,
    ),
}


@pytest.mark.parametrize("kind", BROKEN_LINES)
def test_where_lines_are_broken_does_not_matter(parts: Parts, kind: str) -> None:
    one, other = BROKEN_LINES[kind]
    assert dict(parts(pipeline=one)) == dict(parts(pipeline=other))


def test_a_source_that_was_edited_after_its_import_is_not_believed(parts: Parts) -> None:
    source = "def fit(x):\n    return x + 1\n"
    before = dict(parts(pipeline=source))
    function = sys.modules["pipeline"].fit
    Path(function.__code__.co_filename).write_text(source.replace("+ 1", "+ 2"), encoding="utf-8")
    edited = dict(parts_of(function))
    assert dict(parts(pipeline=source.replace("+ 1", "+ 2"))) not in (before, edited)


def test_without_a_source_the_bytecode_tells(parts: Parts) -> None:
    def made(source: str) -> Mapping[str, str]:
        names: dict[str, Any] = {"__name__": "nowhere"}
        exec(compile(source, "<nowhere>", "exec"), names)
        return dict(parts_of(names["fit"]))

    assert made("def fit(x):\n    return x + 1\n") == made(
        "\n\ndef fit(x):\n    'why'\n    # how\n    return (x + 1)\n"
    )
    assert made("def fit(x): return x + 1\n") != made("def fit(x): return x + 2\n")


def test_a_module_that_is_imported_when_it_is_called_counts_by_its_source(parts: Parts) -> None:
    source = "def fit(x):\n    from late import g\n    return g(x)\n"
    one = dict(parts(pipeline=source, late="def g(x): return 1\n"))
    assert one == dict(parts(pipeline=source, late="# so\ndef g(x):\n    'why'\n    return 1\n"))
    assert one != dict(parts(pipeline=source, late="def g(x): return 2\n"))


def test_a_class_whose_object_was_pickled_is_the_same_class(parts: Parts) -> None:
    found = parts(pipeline="class Point:\n    x = 1\ndef fit(): return Point()\n")
    module = sys.modules["pipeline"]
    pickle.dumps(module.Point())  # leaves a note in the class
    assert "__slotnames__" in vars(module.Point)
    assert parts_of(module.fit) == found


def test_installed_modules_count_by_name_only(parts: Parts) -> None:
    found = parts(pipeline="import json\nimport pytest\ndef fit(x): return json.dumps(pytest.fixture(x))\n")
    assert list(found) == ["code:fit"]


def test_a_version_is_the_only_part() -> None:
    assert list(pinned("2")) == ["version"]
    assert pinned("2")["version"].endswith("|2")


PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import pipeline
from weft.define.code import parts_of
print(sorted(parts_of(pipeline.fit).items()))
"""


def test_parts_are_the_same_in_every_process_and_under_every_hash_seed(tmp_path: Path) -> None:
    source = """
        import enum
        class Kind(enum.Enum):
            A = 1
            B = 2
        KINDS = {Kind.A, Kind.B}
        WORDS = {"x", "y", "z", "zz"}
        class Thing:
            __slots__ = ("a", "b")
            def use(self): return {"p", "q", "r"}
        THING = Thing()
        def fit(x): return x in {"a", "b", "c", "d"}, KINDS, WORDS, THING, Thing
    """
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(source), encoding="utf-8")
    told = {
        subprocess.run(
            [sys.executable, "-c", PROBE, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(told) == 1


# --- values ------------------------------------------------------------------------------------------------------------


def test_values_that_differ_for_a_task_have_different_digests() -> None:
    values = [1, 1.0, True, "1", None, 0.0, -0.0, [1], (1,), {1}, {"a": 1}, {"a": 1.0}, b"1", Path("1"), range(1), 1j]
    values.append(frozenset({1}))
    assert len({digest_of_value(value) for value in values}) == len(values)


def test_a_frozen_set_is_shown_as_another_value_than_a_set() -> None:
    assert [shown_of(value) for value in ({2, 1}, frozenset({2, 1}))] == ["{1, 2}", "frozenset({1, 2})"]


def test_what_does_not_matter_to_a_task_does_not_matter_to_the_digest() -> None:
    assert digest_of_value({"a": 1, "b": 2}) == digest_of_value({"b": 2, "a": 1})
    assert digest_of_value(float("nan")) == digest_of_value(-float("nan"))
    assert digest_of_value({3, 1, 2}) == digest_of_value({2, 3, 1})


def test_a_value_that_holds_itself_has_a_digest() -> None:
    circle: list[object] = [1]
    circle.append(circle)
    assert digest_of_value(circle) == digest_of_value(circle)


def test_what_is_shown_follows_from_the_value_and_keeps_secrets() -> None:
    assert shown_of({"b": (1, {"y", "x"}), "a": None}) == "{'a': None, 'b': (1, {'x', 'y'})}"
    assert shown_of({"password": "abc", "n": 1}) == "{'n': 1, 'password': ***}"
    assert shown_of(object()) == "<object>"
    assert shown_of("x" * 1000) == "<str>"
    assert shown_of(list(range(1000))) == "<list>"
    assert shown_of(10**5000) == "<int of 16610 bits>"


def test_what_lies_deep_in_an_option_counts() -> None:
    def chained(last: int, hold: Callable[[Any], Any]) -> Any:
        value: Any = last
        for _ in range(60):
            value = hold(value)
        return value

    holders: tuple[Callable[[Any], Any], ...] = (
        lambda inner: (0, inner),
        lambda inner: types.SimpleNamespace(next=inner),
    )
    for hold in holders:
        one, same, other = (held(chained(last, hold)).digest for last in (1, 1, 2))
        assert one == same != other


def test_the_order_of_an_ordered_dictionary_counts() -> None:
    one, other = OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)
    assert digest_of_value(one) == digest_of_value(OrderedDict(one)) != digest_of_value(other)


def test_deep_values_need_no_deep_stack() -> None:
    def nested(inside: Any) -> Any:
        for _ in range(20_000):
            inside = [inside]
        return inside

    assert digest_of_value(nested(1)) == digest_of_value(nested(1))
    assert digest_of_value(nested(1)) != digest_of_value(nested(2))
    assert digest_of_value((nested(1), {1})) != digest_of_value((nested(2), {1}))


def test_arrays_are_their_content() -> None:
    numpy = pytest.importorskip("numpy")
    one = numpy.arange(6).reshape(2, 3)
    assert digest_of_value(one) == digest_of_value(one.T.copy().T)
    assert digest_of_value(one) != digest_of_value(one.reshape(3, 2))
    assert digest_of_value(one) != digest_of_value(one.astype("int32"))
    assert digest_of_value(numpy.zeros(0)) == digest_of_value(numpy.zeros(0))
