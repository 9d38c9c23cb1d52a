"""Places in a JSON text: whatever the document and its white space, a pointer leads to the value it names."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.formats.mistakes import pointer
from weft.formats.positions import json_duplicates, locate, places

KEYS = st.text(max_size=4) | st.sampled_from(["a", "~", "/", "a/b", "~1", '"', "\\", ""])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def members(document: Any) -> dict[str, Any]:
    """Every value by its pointer."""
    found: dict[str, Any] = {}
    waiting = [("", document)]
    while waiting:
        path, value = waiting.pop()
        found[path] = value
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(path + pointer(key), inner) for key, inner in items]
    return found


def offset_of(text: str, place: tuple[int | None, int | None]) -> int:
    line, column = place
    assert line is not None and column is not None
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1


@given(DOCUMENTS, st.sampled_from([None, 0, 1, "\t", "\n "]), st.randoms(use_true_random=False))
def test_a_pointer_leads_to_its_value(document: Any, indent: Any, random: Any) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    values = members(document)
    wanted = random.sample(sorted(values), k=random.randint(0, len(values)))
    found = locate(text, wanted)
    assert set(wanted) | {""} <= set(found)
    for location in wanted:
        value, _ = json.JSONDecoder().raw_decode(text, offset_of(text, found[location][1]))
        assert value == values[location]


def test_what_does_not_exist_has_no_place() -> None:
    assert set(locate('{"a": [1, {}]}', ["/a/5", "/b", "/a/1/x", "/a/0/y"])) == {"", "/a", "/a/0", "/a/1"}


def test_keys_and_values_have_places_of_their_own() -> None:
    found = locate('{"a":\n  {"b" : [ 1,\n 22 ]}}', ["/a/b", "/a/b/1"])
    assert found["/a/b"] == ((2, 4), (2, 10))
    assert found["/a/b/1"] == ((3, 2), (3, 2))


def test_every_repetition_of_a_key_is_found_where_it_is() -> None:
    text = '[{"a": 1, "a": {"b": [], "b": 2}},\n {"a": {"x": 1}, "c": 1, "a": 1, "a": 3}]'
    assert list(json_duplicates(text)) == [
        ("/0/a", "a", (1, 3), (1, 11)),
        ("/0/a/b", "b", (1, 17), (1, 26)),
        ("/1/a", "a", (2, 3), (2, 26)),
        ("/1/a", "a", (2, 3), (2, 34)),
    ]


# --- TOML --------------------------------------------------------------------------------------------------------------

TOML = r"""# c
weft = 1
a.b."c.d" = [1, [2, 3], { x = "y#]", z.w = [ ] }, # hi ]
  '''multi ' ]
line''', 'raw', "\"]",
]
t = 1979-05-27 07:32:00 # date
q = '''a''''
[tasks.one]
shell = "x # no"
command = [
  "a",   # first
]
[[list]]
n = 1
[[list]]
[list.sub]
k = 3
[[list.deep]]
v = true
[ tasks . "two words" ]
z=0
"""


def test_everything_in_a_toml_text_has_a_place() -> None:
    wanted = set(members(tomllib.loads(TOML)))
    assert set(places(TOML, "toml", wanted)) == wanted and len(wanted) > 30


@pytest.mark.parametrize(
    ("location", "key", "value"),
    [
        ("/weft", (2, 1), (2, 8)),
        ("/a/b/c.d", (3, 5), (3, 13)),
        ("/a/b/c.d/1/1", (3, 21), (3, 21)),
        ("/a/b/c.d/2/z/w", (3, 40), (3, 44)),
        ("/a/b/c.d/4", (5, 10), (5, 10)),
        ("/q", (8, 1), (8, 5)),
        ("/tasks", (9, 1), (9, 1)),
        ("/tasks/one/command/0", (12, 3), (12, 3)),
        ("/list/1", (16, 1), (16, 1)),
        ("/list/1/sub/k", (18, 1), (18, 5)),
        ("/list/1/deep/0/v", (20, 1), (20, 5)),
        ("/tasks/two words/z", (22, 1), (22, 3)),
    ],
)
def test_places_in_toml(location: str, key: tuple[int, int], value: tuple[int, int]) -> None:
    assert places(TOML, "toml", [location, "/nowhere"]) == {location: (key, value)}
