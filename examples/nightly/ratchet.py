"""Fails when there are more messages of some kind than are allowed; the file of what is allowed only ever shrinks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path


def worse(found: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """Kinds of which there are more than before."""
    return [
        f"{kind}: {count}, and {allowed.get(kind, 0)} are allowed"
        for kind, count in sorted(found.items())
        if count > allowed.get(kind, 0)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--allowed", type=Path, required=True)
    given = parser.parse_args()
    found = {kind: each["count"] for kind, each in json.loads(given.found.read_text(encoding="utf-8")).items()}
    if given.allowed.exists():
        allowed = json.loads(given.allowed.read_text(encoding="utf-8"))
        if problems := worse(found, allowed):
            sys.exit("\n".join(problems))
        found = {kind: min(count, allowed[kind]) for kind, count in found.items()}
    part = given.allowed.with_suffix(".part")
    part.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, given.allowed)
    print(f"{sum(found.values())} messages, and no more are allowed from now on")
