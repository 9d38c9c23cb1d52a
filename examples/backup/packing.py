"""Packs single files, and lists what was packed in the form that `sha256sum --check` reads."""

from __future__ import annotations

import hashlib
import lzma
import os
from pathlib import Path
from typing import Any


def pack(path: str, into: str, preset: int = 6) -> dict[str, Any]:
    """One file as an archive of its own; a reader of the folder never sees half of one."""
    data = Path(path).read_bytes()
    archive = Path(into, f"{path}.xz")
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f".{archive.name}.part")
    part.write_bytes(lzma.compress(data, preset=preset))
    os.replace(part, archive)
    return {"archive": str(archive), "bytes": len(data), "packed": archive.stat().st_size}


def write_manifest(archives: list[str], manifest: str) -> int:
    """Number of archives; the manifest has a line for each."""
    lines = [f"{hashlib.sha256(Path(archive).read_bytes()).hexdigest()}  {archive}\n" for archive in archives]
    Path(manifest).write_text("".join(lines), encoding="utf-8")
    return len(lines)
