"""What of a requirements list lies on this machine: a local package with other content is another installation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote, urlsplit

CHUNK_BYTES: Final = 1 << 20
BUILT: Final = frozenset({"__pycache__", "build", "dist"})  # what building a package leaves in its folder
INCLUDED: Final = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(.+)")
EDITABLE: Final = re.compile(r"(?:-e|--editable)[\s=]*")
ARCHIVES: Final = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


def digest_local(requirements: Sequence[str], root: str) -> str:
    """Digest (hex) over the content of all local files and folders that the lines name, "" when they name none.

    What does not exist counts as such; uv will say so. Raises OSError for what cannot be read.
    """
    paths = tuple(local_paths(requirements, root))
    if not paths:
        return ""
    total = blake2b(digest_size=16)
    for path in paths:
        for name in _files(path):
            _feed(total, os.fsencode(os.path.relpath(name, root)))
            _feed(total, _content(name))
    return total.hexdigest()


def local_paths(requirements: Sequence[str], root: str) -> Iterator[str]:
    """Absolute paths that the lines name, in order; of included lists themselves and what they name."""
    pending = [(line, root) for line in reversed(requirements)]
    included: set[str] = set()
    while pending:
        line, folder = pending.pop()
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        found = INCLUDED.fullmatch(text)
        if found is not None:
            path = os.path.join(folder, found[1].strip())
            yield path
            if path not in included:
                included.add(path)
                pending.extend((inner, os.path.dirname(path)) for inner in reversed(_lines(path)))
            continue
        named = _local_path(EDITABLE.sub("", text, count=1), root)
        if named is not None:
            yield named


def _local_path(text: str, root: str) -> str | None:
    """The path that a requirement names, None when it is a name for an index or an address elsewhere."""
    _, at, address = text.partition(" @ ")
    place = (address if at else text).partition(" ;")[0].strip()
    if place.startswith("file:"):
        return os.path.join(root, unquote(urlsplit(place).path))
    if "://" in place or not place or place.startswith("-"):
        return None
    place = re.sub(r"\[[^\]]*\]$", "", place)  # extras
    if place.startswith((".", "/")) or "/" in place or place.endswith(ARCHIVES):
        return os.path.join(root, place)
    return None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().replace("\\\n", "").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return []


def _files(path: str) -> Iterator[str]:
    """The file itself, or all files below a folder in sorted order, but for hidden ones and what building leaves."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and name not in BUILT and not name.endswith(".egg-info")
        )
        yield from (os.path.join(folder, name) for name in sorted(files) if name[0] != ".")


def _content(path: str) -> bytes:
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError:
        return b"absent"
    return digest.digest()


def _feed(digest: blake2b, data: bytes) -> None:
    digest.update(len(data).to_bytes(8, "little") + data)
