"""Slots in words and scripts."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

import pytest

from weft.spec.shelltext import ShellSlotError
from weft.spec.slots import fill, fill_shell, has_nul, shell_slots_in, slots_in, text_of


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain", ()),
        ("{a}", ("a",)),
        ("--{a}={b}:{a}", ("a", "b")),
        ("{{a}}", ()),
        ("{{{a}}}", ("a",)),
        ("{}", ()),
        ("{a b}", ()),
        ("{1a}", ()),
        ("{a", ()),
        ("{print $1}", ()),
        ("{größe}", ("größe",)),
        ("${a}", ("a",)),
        ("{{ {a} }}", ("a",)),
    ],
)
def test_slots_are_identifiers_in_single_braces(text: str, names: tuple[str, ...]) -> None:
    assert slots_in(text) == names


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{a}", "1"),
        ("--{a}={b}", "--1=two words"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{1}"),
        ("}}{{", "}{"),
        ("{a b} {} {", "{a b} {} {"),
        ("a}", "a}"),
        ("{c}", "{a}"),
        ("{c}{a}", "{a}1"),
    ],
)
def test_filling_is_one_pass(text: str, filled: str) -> None:
    assert fill(text, {"a": 1, "b": "two words", "c": "{a}"}) == filled


def test_a_slot_without_a_value_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        fill("{a}", {})
    with pytest.raises(KeyError):
        fill_shell("echo {a}", {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as is", "as is"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (3, "3"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e100, "1e+100"),
        ([1, "ä", None], '[1,"ä",null]'),
        ({"b": [1.5, True], "a": {}}, '{"b":[1.5,true],"a":{}}'),
        (MappingProxyType({"a": (1, MappingProxyType({}))}), '{"a":[1,{}]}'),
        (PurePosixPath("/a/b"), "/a/b"),
        ([PurePosixPath("a")], '["a"]'),
    ],
)
def test_values_are_written_as_json_would_but_for_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_number_of_any_length_is_written() -> None:
    assert text_of(10**5000) == "1" + "0" * 5000
    assert text_of(-(10**5000)) == "-1" + "0" * 5000


def test_a_path_of_bytes_keeps_its_bytes() -> None:
    class Raw:
        def __fspath__(self) -> bytes:
            return b"a\xff"

    assert text_of(Raw()) == "a\udcff"


def test_what_is_no_plain_data_has_no_text() -> None:
    with pytest.raises(TypeError, match="a set is no plain data"):
        text_of({1})


def test_nul_is_told() -> None:
    assert has_nul("a\0")
    assert not has_nul("a")
    assert not has_nul(0)
    assert has_nul(["a", {"b": "c\0"}]) is False  # JSON text escapes it


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("true", ()),
        ("echo {a} '{b}' \"{a}\"", ("a", "b")),
        ("echo ${a} ${a:-x} {{a}}", ()),
        ("echo ${a:-{b}}", ("b",)),
        ("# a comment is no place for {a}\necho {b} # {c}", ("b",)),
        ("echo a#{b}", ("b",)),
        ("awk '{print $1}' {f}", ("f",)),
        ("cat <<EOF\n{a} ${b}\nEOF\necho {c}", ("a", "c")),
        ("echo $${a}", ("a",)),
        ("echo $(( {a} + (1) )) `ls {b}`", ("a", "b")),
    ],
)
def test_slots_of_a_script_are_not_the_shells_own_names(script: str, names: tuple[str, ...]) -> None:
    assert shell_slots_in(script) == names


HOSTILE = 'it\'s "$HOME" `id` \\ ; id'


@pytest.mark.parametrize(
    ("script", "filled"),
    [
        ("echo {a}", "echo 'it'\"'\"'s \"$HOME\" `id` \\ ; id'"),
        ("echo '{a}'", "echo 'it'\\''s \"$HOME\" `id` \\ ; id'"),
        ('echo "{a}"', 'echo "it\'s \\"\\$HOME\\" \\`id\\` \\\\ ; id"'),
        ("cat <<E\n{a}\nE\n", 'cat <<E\nit\'s "\\$HOME" \\`id\\` \\\\ ; id\nE\n'),
        ("cat <<'E'\n{a}\nE\n", f"cat <<'E'\n{HOSTILE}\nE\n"),
        ("f() {{ echo '{{'; }}", "f() { echo '{'; }"),
        ("echo ${b:-${c}} {{}}", "echo ${b:-${c}} {}"),
        ("echo \"$(echo '{a}')\"", "echo \"$(echo 'it'\\''s \"$HOME\" `id` \\ ; id')\""),
        ("echo ${b:-'{a}'}", "echo ${b:-'it'\\''s \"$HOME\" `id` \\ ; id'}"),
        ("echo \\\\'{a}'", "echo \\\\'it'\\''s \"$HOME\" `id` \\ ; id'"),
        ("cat <<-E\n\t${b:-${c}} {{a}} {e}\n\tE\nls", "cat <<-E\n\t${b:-${c}} {a} ok\n\tE\nls"),
        ("cat <<E <<F\n{e}}}\nE\n\\$ ${b} {e}\nF\n", "cat <<E <<F\nok}\nE\n\\$ ${b} ok\nF\n"),
        ("cat <<E\nno end {e}", "cat <<E\nno end ok"),
        ("cat <<E\n", "cat <<E\n"),
        ("cat <<E\nno end {e}\n", "cat <<E\nno end ok\n"),
        ("cat <<<{e}", "cat <<<ok"),
        ("cat <<{e}\n{e}\n", "cat <<{e}\n{e}\n"),
        ("(echo {e}) ; case {e} in ok) ;; esac", "(echo ok) ; case ok in ok) ;; esac"),
        ("echo '{", "echo '{"),
    ],
)
def test_a_value_is_quoted_for_the_place_where_its_slot_stands(script: str, filled: str) -> None:
    assert fill_shell(script, {"a": HOSTILE, "e": "ok"}) == filled


@pytest.mark.parametrize(
    "script",
    [
        "echo `echo {a}`",
        "echo `echo ${b} \\` '{a}'`",
        "echo $(( {a} ))",
        "echo $(( (1) + {a} ))",
        'echo "${b:-{a}}"',
        'echo "${b:-"{a}"}"',
        "echo \\{a}",
        'echo "\\{a}"',
        "echo $'{a}'",
        "(( x << 2 )); echo {a}",
        'echo "$(case a in a) echo {a};; esac)"',
        "cat <<E\n$(echo {a})\nE\n",
        "cat <<E\n\\{a}\nE\n",
        'echo "$\\\n(echo {a})"',
    ],
)
def test_where_no_quoting_holds_only_harmless_values_are_let_in(script: str) -> None:
    assert "v-1.5" in fill_shell(script, {"a": "v-1.5"})
    with pytest.raises(ShellSlotError) as caught:
        fill_shell(script, {"a": "x; id"})
    assert caught.value.slot == "a"
    assert '"$a"' in str(caught.value)


@pytest.mark.parametrize(
    "script", ["cat <<E\n{a}\nE\n", "cat <<E\n{b}{c}\nE\n", "cat <<'E'\n{d}\nE\n", "cat <<-E\n\t{a}\nE\n"]
)
def test_a_value_cannot_end_the_here_document_it_stands_in(script: str) -> None:
    with pytest.raises(ShellSlotError, match="end the here-document"):
        fill_shell(script, {"a": "E", "b": "", "c": "E", "d": "x\nE\nid"})


def test_a_value_whose_tabs_the_shell_would_take_away_is_refused() -> None:
    with pytest.raises(ShellSlotError, match="takes tabs away"):
        fill_shell("cat <<-E\n\t{a}\n\tE\n", {"a": "x\n\ty"})
    assert fill_shell("cat <<-E\n\t{a}\n\tE\n", {"a": "x\ty"}) == "cat <<-E\n\tx\ty\n\tE\n"


def test_a_line_that_only_looks_like_the_end_of_a_here_document_does_no_harm() -> None:
    assert fill_shell("cat <<E\n\tE\n{a}\nE\n", {"a": "x"}) == "cat <<E\n\tE\nx\nE\n"
