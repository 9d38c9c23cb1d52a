"""Command templates: slots, roles, shell or not, rendering, names (workflows.md 2.2 and 2.3)."""

from __future__ import annotations

import subprocess

import pytest

from weft.errors import ArgumentError
from weft.spec.actions import Command, Shell
from weft.spec.command_templates import (
    NAME_LIMIT,
    TemplateError,
    argv_of,
    check_args,
    command_of,
    command_template,
    default_name,
    needs_shell,
)


def test_tokens_are_split_before_values_are_filled_in():
    template = command_template("say", "echo '{word} {word}' {other}", ["word"], ["other"])
    assert template.action == Command(("echo", "{word} {word}", "{other}"))
    assert argv_of(template, {"word": "a b", "other": "c; d"}) == ("echo", "a b a b", "c; d")


def test_all_mistakes_of_a_template_come_in_one_message():
    with pytest.raises(TemplateError) as caught:
        command_template("t", "run {place} {other.x}", ["plaec", "both"], ["both"], ["name"])
    text = str(caught.value)
    for part in (
        "'plaec' is declared",
        "did you mean 'place'",
        "{other.x}",
        "node arg and task arg",
        "'name'",
        "{place}",
    ):
        assert part in text
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "command", ["echo {a!r}", "echo {a:>3}", "echo {a[0]}", "echo {a.b}", "echo {", "echo }", "echo {}"]
)
def test_a_slot_is_nothing_but_a_name(command):
    with pytest.raises(TemplateError):
        command_template("t", command, ["a"])


def test_doubled_braces_are_braces():
    template = command_template("t", "echo {{x}} {a}", ["a"])
    assert argv_of(template, {"a": "{b}"}) == ("echo", "{x}", "{b}")
    assert command_of(template, {"a": 1}) == "echo {x} 1"


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("echo a", False),
        ("echo a | wc", True),
        ("echo 'a | b'", False),
        ('echo "a | b"', False),
        ('echo "$HOME"', True),
        ("echo '$HOME'", False),
        ("echo $HOME", True),
        ("A=1 env", True),
        ("env A=1", False),
        ("ls *.txt", True),
        ("ls ~", True),
        ("true; false", True),
        ("echo a\\;b", False),
        ("cat <in", True),
        ("echo `date`", True),
        ("python -c 'print(1); print(2)'", False),
    ],
)
def test_the_text_of_the_template_decides_about_the_shell(command, shell):
    assert needs_shell(command) is shell
    assert command_template("t", command).uses_shell is shell


def test_values_never_make_a_shell():
    template = command_template("t", "echo {a}", ["a"])
    assert argv_of(template, {"a": "$(rm -rf /) | ; *"}) == ("echo", "$(rm -rf /) | ; *")


def test_a_shell_gets_values_quoted():
    template = command_template("t", "printf '%s' {a} | cat", ["a"])
    assert isinstance(template.action, Shell)
    hostile = "$(exit 3)'\"; echo gone `x`"
    shown = subprocess.run(
        ["/bin/sh", "-c", command_of(template, {"a": hostile})], capture_output=True, text=True, check=True
    )
    assert shown.stdout == hostile


def test_a_rendered_command_can_be_pasted():
    template = command_template("t", "printf %s {a}", ["a"])
    value = "it's; $HOME"
    shown = subprocess.run(
        ["/bin/sh", "-c", command_of(template, {"a": value})], capture_output=True, text=True, check=True
    )
    assert shown.stdout == value


def test_a_variable_of_the_shell_is_not_taken_for_a_slot():
    with pytest.raises(TemplateError, match=r"\$\{\{a\}\}"):
        command_template("t", "echo ${a}", ["a"])
    assert command_of(command_template("t", "echo ${{HOME}} {a}", ["a"]), {"a": 1}) == "echo ${HOME} 1"


def test_lines_may_be_continued():
    assert command_template("t", "run \\\n  --a {a}", ["a"]).action == Command(("run", "--a", "{a}"))


def test_wrong_arguments_are_all_named_with_their_nearest_names():
    template = command_template("fit", "fit {place} {data}", ["place"], ["data"])
    with pytest.raises(ArgumentError) as caught:
        check_args(template, {"plase": 1, "zzz": 2})
    text = str(caught.value)
    assert "lacks 'place', 'data'" in text
    assert "'plase' (did you mean 'place'?)" in text
    assert "'zzz'" in text
    check_args(template, ["place", "data"])


def test_names_are_made_of_node_args_in_their_order():
    template = command_template("fit", "fit {year} {place} {data}", ["place", "year"], ["data"])
    assert default_name(template, {"place": "north", "year": 3, "data": "d"}) == "fit_place-north_year-3"


def test_without_node_args_names_are_made_of_task_args():
    assert default_name(command_template("sum", "sum {data}", (), ["data"]), {"data": "d5"}) == "sum_data-d5"
    assert default_name(command_template("sum", "sum"), {}) == "sum"


def test_what_does_not_belong_in_a_name_is_an_underscore():
    template = command_template("t", "run {a}", ["a"])
    assert default_name(template, {"a": "a/b\\c'd\"e f\tg\nh"}) == "t_a-a_b_c_d_e_f_g_h"


def test_a_long_name_ends_in_a_digest():
    template = command_template("t", "run {a}", ["a"])
    names = {default_name(template, {"a": "x" * 400 + end}) for end in ("1", "2")}
    assert len(names) == 2
    assert {len(name) for name in names} == {NAME_LIMIT}


def test_sets_of_names_have_an_order_that_is_the_same_in_every_process() -> None:
    names = {f"arg{number}" for number in range(20)}
    template = command_template("t", " ".join(f"{{{name}}}" for name in sorted(names)), names)
    assert template.node_args == tuple(sorted(names))
