"""How values travel: plain data exactly as it was, everything else by reference, damage always noticed."""

from __future__ import annotations

import math
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weft.values import encoding, files, plain
from weft.values.encoding import DamagedError, MissingError, UnencodableError, decode, digest_of, encode, parse

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
ANY = st.recursive(
    SCALARS | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal in type and sign all the way down; NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


# --- plain data --------------------------------------------------------------------------------------------------------


@given(PLAIN)
def test_plain_data_is_its_json_text_and_comes_back_as_it_was(value: Any) -> None:
    text = plain.text_of(value)
    assert text is not None
    assert not text.startswith("@")
    assert same(plain.value_of(text), value)
    assert same(plain._deep_value(text), value), "without recursion it reads the same"
    assert plain._deep_text(value) == text, "and writes the same"


@given(ANY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    assert same(decode(encode(value, str(tmp_path), is_durable=False), str(tmp_path)), value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), (1, 2), {1: 2}, {"a": (1,)}, {1, 2}, b"a", 1j, "\ud83d\ude00", 10**5000, object],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_not_plain(value: Any) -> None:
    assert plain.text_of(value) is None


def test_numbers_that_are_equal_are_told_apart() -> None:
    texts = [plain.text_of(value) for value in (1, 1.0, True, 0.0, -0.0, "1")]
    assert texts == ["1", "1.0", "true", "0.0", "-0.0", '"1"']
    assert len({digest_of(text or "") for text in texts}) == 6


def test_a_subclass_is_not_plain() -> None:
    class Name(str):
        pass

    assert plain.text_of(Name("x")) is None
    assert plain.text_of([Name("x")]) is None
    assert plain.text_of({Name("x"): 1}) is None


def test_a_circle_is_pickled_and_comes_back_as_a_circle(tmp_path: Path) -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    back = decode(encode(circle, str(tmp_path)), str(tmp_path))
    assert back[1] is back


def test_any_depth_is_written_and_read() -> None:
    value: Any = "bottom"
    for level in range(100_000):
        value = [value, 1] if level % 2 else {"a": value, "b": []}
    text = plain.text_of(value)
    assert text is not None
    assert plain.text_of(plain.value_of(text)) == text


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,]", '{"a"', '{"a":}', "[1]]", "nul", '"a', "[1 2]", "{1: 2}"])
def test_text_that_is_no_json_is_refused_at_any_depth(text: str) -> None:
    with pytest.raises(ValueError):
        plain._deep_value(text)


# --- references --------------------------------------------------------------------------------------------------------


def test_short_data_travels_in_the_text_and_long_data_in_a_private_file(tmp_path: Path) -> None:
    folder = str(tmp_path / "products")
    assert encode("x" * 10, folder) == '"xxxxxxxxxx"'
    inline = parse(encode(b"abc", folder))
    assert inline is not None
    assert (inline.format, inline.size, inline.inline) == ("bytes", 3, b"abc")
    assert not os.path.exists(folder)
    for value, form in [("x" * 70_000, "json"), (b"x" * 70_000, "bytes"), ({1: "x" * 70_000}, "pickle")]:
        text = encode(value, folder)
        reference = parse(text)
        assert reference is not None
        assert (reference.format, reference.inline) == (form, None)
        path = encoding.path_of(folder, reference)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        assert decode(text, folder) == value
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_empty_bytes_are_a_value(tmp_path: Path) -> None:
    assert decode(encode(b"", str(tmp_path)), str(tmp_path)) == b""


def test_equal_data_is_one_file_and_stays_the_file_it_was(tmp_path: Path) -> None:
    one = encode(b"x" * 70_000, str(tmp_path))
    reference = parse(one)
    assert reference is not None
    before = os.stat(encoding.path_of(str(tmp_path), reference))
    assert encode(b"x" * 70_000, str(tmp_path)) == one
    after = os.stat(encoding.path_of(str(tmp_path), reference))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{reference.digest}.bytes"]


def test_a_digest_tells_formats_apart_but_not_where_text_lies(tmp_path: Path) -> None:
    text = plain.text_of("x" * 70_000)
    assert text is not None
    assert digest_of(text) == digest_of(encode("x" * 70_000, str(tmp_path)))
    assert digest_of("1") != digest_of(encode(b"1", str(tmp_path)))


