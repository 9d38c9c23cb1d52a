"""Unpacks every archive and compares it with its original: a backup that was never restored is a hope."""

from __future__ import annotations

import argparse
import lzma
import sys
from pathlib import Path


def differing(packed: Path, originals: Path) -> list[str]:
    """Originals that have no archive, or another one."""
    found = []
    for original in sorted(path for path in originals.rglob("*") if path.is_file()):
        archive = packed / f"{original}.xz"
        if not archive.exists() or lzma.decompress(archive.read_bytes()) != original.read_bytes():
            found.append(str(original))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="packed", type=Path, required=True)
    parser.add_argument("--compare", type=Path, required=True)
    given = parser.parse_args()
    missing = differing(given.packed, given.compare)
    if missing:
        sys.exit(f"{len(missing)} files cannot be restored: {', '.join(missing[:5])}")
    print("every file can be restored")
