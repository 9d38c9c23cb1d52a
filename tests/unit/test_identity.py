"""Identities of templates, nodes, tasks and workflows (workflows.md 3)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from weft.errors import ArgumentError
from weft.spec.identity import (
    edges_digest,
    encode_args,
    node_digest,
    plain_value,
    task_digest,
    tasks_digest,
    template_digest,
    text_of_value,
)


def test_no_two_lists_of_arguments_have_equal_bytes():
    args = [
        {"a": "a_b", "b": "c"},
        {"a": "a", "b": "b_c"},
        {"a": "69", "b": "6"},
        {"a": "6", "b": "96"},
        {"a": "", "b": "696"},
        {"ab": "", "b": ""},
        {"a": ""},
        {},
    ]
    assert len({encode_args(each) for each in args}) == len(args)


def test_values_count_by_their_text_and_keys_in_any_order():
    assert encode_args({"a": 1, "b": 2}) == encode_args({"b": "2", "a": "1"})
    assert encode_args({"a": 1}) != encode_args({"a": 1.0})
    assert encode_args({"a": None}) == encode_args({"a": "None"})


def test_numpy_numbers_are_their_text():
    numpy = pytest.importorskip("numpy")
    assert encode_args({"a": numpy.int64(1)}) == encode_args({"a": 1})
    assert plain_value(numpy.int64(7)) == "7"


def test_a_value_whose_text_shows_an_address_is_refused():
    for value in (object(), [object()], lambda: 0):
        with pytest.raises(ArgumentError, match="address"):
            text_of_value(value)


def test_a_set_has_no_stable_text():
    with pytest.raises(ArgumentError, match="sorted"):
        text_of_value({"a", "b"})
    assert text_of_value({"a"}) == "{'a'}"


def test_containers_bytes_and_none_go_by_their_text():
    assert [plain_value(value) for value in (None, b"x", (1, "a"), {"k": [1]}, True)] == [
        "None",
        "b'x'",
        "(1, 'a')",
        "{'k': [1]}",
        "True",
    ]


def test_a_task_differs_from_its_node():
    template = template_digest("t", "run {a}", ["a"], [], [])
    node = node_digest(template, encode_args({"a": 1}))
    assert len({template, node, task_digest(node, encode_args({})), task_digest(node, encode_args({"d": 1}))}) == 4


def test_lists_of_args_of_a_template_are_sets():
    assert template_digest("t", "x", ["a", "b"], [], []) == template_digest("t", "x", ["b", "a"], [], [])
    assert template_digest("t", "x", ["a"], ["b"], []) != template_digest("t", "x", ["a"], [], ["b"])


def test_the_tool_is_part_of_a_template():
    one, other = (template_digest("t", "x", ["a"], [], [], tool) for tool in ("survey", "model"))
    assert one != other


def test_order_of_tasks_and_edges_does_not_matter():
    one, two, three = (bytes([number]) * 16 for number in (1, 2, 3))
    assert tasks_digest([one, two]) == tasks_digest([two, one]) != tasks_digest([one, three])
    assert edges_digest([(one, two), (two, three)]) == edges_digest([(two, three), (one, two)])
    assert edges_digest([(one, two)]) != edges_digest([(two, one)])


def test_identities_are_the_same_in_every_process():
    program = (
        "from weft.spec.identity import *; t = template_digest('t', 'run {a} {b}', {'a', 'b', 'c', 'd'}, [], []); "
        "print(task_digest(node_digest(t, encode_args({'a': 1, 'b': 'ü'})), encode_args({})).hex(), workflow_key('x', 2, 'y'))"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "LC_ALL": locale},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("77", "POSIX"))
    }
    assert len(shown) == 1
