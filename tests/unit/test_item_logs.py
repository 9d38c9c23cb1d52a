"""Item logs: read while they grow, whole when they are finished, never more than was written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from weft.values import encoding
from weft.values.encoding import DamagedError, MissingError, decode, digest_of, encode
from weft.values.items import Item, ItemReader, ItemWriter, problem_of_items


@pytest.fixture
def log(tmp_path: Path) -> tuple[str, str]:
    """(path of a log, products folder)."""
    return str(tmp_path / "streams" / "1.items"), str(tmp_path / "products")


def test_a_reader_sees_what_was_flushed_and_more_after_it_looked_again(log: tuple[str, str]) -> None:
    writer = ItemWriter(*log)
    with ItemReader(*log) as reader:
        assert reader.count == 0
        writer.add(1)
        assert reader.refresh() == 0, "it was not flushed"
        writer.flush()
        assert (reader.refresh(), reader.read(0)) == (1, 1)
        writer.add({"a": [2]})
        writer.abandon()
        assert (reader.refresh(), list(reader)) == (2, [1, {"a": [2]}])
        with pytest.raises(IndexError):
            reader.read(2)


def test_a_finished_log_is_a_product_that_decodes_to_a_list(log: tuple[str, str]) -> None:
    values: list[Any] = [1, "two", (3,), b"f" * 100_000, None]
    writer = ItemWriter(*log)
    for value in values:
        writer.add(value)
    text = writer.close()
    assert text.startswith("@items ")
    assert decode(text, log[1]) == values
    with ItemReader(*log) as reader:
        assert list(reader) == values, "who reads the log by its path may go on"


def test_the_same_items_are_the_same_product(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        writer = ItemWriter(str(tmp_path / name), str(tmp_path / "products"))
        writer.add([1])
        writer.add("x" * 100_000)
        texts.append(writer.close())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        ("a b", "a b"),
        ("", "2"),
        ("a\n", "2"),
        ("x" * 41, "2"),
        ([1], "2"),
        (None, "2"),
    ],
)
def test_short_scalars_stand_for_themselves_and_others_for_their_place(
    log: tuple[str, str], value: Any, shown: str
) -> None:
    writer = ItemWriter(*log)
    writer.add(0)
    writer.add(0)
    text = encode(value, log[1])
    assert writer.add(value) == Item(digest_of(text), shown, len(text))
    writer.abandon()
    with ItemReader(*log) as reader:
        assert reader.item(2) == Item(digest_of(text), shown, len(text))


@pytest.mark.parametrize("lost", range(1, 12))
def test_a_torn_end_is_no_item(log: tuple[str, str], lost: int) -> None:
    writer = ItemWriter(*log)
    writer.add("one")
    writer.add("two")
    writer.abandon()
    os.truncate(log[0], os.path.getsize(log[0]) - lost)
    with ItemReader(*log) as reader:
        assert list(reader) == ["one"]


def test_a_flipped_byte_of_an_item_is_damage(log: tuple[str, str]) -> None:
    writer = ItemWriter(*log)
    writer.add("one")
    writer.add("two")
    writer.abandon()
    data = bytearray(Path(log[0]).read_bytes())
    data[-2] ^= 1
    Path(log[0]).write_bytes(data)
    with ItemReader(*log) as reader:
        assert reader.read(0) == "one"
        with pytest.raises(DamagedError, match="item 1"):
            reader.read(1)


def test_a_finished_log_that_was_changed_is_not_read(log: tuple[str, str]) -> None:
    writer = ItemWriter(*log)
    writer.add("one")
    text = writer.close()
    reference = encoding.parse(text)
    assert reference is not None
    path = encoding.path_of(log[1], reference)
    os.truncate(path, 3)
    with pytest.raises(DamagedError):
        decode(text, log[1])
    os.unlink(path)
    with pytest.raises(MissingError):
        decode(text, log[1])


def test_many_items_are_found_across_blocks(log: tuple[str, str]) -> None:
    writer = ItemWriter(*log)
    for number in range(20_000):
        writer.add("x" * (number % 200))
    writer.abandon()
    with ItemReader(*log) as reader:
        assert reader.count == 20_000
        assert reader.read(19_999) == "x" * 199
        assert reader.read(0) == ""


@pytest.mark.parametrize("before", [0, 60_000], ids=["read", "mapped"])
def test_items_that_are_files_are_found_and_damage_to_them_named(log: tuple[str, str], before: int) -> None:
    folder = log[1]
    writer = ItemWriter(*log)
    for number in range(before):
        writer.add(f"{number} @ home and away")
    writer.add(b"f" * 100_000)
    writer.add("@not a reference")
    reference = encoding.parse(writer.close())
    assert reference is not None
    with ItemReader(encoding.path_of(folder, reference), folder) as reader:
        assert list(reader.referring()) == [before]
        item = encoding.parse(reader.text(before))
    assert item is not None
    assert problem_of_items(folder, reference) is None
    Path(encoding.path_of(folder, item)).write_bytes(b"g" * 100_000)
    assert encoding.verify(folder, reference) is None, "the log itself is whole"
    assert (problem_of_items(folder, reference) or "").startswith(f"item {before}: the content of")
