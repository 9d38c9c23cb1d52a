"""Parameters as argv words."""

from __future__ import annotations

from typing import Any

import pytest

from weft.spec.mapping import MappingError, map_parameters, parse


@pytest.mark.parametrize(
    ("parameters", "mapping", "words"),
    [
        ({}, None, []),
        ({"a": 1, "b": "x y"}, None, ["--a", "1", "--b", "x y"]),
        ({"a": ""}, None, ["--a", ""]),
        ({"a": 1.0, "b": 0.1}, "--{key}={value}", ["--a=1.0", "--b=0.1"]),
        ({"zoom": [3, 4], "fast": True, "seed": None}, "--{key}={value}", ["--zoom=3", "--zoom=4", "--fast"]),
        ({"a": [], "b": None, "c": False}, None, []),
        ({"a": [1, None, False, True, "x"]}, None, ["--a", "1", "--a", "--a", "x"]),
        ({"a": True}, None, ["--a"]),
        ({"a": True}, "-{key}:{value}", ["-a"]),
        ({"a": True}, "-D {key}={value}", ["-D", "a"]),
        ({"a": True}, "--{key}{value}", ["--a"]),
        ({"a": True}, "--set={key}={value}!", ["--set=a"]),
        ({"a": True}, "--opt=x{key},{value}", ["--opt"]),
        ({"a": True}, "={value} --{key}", ["--a"]),
        ({"x=y": True}, "{key}{value}", ["x=y"]),
        ({"a": True}, "--always", ["--always"]),
        ({"a": "v"}, "'two words' {value}", ["two words", "v"]),
        ({"a": "v"}, "{{{key}}}={value}", ["{a}=v"]),
        ({"a": "{key} {value}"}, None, ["--a", "{key} {value}"]),
        ({"a": "'; id"}, "{value}", ["'; id"]),
        ({"a": 1, "b": 2}, {"a": "-a {value}"}, ["-a", "1", "--b", "2"]),
        ({"a": 1, "b": 2}, {"a": "-a {value}", "*": "{key}={value}"}, ["-a", "1", "b=2"]),
        ({"b": 1, "a": 2}, None, ["--b", "1", "--a", "2"]),
    ],
)
def test_parameters_become_words_in_their_order(parameters: dict[str, Any], mapping: Any, words: list[str]) -> None:
    assert map_parameters(parameters, mapping) == words


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("--{name}", "the mapping '--{name}' has the slot '{name}'; there are only {key} and {value}"),
        ("--{key", "the mapping '--{key' has a '{' alone; a brace that is no slot is written twice"),
        (
            "--{key} {value}}",
            "the mapping '--{key} {value}}' has a '}' alone; a brace that is no slot is written twice",
        ),
        ("{}", "the mapping '{}' has the slot '{}'; there are only {key} and {value}"),
        ("'open", 'the mapping "\'open" cannot be split: No closing quotation'),
        ("", "an empty mapping writes nothing; the usual one is '--{key} {value}'"),
        ({"a": "{x}"}, "the mapping '{x}' has the slot '{x}'; there are only {key} and {value} (for 'a')"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_before_any_value_is_known(mapping: Any, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse(mapping)
    assert str(caught.value) == message
    assert caught.value.code == "mapping.invalid"
    with pytest.raises(MappingError):
        map_parameters({}, mapping)


@pytest.mark.parametrize(
    ("parameters", "mapping", "code"),
    [
        ({"a": True}, "{value}", "mapping.invalid"),
        ({"a": True}, "={value} :{value}", "mapping.invalid"),
        ({"a": {}}, None, "shape.type"),
        ({"a": [[1]]}, None, "shape.type"),
        ({"a": [{}]}, None, "shape.type"),
        ({"a": "x\0"}, None, "shape.value"),
        ({"a\0": 1}, None, "shape.value"),
    ],
)
def test_a_value_that_no_word_can_show_is_refused(parameters: dict[str, Any], mapping: Any, code: str) -> None:
    with pytest.raises(MappingError) as caught:
        map_parameters(parameters, mapping)
    assert caught.value.code == code
    assert caught.value.parameter == next(iter(parameters))