def test_buffers_of_a_pickle_are_mapped_and_writing_changes_nobody_elses(tmp_path: Path) -> None:
    data = {"a": pickle.PickleBuffer(bytearray(3 << 20)), "b": [1]}
    text = encode(data, str(tmp_path))
    one, other = decode(text, str(tmp_path)), decode(text, str(tmp_path))
    memoryview(one["a"])[0] = 7
    assert bytes(memoryview(other["a"])[:2]) == b"\0\0"
    assert bytes(memoryview(decode(text, str(tmp_path))["a"])[:2]) == b"\0\0"


def test_many_chunks_are_written_and_hashed_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK", 1000)
    data = os.urandom(70_123)
    text = encode(data, str(tmp_path))
    reference = parse(text)
    assert reference is not None
    assert files.digest_of_file(encoding.path_of(str(tmp_path), reference), "bytes") == reference.digest
    assert files.digest_of_data(data, "bytes") == reference.digest
    assert decode(text, str(tmp_path)) == data


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "CHUNK", 1000)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        encode(b"x" * 70_000, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_pickled_is_told_with_its_type(tmp_path: Path) -> None:
    with pytest.raises(UnencodableError, match="generator"):
        encode((number for number in (1, 2)), str(tmp_path))


def test_equal_sets_have_one_digest_whatever_the_seed_of_their_hashes(tmp_path: Path) -> None:
    program = (
        "from weft.values import encoding\n"
        "words = [str(number) for number in range(50)]\n"
        "value = [set(words), {'k': (frozenset(words), {frozenset(words), frozenset('ab')})}]\n"
        f"print(encoding.encode(value, {str(tmp_path)!r}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    words = [str(number) for number in range(50)]
    value = [set(words), {"k": (frozenset(words), {frozenset(words), frozenset("ab")})}]
    assert decode(found.pop(), str(tmp_path)) == value


def test_sets_that_are_shared_stay_shared_and_circles_stay_circles(tmp_path: Path) -> None:
    shared = {1, 2}
    back = decode(encode([shared, shared], str(tmp_path)), str(tmp_path))
    assert back == [shared, shared] and back[0] is back[1]
    circle: list[Any] = [shared]
    circle.append(circle)
    back = decode(encode(circle, str(tmp_path)), str(tmp_path))
    assert back[0] == shared and back[1] is back


def test_a_value_of_the_main_program_is_read_in_another_process(tmp_path: Path) -> None:
    program = (
        "from weft.values import encoding\nclass Point:\n    def __init__(self, x): self.x = x\n"
        f"print(encoding.encode(Point(3), {str(tmp_path)!r}))"
    )
    pytest.importorskip("cloudpickle")
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert decode(text, str(tmp_path)).x == 3


# --- damage ------------------------------------------------------------------------------------------------------------


def written(folder: Path, value: Any) -> tuple[str, Path]:
    """The text of a value, and its file."""
    text = encode(value, str(folder))
    reference = parse(text)
    assert reference is not None
    files._whole.clear()  # as if another process had written it
    return text, Path(encoding.path_of(str(folder), reference))


@pytest.mark.parametrize(
    "value",
    ["x" * 70_000, b"x" * 70_000, {1: "x" * 70_000}, b"x" * (3 << 20)],
    ids=["json", "bytes", "pickle", "mapped"],
)
def test_a_flipped_bit_is_noticed_when_the_value_is_read_and_when_it_is_verified(tmp_path: Path, value: Any) -> None:
    text, path = written(tmp_path, value)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="has changed") as damaged:
        decode(text, str(tmp_path))
    assert damaged.value.path == str(path)
    reference = parse(text)
    assert reference is not None
    assert "has changed" in (encoding.verify(str(tmp_path), reference) or "")


def flip_unseen(path: Path) -> None:
    """Change the content, and set the time of modification back; a moment after the file was made at the earliest."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    while path.stat().st_ctime_ns - before.st_mtime_ns <= files.LATE_NS:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_value_that_was_flipped_and_whose_time_was_set_back_is_damaged(tmp_path: Path) -> None:
    text, path = written(tmp_path, b"x" * 70_000)
    flip_unseen(path)
    with pytest.raises(DamagedError, match="has changed"):
        decode(text, str(tmp_path))


def test_what_nobody_has_touched_is_read_unhashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, path = written(tmp_path, b"x" * 70_000)
    with monkeypatch.context() as patched:
        patched.setattr(files, "digest_of_data", lambda *_: pytest.fail("its content was hashed"))
        assert decode(text, str(tmp_path)) == b"x" * 70_000
    os.chmod(path, 0o600)  # it is whole, but somebody has touched it
    while files.is_untouched(path.stat()):
        os.chmod(path, 0o600)
    assert decode(text, str(tmp_path)) == b"x" * 70_000


@pytest.mark.parametrize("value", ["x" * 70_000, {1: "x" * 70_000}], ids=["json", "pickle"])
def test_damage_that_stats_do_not_tell_is_found_out_when_the_value_cannot_be_made(tmp_path: Path, value: Any) -> None:
    text, path = written(tmp_path, value)
    before = path.stat()
    path.write_bytes(b"\xff" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedError, match="has changed") as damaged:
        decode(text, str(tmp_path))
    assert damaged.value.path == str(path)


def test_a_file_that_was_cut_short_is_damaged_and_one_that_is_gone_is_missing(tmp_path: Path) -> None:
    text, path = written(tmp_path, b"x" * 70_000)
    os.truncate(path, 10)
    with pytest.raises(DamagedError, match="10 bytes, not 70000"):
        decode(text, str(tmp_path))
    path.unlink()
    with pytest.raises(MissingError, match="is not there"):
        decode(text, str(tmp_path))


def test_a_damaged_file_is_replaced_when_its_value_is_made_again(tmp_path: Path) -> None:
    text, path = written(tmp_path, b"x" * 70_000)
    path.write_bytes(b"y" * 70_000)
    assert encode(b"x" * 70_000, str(tmp_path)) == text
    assert decode(text, str(tmp_path)) == b"x" * 70_000


def test_a_forged_pickle_is_not_read(tmp_path: Path) -> None:
    encode({1: 2}, str(tmp_path))  # makes the key
    data = pickle.dumps({1: "x" * 70_000})
    digest = files.digest_of_data(data, "pickle", str(tmp_path / "elsewhere"))
    path = tmp_path / digest[:2] / f"{digest}.pickle"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        decode(f"@pickle {digest} {len(data)}", str(tmp_path))


@pytest.mark.parametrize(
    "text", ["@", "@json", "@json x 1", f"@json {'0' * 64} x", f"@what {'0' * 64} 1", f"@bytes {'0' * 64} 1 !!"]
)
def test_a_text_that_is_no_reference_is_damaged(text: str) -> None:
    with pytest.raises(DamagedError):
        parse(text)


def test_inline_data_that_changed_is_damaged(tmp_path: Path) -> None:
    text = encode(b"abc", str(tmp_path))
    with pytest.raises(DamagedError):
        decode(text[:-4] + "YWJk", str(tmp_path))


# --- rooms -------------------------------------------------------------------------------------------------------------


def test_a_room_holds_files_of_its_own_that_are_found_from_the_folder(tmp_path: Path) -> None:
    kept, passing = encode(b"x" * 70_000, str(tmp_path)), encode(b"x" * 70_000, str(tmp_path / "~run1"))
    assert passing == f"{kept} ~run1"
    assert digest_of(kept) == digest_of(passing)
    assert decode(passing, str(tmp_path)) == decode(kept, str(tmp_path / "~run1")) == b"x" * 70_000
    reference = parse(passing)
    assert reference is not None
    os.unlink(encoding.path_of(str(tmp_path), reference))
    assert decode(kept, str(tmp_path)) == b"x" * 70_000
    with pytest.raises(MissingError):
        decode(passing, str(tmp_path))


# --- arrays and tables -------------------------------------------------------------------------------------------------


def test_arrays_come_back_as_they_were_and_may_be_written_to(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [
        numpy.arange(5), numpy.array(3.5), numpy.zeros((0, 3)), numpy.arange(12).reshape(3, 4).T, numpy.arange(12)[::2],
        numpy.asfortranarray(numpy.arange(600_000.0).reshape(600, 1000)), numpy.array(["2020"], "M8[D]"),
        numpy.zeros(3, [("a", "f8"), ("b", "i4")]), numpy.arange(4, dtype=">i4"), numpy.array([{}], object),
    ]  # fmt: skip
    for array in arrays:
        back = decode(encode(array, str(tmp_path)), str(tmp_path))
        assert type(back) is numpy.ndarray
        assert (back.dtype, back.shape, back.flags.writeable) == (array.dtype, array.shape, True)
        assert (back == array).all()


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": [1, 2, 3], "b": ["x", None, "y"]})
    text = encode(table, str(tmp_path))
    assert text.startswith("@arrow ")
    assert decode(text, str(tmp_path)) == table
    assert decode(encode(table.slice(1), str(tmp_path)), str(tmp_path)) == table.slice(1)
