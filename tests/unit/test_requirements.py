"""Requirements: what counts as met, what is found, which parameter receives it (dialects.md 2.3)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.files.requirements import (
    Findings,
    Surroundings,
    bound_files,
    bound_item,
    check,
    item_binder,
    path_argument,
    shown_folder,
    source_files,
)
from weft.files.search import Place
from weft.spec.requirements import FileNeed, FolderNeed, MatchNeed, Requirements


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def given(_: str) -> None:
    """Every parameter has a value."""


def look(root: Path, state: str | None = None, seconds: float = 30.0, **needs: object) -> Findings:
    surroundings = Surroundings(Place(str(root), state), given, str(root / "shm"), seconds)
    return check(Requirements(**needs), surroundings)  # type: ignore[arg-type]


def match(root: Path, pattern: str, state: str | None = None, **more: object) -> tuple[str, ...]:
    found = look(root, state, match=(MatchNeed(pattern, minimum=0, **more),))  # type: ignore[arg-type]
    assert found.unmet is None
    return found.matches[0]


def glob(root: Path, pattern: str, state: str | None = None) -> tuple[str, ...]:
    return match(root, pattern, state, kind="glob")


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_and_a_link_to_a_file_meet_a_requirement(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    os.symlink("a", tmp_path / "l")
    assert look(tmp_path, files=(FileNeed("a"), FileNeed("l"), FileNeed(str(tmp_path / "a")))) == Findings()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "does not exist"),
        ("folder", "is a folder"),
        ("dead", "is a link to what does not exist"),
        ("a/below", "does not exist"),
        ("pipe", "is no regular file"),
        ("nul\0", "NUL"),
        ("loop", "cannot be looked at"),
    ],
)
def test_what_is_no_file_is_unmet_with_the_path_as_written(tmp_path: Path, name: str, words: str) -> None:
    fill(tmp_path, "a", "folder/x")
    os.symlink("nowhere", tmp_path / "dead")
    os.symlink("loop", tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    found = look(tmp_path, files=(FileNeed("a"), FileNeed(name)))
    assert found.unmet == f"file:{name}"
    assert found.detail is not None
    assert words in found.detail


def test_a_signal_may_be_a_file_or_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "done", "folder/x")
    assert look(tmp_path, signal=("done", "folder")).unmet is None
    assert look(tmp_path, signal=("done", "late")).unmet == "signal:late"


@pytest.mark.parametrize("name", ["block", "/block"])
def test_shared_memory_is_looked_for_in_the_hosts_folder(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "shm/block", "outside")
    assert look(tmp_path, shared_memory=(name,)).unmet is None
    assert look(tmp_path, shared_memory=(name, "gone")).unmet == "shared_memory:gone"
    assert look(tmp_path, shared_memory=("../outside",)).unmet == "shared_memory:../outside"


def test_a_parameter_must_have_a_value(tmp_path: Path) -> None:
    place = Surroundings(Place(str(tmp_path), None), lambda name: None if name == "season" else "has no value")
    assert check(Requirements(parameters=("season",)), place).unmet is None
    assert check(Requirements(parameters=("season", "year")), place).unmet == "parameter:year"


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_counts_regular_files_directly_in_it(tmp_path: Path) -> None:
    fill(tmp_path, "d/b", "d/a", "d/.hidden", "d/sub/c", "elsewhere")
    os.symlink("../elsewhere", tmp_path / "d" / "link")
    os.symlink("sub", tmp_path / "d" / "link_to_folder")
    os.mkfifo(tmp_path / "d" / "pipe")
    assert look(tmp_path, folders=(FolderNeed("d", minimum=3),)).folders == (("d/a", "d/b", "d/link"),)
    found = look(tmp_path, folders=(FolderNeed("d", minimum=4),))
    assert (found.unmet, found.detail) == ("folder:d", "required folder d has 3 files, needs 4")


def test_a_recursive_folder_goes_deeper_but_not_into_links_or_hidden_folders(tmp_path: Path) -> None:
    fill(tmp_path, "d/a", "d/s/b", "d/s/t/c", "d/.h/d")
    os.symlink("..", tmp_path / "d" / "s" / "up")
    found = look(tmp_path, folders=(FolderNeed("d", recursive=True),))
    assert found.folders == (("d/a", "d/s/b", "d/s/t/c"),)


@pytest.mark.parametrize(("name", "words"), [("absent", "does not exist"), ("file", "is no folder")])
def test_what_is_no_folder_is_unmet(tmp_path: Path, name: str, words: str) -> None:
    fill(tmp_path, "file")
    found = look(tmp_path, folders=(FolderNeed(name),))
    assert found.unmet == f"folder:{name}"
    assert words in (found.detail or "")


def test_an_empty_folder_is_unmet(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert look(tmp_path, folders=(FolderNeed("d"),)).detail == "required folder d has no files, needs 1"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (".", ""),
        ("./", ""),
        ("d", "d/"),
        ("./d/", "d/"),
        (".//d", "d/"),
        ("../d", "../d/"),
        ("/", "/"),
        ("/x/", "/x/"),
        ("a b", "a b/"),
    ],
)
def test_files_of_a_folder_are_shown_as_the_folder_was_written(written: str, shown: str) -> None:
    assert shown_folder(written) == shown


# --- expressions -----------------------------------------------------------------------------------------------------


def test_an_expression_matches_the_whole_path_relative_to_the_root(tmp_path: Path) -> None:
    fill(tmp_path, "data/t_1.bin", "data/t_2.bin", "data/t_2.bin.bak", "other/t_3.bin", "t_4.bin")
    assert match(tmp_path, r"data/t_[0-9]+\.bin") == ("data/t_1.bin", "data/t_2.bin")
    assert match(tmp_path, r"t_[0-9]+\.bin") == ("t_4.bin",)
    assert match(tmp_path, r".*t_[0-9]+\.bin") == ("data/t_1.bin", "data/t_2.bin", "other/t_3.bin", "t_4.bin")


def test_a_search_leaves_out_hidden_folders_links_to_folders_and_the_state(tmp_path: Path) -> None:
    fill(tmp_path, "a/x.txt", ".hid/x.txt", "state/x.txt", "sub/state/x.txt", ".dot.txt")
    os.symlink("a", tmp_path / "link")
    os.symlink("a/x.txt", tmp_path / "file_link.txt")
    found = match(tmp_path, r".*\.txt", str(tmp_path / "state"))
    assert found == (".dot.txt", "a/x.txt", "file_link.txt", "sub/state/x.txt")
    for named in (r"\.hid/.*", r"link/.*", r"state/.*"):
        assert match(tmp_path, named, str(tmp_path / "state")) == ()


def test_an_absolute_expression_is_matched_against_absolute_paths(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.bin", ".h/b.bin")
    (tmp_path / "root").mkdir()
    base = str(tmp_path).replace(".", r"\.")
    assert match(tmp_path / "root", rf"{base}/in/[a-z]\.bin") == (f"{tmp_path}/in/a.bin",)
    assert match(tmp_path / "root", rf"{base}/\.h/.*") == (f"{tmp_path}/.h/b.bin",)  # named, not searched


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ("a.txt",)),
        ("d/*.txt", ("d/b.txt",)),
        ("**/*.txt", ("a.txt", "d/b.txt", "d/e/c.txt")),
        ("d/**/*.txt", ("d/b.txt", "d/e/c.txt")),
        ("d/**", ("d/b.txt", "d/e/c.txt", "d/e/x1.bin", "d/e/x2.bin")),
        ("**/e/x?.bin", ("d/e/x1.bin", "d/e/x2.bin")),
        ("d/e/x[!1].bin", ("d/e/x2.bin",)),
        ("d/e/x[0-1].bin", ("d/e/x1.bin",)),
        ("./a.*", ("a.txt",)),
        ("a.txt", ("a.txt",)),
        ("[ab].txt", ("a.txt",)),
        ("*", ("a.txt", "odd[1]+")),
        ("odd[[]1]+", ("odd[1]+",)),
        ("d/*/*", ("d/e/c.txt", "d/e/x1.bin", "d/e/x2.bin")),
        ("*****.txt", ("a.txt",)),
    ],
)
def test_globs(tmp_path: Path, pattern: str, found: tuple[str, ...]) -> None:
    fill(tmp_path, "a.txt", ".h.txt", "d/b.txt", "d/e/c.txt", "d/e/x1.bin", "d/e/x2.bin", ".g/z.txt", "odd[1]+")
    assert glob(tmp_path, pattern) == found


def test_an_absolute_glob_begins_at_its_own_folder(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.txt", "in/s/b.txt")
    (tmp_path / "root").mkdir()
    assert glob(tmp_path / "root", f"{tmp_path}/in/*.txt") == (f"{tmp_path}/in/a.txt",)
    assert glob(tmp_path / "root", "../in/**/*.txt") == ("../in/a.txt", "../in/s/b.txt")


def test_an_expression_that_finds_too_little_is_unmet_by_its_text(tmp_path: Path) -> None:
    fill(tmp_path, "a.bin")
    found = look(tmp_path, match=(MatchNeed(r"[a-z]\.bin", minimum=2),))
    assert found.unmet == r"match:[a-z]\.bin"
    assert found.detail == "1 file matches the regular expression '[a-z]\\\\.bin', needs 2"
    assert look(tmp_path, match=(MatchNeed("*.txt", "glob"),)).unmet == "match:glob:*.txt"


def test_an_expression_that_would_find_files_as_a_glob_says_so(tmp_path: Path) -> None:
    fill(tmp_path, "data/a.csv")
    found = look(tmp_path, match=(MatchNeed("data/*.csv"),))
    assert found.unmet == "match:data/*.csv"
    assert "write 'glob:data/*.csv'" in (found.detail or "")
    assert "glob:" not in (look(tmp_path, match=(MatchNeed("data/*.tsv"),)).detail or "")


def test_a_bad_expression_is_unmet_with_the_reason(tmp_path: Path) -> None:
    found = look(tmp_path, match=(MatchNeed("a(b"),))
    assert found.unmet == "match:a(b"
    assert "not valid" in (found.detail or "")


def test_a_catastrophic_expression_ends_with_the_limit_and_names_itself(tmp_path: Path) -> None:
    fill(tmp_path, "a" * 60)
    found = look(tmp_path, seconds=0.3, match=(MatchNeed("a+"), MatchNeed("(a+)+b")))
    assert (found.unmet, found.detail) == ("match:(a+)+b", "the expression '(a+)+b' takes too long to match")


def test_a_complicated_but_sound_expression_finds_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff\nb")
    fill(tmp_path, "plain", f"d/{name}")
    assert match(tmp_path, r"(?s)(d/(.)+)") == (f"d/{name}",)
    assert match(tmp_path, r"(?:[a-z]+/)*(?s:.+)") == (f"d/{name}", "plain")


def test_a_matching_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a")
    monkeypatch.setattr("weft.files.patterns._CHILD", "raise SystemExit")
    found = look(tmp_path, match=(MatchNeed("(a)+"),))
    assert found.unmet == "match:(a)+"
    assert "the search for '(a)+' failed" in (found.detail or "")


def test_many_files_go_through_the_child_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.files.search.BATCH_PATHS", 40)
    monkeypatch.setattr("weft.files.patterns.BATCH_PATHS", 15)
    fill(tmp_path, *(f"f{number}" for number in range(100)))
    assert len(match(tmp_path, r"(f(\d)+)+")) == 100


def test_a_folder_that_cannot_be_read_is_mentioned(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    fill(tmp_path, "d/x")
    os.chmod(tmp_path / "d", 0)
    try:
        assert "could not be read" in (look(tmp_path, match=(MatchNeed("d/x"),)).detail or "")
    finally:
        os.chmod(tmp_path / "d", 0o700)


# --- what tasks are given --------------------------------------------------------------------------------------------


def test_the_items_are_the_files_of_all_sources_sorted_and_each_once(tmp_path: Path) -> None:
    fill(tmp_path, "d/b", "d/a", "-c")
    requires = Requirements(
        folders=(FolderNeed("./d"), FolderNeed("d", source=False)),
        match=(MatchNeed("d/a|-c"), MatchNeed(".*", source=False)),
    )
    found = check(requires, Surroundings(Place(str(tmp_path), None), given))
    assert source_files(requires, found) == ("./-c", "d/a", "d/b")


def test_what_is_found_goes_to_the_parameters_that_bind_it() -> None:
    requires = Requirements(
        files=(FileNeed("-f", "config"), FileNeed("g")),
        folders=(FolderNeed("d", bind="all"), FolderNeed("e", bind="some"), FolderNeed("z", bind="none", source=False)),
        match=(MatchNeed("m", bind="all"),),
    )
    found = Findings(None, None, (("d/2", "d/1"), ("-e/1",), ("z/1",)), (("m",),))
    assert bound_files(requires, found) == {"config": "./-f", "all": ["d/1", "d/2", "m"], "some": ["./-e/1"]}


def test_an_instances_file_goes_to_the_parameter_of_its_first_source() -> None:
    requires = Requirements(
        files=(FileNeed("f", "config"),), folders=(FolderNeed("d", bind="one"),), match=(MatchNeed("m", bind="two"),)
    )
    binder = item_binder(requires, Findings(None, None, (("a",),), (("a", "-b"),)))
    assert [binder(item) for item in ("a", "./-b", "gone")] == ["one", "two", None]
    assert bound_item(requires, "two", "./-b") == {"config": "f", "one": None, "two": "./-b"}
    assert bound_item(requires, None, "./-b") == {"config": "f", "one": None, "two": None}


def test_a_path_never_looks_like_an_option() -> None:
    assert [path_argument(path) for path in ("-x", "x", "./-x", "/-x")] == ["./-x", "x", "./-x", "/-x"]
