"""Receipts files: what was written is read, what is damaged is named, and one bad record blocks nothing."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.executors import receipts
from weft.executors.receipts import find_facts, read_past
from weft.executors.supervisor.receipts import HEADER, MAGIC, ReceiptReader, ReceiptWriter, frame, read_frames

RUN = "cd" * 16


def facts(count: int) -> list[list[Any]]:
    return [["ended", number, "exit:1", "ü" * number] for number in range(count)]


def data_of(items: list[list[Any]]) -> bytes:
    return b"".join(frame(number + 1, json.dumps(item).encode()) for number, item in enumerate(items))


def written(path: Path, items: list[list[Any]]) -> Path:
    writer = ReceiptWriter(str(path), {"run": RUN})
    for item in items:
        writer.add(item)
    assert writer.flush()
    writer.close()
    return path


def test_what_was_written_is_read_in_order_with_its_numbers(tmp_path: Path) -> None:
    reader = ReceiptReader(str(written(tmp_path / "a.log", facts(5))), RUN)
    found, remarks = reader.read()
    assert [fact for _, fact in found[1:]] == facts(5)
    assert [number for number, _ in found] == [1, 2, 3, 4, 5, 6]
    assert remarks == []
    assert reader.header == {"run": RUN}
    assert reader.read() == ([], [])
    assert reader.sequence == 6
    reader.close()


def test_a_reader_goes_on_where_an_offset_says(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", facts(3))
    first = ReceiptReader(str(path), RUN)
    first.read()
    first.close()
    with open(path, "ab") as file:
        file.write(frame(5, b'["started",9]'))
    second = ReceiptReader(str(path), RUN, first.offset)
    assert second.read() == ([(5, ["started", 9])], [])
    second.close()


def test_a_torn_tail_waits_for_its_rest(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", facts(2))
    whole = path.read_bytes()
    for cut in range(len(whole) - len(frame(3, json.dumps(facts(2)[1], separators=(",", ":")).encode())), len(whole)):
        path.write_bytes(whole[:cut])
        reader = ReceiptReader(str(path), RUN)
        found, remarks = reader.read()
        assert [fact for _, fact in found[1:]] == facts(1)
        assert remarks == []
        path.write_bytes(whole)
        assert [fact for _, fact in reader.read()[0]] == facts(2)[1:]
        reader.close()


@given(st.integers(1, 8), st.data())
def test_one_changed_byte_costs_at_most_one_fact_and_invents_none(count: int, data: st.DataObject) -> None:
    items = facts(count)
    good = data_of(items)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    found = read_frames(bytes(bad))
    assert len(found.facts) >= count - 1 or found.version is not None
    assert all(fact in items for _, fact in found.facts)


@given(st.binary(max_size=300))
def test_junk_is_never_a_fact(junk: bytes) -> None:
    found = read_frames(junk + data_of(facts(1)))
    assert [fact for _, fact in found.facts] == facts(1) or found.version is not None


def test_a_damaged_frame_is_named_with_its_place_and_the_next_one_counts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", facts(4))
    bad = bytearray(path.read_bytes())
    spot = bad.index(b'"ended",1')
    bad[spot] ^= 1
    path.write_bytes(bytes(bad))
    reader = ReceiptReader(str(path), RUN)
    found, remarks = reader.read()
    assert [fact[1] for _, fact in found[1:]] == [0, 2, 3]
    (remark,) = remarks
    assert "damaged bytes at offset" in remark
    reader.close()


@pytest.mark.parametrize(
    "payloads",
    [
        [b'["started"', b'"x"]'],  # JSON only when they are put together
        [b'["started",1],["started",2]', b'["started",3]'],
        [b'["started",1]', b"{}", b'["started",2]'],
        [b'["started",1]', b""],
    ],
)
def test_a_sound_frame_that_holds_no_fact_is_damage_wherever_it_stands(tmp_path: Path, payloads: list[bytes]) -> None:
    path = written(tmp_path / "a.log", [])
    data = b"".join(frame(number, payload) for number, payload in enumerate(payloads, 2))
    path.write_bytes(path.read_bytes() + data + frame(9, b'["ended",7]'))
    reader = ReceiptReader(str(path), RUN)
    found, remarks = reader.read()
    sound = [payload for payload in payloads if payload.startswith(b'["started",') and payload.count(b"[") == 1]
    assert [fact for _, fact in found[1:]] == [*map(json.loads, sound), ["ended", 7]]
    assert all("damaged bytes at offset" in remark for remark in remarks)
    assert remarks
    reader.close()


def test_a_gap_in_the_numbers_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", [])
    with open(path, "ab") as file:
        file.write(frame(2, b'["started",1]') + frame(5, b'["started",2]'))
    reader = ReceiptReader(str(path), RUN)
    found, remarks = reader.read()
    assert len(found) == 3
    assert remarks == ["2 receipts before number 5 are missing"]
    reader.close()


def test_a_future_version_is_named_and_nothing_behind_it_is_believed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", facts(1))
    with open(path, "ab") as file:
        file.write(HEADER.pack(MAGIC, 2, 0, 2, 3) + b"{}" + struct.pack("<I", 0) + frame(4, b'["started",1]'))
    reader = ReceiptReader(str(path), RUN)
    found, remarks = reader.read()
    assert len(found) == 2
    assert "version 2" in remarks[0]
    assert reader.read() == ([], [])
    reader.close()


def _link(path: Path) -> None:
    path.symlink_to(written(path.with_name("real"), []))


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _foreign(path: Path) -> None:
    ReceiptWriter(str(path), {"run": "ef" * 16}).close()


def _future(path: Path) -> None:
    path.write_bytes(HEADER.pack(MAGIC, 7, 0, 0, 1) + b"\0\0\0\0")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_link, "symbolic link"),
        (_pipe, "no regular file"),
        (_folder, "no regular file"),
        (_foreign, "belongs to run"),
        (_future, "version 7"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_receipts_file_of_this_run_is_refused(tmp_path: Path, make: Any, why: str) -> None:
    path = tmp_path / "a.log"
    make(path)
    reader = ReceiptReader(str(path), RUN)
    assert why in (reader.refusal or "")
    assert reader.read() == ([], [])
    reader.close()


def test_a_file_shorter_than_what_was_counted_is_refused(tmp_path: Path) -> None:
    reader = ReceiptReader(str(written(tmp_path / "a.log", [])), RUN, 10_000)
    assert "10000" in (reader.refusal or "")
    reader.close()


def test_a_full_disk_keeps_receipts_until_there_is_room(tmp_path: Path) -> None:
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = ReceiptWriter(str(tmp_path / "a.log"), {"run": RUN})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "a.log").stat().st_size + 10, before[1]))
        writer.add(["ended", 1])
        assert not writer.flush()
        assert not writer.flush()
        assert writer.pending
        writer.add(["ended", 2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert writer.flush()
    writer.close()
    reader = ReceiptReader(str(tmp_path / "a.log"), RUN)
    found, remarks = reader.read()
    assert [fact for _, fact in found[1:]] == [["ended", 1], ["ended", 2]]
    assert remarks == []
    reader.close()


def test_a_second_writer_of_the_same_file_is_refused(tmp_path: Path) -> None:
    ReceiptWriter(str(tmp_path / "a.log"), {"run": RUN}).close()
    with pytest.raises(FileExistsError):
        ReceiptWriter(str(tmp_path / "a.log"), {"run": RUN})


# --- what was counted already ---------------------------------------------------------------------------------------------


def many(count: int, base: int = 0) -> list[list[Any]]:
    """Facts about attempts 0, 1, ...: each begins, and the one before it ends, with text that looks like facts."""
    found: list[list[Any]] = []
    for number in range(base, base + count):
        found.append(["starting", number])
        found.append(["started", number, 100 + number, 7, 1.5, "slots/1.out", "slots/1.err"])
        if number > base:
            found.append(["ended", number - 1, None, 0, '["started",3,]' * (number % 5), True, None, ["", 0, 0]])
    return found


@pytest.mark.parametrize("base", [0, 2**63])
@pytest.mark.parametrize("window", [500, 501, 757, 1000, 8 << 20])
def test_facts_of_some_attempts_are_found_wherever_a_window_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, base: int
) -> None:
    monkeypatch.setattr(receipts, "WINDOW", window)
    path = written(tmp_path / "a.log", many(60, base))
    size = path.stat().st_size
    for numbers in ({3}, {0, 7, 59}, {58, 1000}, {1000}, {0, 1, 10, 11}, set[int]()):
        wanted = {base + number for number in numbers}
        expected = [fact for fact in many(60, base) if fact[1] in wanted]
        assert list(find_facts(str(path), size, wanted)) == expected


@given(
    st.integers(300, 900),
    st.integers(1, 40),
    st.sets(st.integers(0, 40), min_size=1),
    st.sampled_from([0, 99_980, 10**15]),
)
def test_a_search_finds_what_reading_finds(window: int, count: int, numbers: set[int], base: int) -> None:
    data = data_of(many(count, base))
    wanted = {base + number for number in numbers}
    expected = [fact for _, fact in read_frames(data).facts if fact[1] in wanted]
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "WINDOW", window)
        file.write(data)
        file.flush()
        assert list(find_facts(file.name, len(data), wanted)) == expected


def test_a_long_counted_part_is_searched_and_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "supervisor-1.log", many(30))
    counted = path.read_bytes().index(b'["starting",20]') - HEADER.size
    told = []
    for limit in (1 << 30, 1):
        monkeypatch.setattr(receipts, "SEARCHED_FROM", limit)
        past = read_past(str(tmp_path), RUN, {5, 18, 19, 29}, {path.name: counted})
        told.append((past.started, past.ended, past.starting, past.by_file, past.remarks, list(past.readers)))
        past.close()
    assert told[0] == told[1]
    assert sorted(told[0][0]) == [5, 18, 19, 29]
