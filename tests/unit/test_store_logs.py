"""Output by region, whatever was put into the log folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.scheduling.outcomes import NO_OUTPUT, LogRegion
from weft.store.logs import LogGoneError, LogReader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    logs = tmp_path / "logs" / "run"
    logs.mkdir(parents=True)
    return logs


@pytest.fixture
def reader(tmp_path: Path, folder: Path) -> LogReader:
    return LogReader(str(tmp_path), "run")


def test_a_region_is_read_alone_and_in_pieces(folder: Path, reader: LogReader) -> None:
    (folder / "s.out").write_bytes(b"before|inside \xff\x00|after")
    region = LogRegion("s.out", 7, 9)
    assert reader.read(region) == b"inside \xff\x00"
    assert reader.read(region, 7) == b"\xff\x00"
    assert reader.read(region, 2, 3) == b"sid"
    assert reader.read(region, 50) == b""
    assert reader.size(region) == 9


def test_a_region_without_a_length_reaches_to_the_present_end(folder: Path, reader: LogReader) -> None:
    path = folder / "s.out"
    path.write_bytes(b"old new")
    region = LogRegion("s.out", 4, -1)
    assert (reader.read(region), reader.size(region)) == (b"new", 3)
    path.write_bytes(b"old newer")
    assert (reader.read(region, 3), reader.size(region)) == (b"er", 5)


def test_no_output_is_empty_without_a_file(reader: LogReader) -> None:
    assert reader.read(NO_OUTPUT) == b""
    assert reader.tail(NO_OUTPUT, 5) == b""


def test_a_file_that_was_cut_gives_what_is_left(folder: Path, reader: LogReader) -> None:
    (folder / "s.out").write_bytes(b"12345")
    assert reader.read(LogRegion("s.out", 3, 100)) == b"45"


def test_files_in_folders_below_are_read(folder: Path, reader: LogReader) -> None:
    (folder / "w").mkdir()
    (folder / "w" / "s.out").write_bytes(b"x")
    assert reader.read(LogRegion("w/s.out", 0, 1)) == b"x"


def test_a_log_that_is_gone_says_so_with_its_path(reader: LogReader, folder: Path) -> None:
    with pytest.raises(LogGoneError, match=r"gone.*No such file.*s\.out"):
        reader.read(LogRegion("s.out", 0, 5))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "./s", "a//b", "w/", "a\0b", ".."])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, reader: LogReader, name: str) -> None:
    (tmp_path / "logs" / "secret").write_bytes(b"secret")
    with pytest.raises(LogGoneError):
        reader.read(LogRegion(name, 0, 6))


def test_links_are_not_followed(tmp_path: Path, folder: Path, reader: LogReader) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)
    for name in ("link", "folder/secret"):
        with pytest.raises(LogGoneError):
            reader.read(LogRegion(name, 0, 6))


def test_a_pipe_in_a_logs_place_is_refused_without_waiting(folder: Path, reader: LogReader) -> None:
    os.mkfifo(folder / "s.out")
    with pytest.raises(LogGoneError, match="no regular file"):
        reader.read(LogRegion("s.out", 0, 6))


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"", 3, b""),
        (b"a\n", 0, b""),
        (b"\n\n\n", 2, b"\n\n"),
        (b"a\rb\x0bc\x1c\xe2\x80\xa8d\ne", 1, b"e"),
        (b"a\rb\n", 1, b"a\rb\n"),
        (b"x" * 300_000 + b"\nlast\n", 1, b"last\n"),
        (b"first\n" + b"y" * 300_000, 1, b"y" * 300_000),
        (b"first\n" + b"y" * 300_000 + b"\n", 2, b"first\n" + b"y" * 300_000 + b"\n"),
    ],
)
def test_the_tail_is_the_last_lines(
    folder: Path, reader: LogReader, content: bytes, lines: int, expected: bytes
) -> None:
    (folder / "s.out").write_bytes(b"other\nattempt" + content + b"later\nattempt\n")
    assert reader.tail(LogRegion("s.out", 13, len(content)), lines) == expected
