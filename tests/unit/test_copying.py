"""Names of files for copies of output."""

from __future__ import annotations

from weft.assemble.copying import NAME_BYTES, file_name


def test_names_of_files_are_escaped_without_collisions():
    names = [
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "a b",
        "..",
        ".",
        ".hidden",
        "%2Ehidden",
        "ü",
        "a\\b",
        "-x",
        "é" * 200,
        "é" * 201,
    ]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    for file in files:
        assert "/" not in file
        assert not file.startswith(".")
        assert len(file) <= NAME_BYTES + 17
