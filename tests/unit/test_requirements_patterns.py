"""File expressions: where a search begins, and which of them could take for ever."""

from __future__ import annotations

import re

import pytest

from weft.files.patterns import compile_pattern, glob_start, regex_is_risky, regex_start, translate_glob


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        (r"data/t_[0-9]+\.bin", "data"),
        (r"data/a/b.*", "data/a"),
        (r"data", ""),
        (r".*\.txt", ""),
        (r"da?ta/x", ""),
        (r"data/*x", ""),
        (r"a\.b/c\-d/.*", "a.b/c-d"),
        (r"a/b|c/d", ""),
        (r"a/(b|c)/d", "a"),
        (r"a/[|]/d", "a"),
        (r"a/[]|]/d", "a"),
        (r"a/[^]|]/d", "a"),
        (r"a/[\]|]/d", "a"),
        (r"a/\|/d", "a/|"),
        (r"a/b{2}/c", "a"),
        (r"\d/x", ""),
        (r"(a/b/c)", ""),
        (r"/srv/in/x_.*", "/srv/in"),
        (r"/x_.*", "/"),
        (r"/a/x|/b/y", "/"),
        (r"a/)|(b", ""),
    ],
)
def test_a_search_begins_in_the_folder_that_every_match_lies_in(pattern: str, start: str) -> None:
    assert regex_start(pattern) == start


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ("*.txt", ""),
        ("a/b/*.txt", "a/b"),
        ("a/*/c", "a"),
        ("a/[b]/c", "a"),
        ("/a/b", "/a"),
        ("/*", "/"),
        ("**/x", ""),
        ("../x/?", "../x"),
    ],
)
def test_a_glob_begins_behind_its_last_plain_folder(pattern: str, start: str) -> None:
    assert glob_start(pattern) == start


@pytest.mark.parametrize(
    ("pattern", "depth"),
    [
        ("*.txt", 0),
        ("a/*.txt", 0),
        ("a/*/c", 1),
        ("*/*/c", 2),
        ("**/c", None),
        ("/a/*", 0),
        ("/*/x", 1),
        ("a/**", None),
    ],
)
def test_a_glob_without_double_stars_goes_only_as_deep_as_it_can_match(pattern: str, depth: int | None) -> None:
    assert compile_pattern(pattern, "glob").depth == depth


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|aa)*",
        r"(.*),\1",
        r"a*a*a*b",
        r"(?:a)",
        r"(a){2,}",
        r"a{1,50}a{1,50}a{1,50}",
        r"(x{1,9}){1,9}",
        r".*.*.*=",
    ],
)
def test_expressions_that_could_explode_are_risky(pattern: str) -> None:
    assert regex_is_risky(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"data/t_[0-9]+\.bin",
        r".*/x_\d{4}-\d{2}-\d{2}\.csv",
        r"[*+(]+",
        r"\(\*\+\)\+",
        r"(a|b)/.*",
        r"a?b?c?d?",
        "plain",
    ],
)
def test_ordinary_expressions_are_matched_in_place(pattern: str) -> None:
    assert not regex_is_risky(pattern)


@pytest.mark.parametrize(
    "pattern", ["[[]", "[+--]", "[!&&x]", "[a||b]", "[~~]", "[]]", "[!]]", "[", "a[b", "\\", "[\\]", "(a|b)+{x}"]
)
def test_every_glob_that_is_no_bad_range_is_sound_and_quiet(pattern: str) -> None:
    re.compile(translate_glob(pattern))  # a warning would be an error


def test_a_bad_range_in_a_glob_is_told() -> None:
    with pytest.raises(re.error):
        compile_pattern("[a--]", "glob")
    with pytest.raises(re.error):
        compile_pattern("[z-a]", "glob")
