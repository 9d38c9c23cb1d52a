"""Content digests: when they are equal, when they are taken again, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.files import contents as module
from weft.files.contents import RACY_NANOSECONDS, UNSETTLED, Contents, UnreadableError
from weft.ports import FileRow

OLD = 1_000_000_000_000_000_000  # an mtime long ago
LONG_AFTER = OLD + 10 * RACY_NANOSECONDS


def write(path: Path, data: bytes, mtime_ns: int = OLD) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return str(path)


def contents(known: dict[str, FileRow] | None = None, now_ns: int = LONG_AFTER) -> Contents:
    return Contents(lambda: known or {}, now_ns=lambda: now_ns)


def digest(path: str | Path) -> str:
    state = contents().state(str(path))
    assert state is not None
    return state.digest


def test_equal_content_has_equal_digests_wherever_it_lies(tmp_path: Path) -> None:
    assert digest(write(tmp_path / "a", b"x")) == digest(write(tmp_path / "b", b"x", OLD + 5))
    assert digest(tmp_path / "a") != digest(write(tmp_path / "c", b"y"))


def test_a_file_larger_than_a_chunk_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", b"0123456789")
    whole = digest(path)
    monkeypatch.setattr(module, "CHUNK_BYTES", 3)
    assert digest(path) == whole
    assert digest(write(tmp_path / "b", b"012345678")) != whole


def test_nothing_at_a_path_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "file", b"")
    assert contents().state(str(tmp_path / "absent")) is None
    assert contents().state(str(tmp_path / "file" / "below")) is None


def test_a_file_that_looks_unchanged_is_not_hashed_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"one")
    first = contents()
    before = first.state(path)
    (row,) = first.news
    inode = os.stat(path).st_ino
    Path(path).write_bytes(b"two")
    os.utime(path, ns=(OLD, OLD))
    assert os.stat(path).st_ino == inode
    assert contents({path: row}).state(path) == before  # size, mtime and inode decide


@pytest.mark.parametrize("change", ["size", "mtime", "inode"])
def test_a_file_that_looks_changed_is_hashed_again(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "a", b"one")
    first = contents()
    first.state(path)
    (row,) = first.news
    if change == "inode":
        os.rename(write(tmp_path / "b", b"two"), path)
    else:
        write(Path(path), b"more" if change == "size" else b"two", OLD if change == "size" else OLD + 1)
    again = contents({path: row})
    state = again.state(path)
    assert state is not None
    assert state.digest != row.digest
    assert [found.path for found in again.news] == [path]


def test_the_digest_of_a_file_changed_a_moment_ago_is_not_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"one")
    looked = contents(now_ns=OLD + RACY_NANOSECONDS)
    first = looked.state(path)
    assert first is not None
    assert first.mtime_ns == UNSETTLED
    assert not looked.news
    write(tmp_path / "a", b"two")  # same size, mtime and inode: only reading can tell
    second = looked.state(path)
    assert second is not None
    assert second.digest != first.digest


def test_a_young_file_is_hashed_again_once_it_is_old_enough(tmp_path: Path) -> None:
    now = OLD
    looked = Contents(dict, now_ns=lambda: now)
    path = write(tmp_path / "a", b"one")
    looked.state(path)
    write(tmp_path / "a", b"two")
    assert looked.settle() == RACY_NANOSECONDS / 1e9
    assert not looked.news
    now += RACY_NANOSECONDS + 1
    assert looked.settle() is None
    (row,) = looked.news
    assert row.digest == digest(path)
    assert looked.settle() is None


def test_a_young_file_that_is_gone_or_ahead_of_the_clock_is_left_alone(tmp_path: Path) -> None:
    now = OLD
    looked = Contents(dict, now_ns=lambda: now)
    looked.state(write(tmp_path / "gone", b""))
    looked.state(write(tmp_path / "ahead", b"", OLD + 1))
    os.unlink(tmp_path / "gone")
    os.mkfifo(tmp_path / "gone")
    now += 2 * RACY_NANOSECONDS
    assert looked.settle() is None
    assert not looked.news


def test_a_file_with_an_mtime_in_the_future_is_always_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"one", LONG_AFTER * 2)
    looked = contents()
    before = looked.state(path)
    write(tmp_path / "a", b"two", LONG_AFTER * 2)
    assert looked.state(path) != before


def test_known_rows_are_asked_for_once_and_only_when_needed(tmp_path: Path) -> None:
    asked = []
    looked = Contents(lambda: asked.append(1) or {})  # type: ignore[func-returns-value]
    assert asked == []
    looked.state(write(tmp_path / "a", b""))
    looked.state(write(tmp_path / "b", b""))
    assert asked == [1]


def test_a_folder_is_its_names_and_contents_whatever_the_order_of_making(tmp_path: Path) -> None:
    for number, names in enumerate((["a", "d/b", "d/c"], ["d/c", "d/b", "a"])):
        for name in names:
            write(tmp_path / str(number) / name, name.encode(), OLD + number)
    assert digest(tmp_path / "0") == digest(tmp_path / "1")


@pytest.mark.parametrize("change", ["content", "name", "new", "gone", "empty folder", "moved", "link"])
def test_every_change_below_a_folder_changes_it(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "f"
    write(folder / "a", b"1")
    write(folder / "d" / "b", b"2")
    os.symlink("a", folder / "l")
    before = digest(folder)
    match change:
        case "content":
            write(folder / "d" / "b", b"3")
        case "name":
            os.rename(folder / "a", folder / "z")
        case "new":
            write(folder / "d" / "c", b"")
        case "gone":
            os.unlink(folder / "a")
        case "empty folder":
            (folder / "e").mkdir()
        case "moved":
            os.rename(folder / "d" / "b", folder / "b")
        case "link":
            os.unlink(folder / "l")
            os.symlink("d/b", folder / "l")
    assert digest(folder) != before


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    os.symlink("..", folder / "loop")
    os.symlink("../outside", folder / "out")
    before = digest(folder)
    write(tmp_path / "outside", b"x")
    assert digest(folder) == before


def test_a_link_that_is_named_itself_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "a", b"x")
    os.symlink("a", tmp_path / "l")
    assert digest(tmp_path / "l") == digest(tmp_path / "a")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    with pytest.raises(UnreadableError, match="neither a file nor a folder"):
        contents().state(str(tmp_path / "p"))
    with pytest.raises(UnreadableError):
        contents().state(str(tmp_path))


def test_a_path_with_nul_or_too_long_is_refused(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises(UnreadableError):
            contents().state(str(tmp_path / name))


def test_names_of_any_bytes_count(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "f")
    os.mkdir(folder)
    for name in (b"\xff", b"a\nb", "ü".encode(), b"-x"):
        with open(folder + b"/" + name, "wb"):
            pass
    before = digest(os.fsdecode(folder))
    os.rename(folder + b"/\xff", folder + b"/\xfe")
    assert digest(os.fsdecode(folder)) != before


def test_long_work_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 3)
    told: list[int] = []
    looked = Contents(dict, lambda: told.append(1))
    looked.state(write(tmp_path / "small", b"123"))
    assert told == []
    looked.state(write(tmp_path / "large", b"1234"))
    assert told == [1]


def test_a_very_deep_folder_needs_no_recursion(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    os.makedirs(folder)
    assert digest(tmp_path)
