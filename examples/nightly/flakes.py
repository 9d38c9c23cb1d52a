"""What pyflakes says of some folders, counted by kind: `{kind: {count, first}}` as JSON."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

LINE = re.compile(r"(?P<place>.+?:\d+:\d+:?) (?P<text>.+)")
NAMES = re.compile(r"'[^']*'|\bline \d+")  # what differs between two messages of one kind


def said(folders: list[str]) -> list[str]:
    """The lines of pyflakes. Status 1 means that there are some."""
    done = subprocess.run(
        [sys.executable, "-m", "pyflakes", *folders], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode not in (0, 1) or (done.stderr and not done.stdout):
        sys.exit(f"pyflakes failed: {done.stderr.strip()[-500:]}")
    return done.stdout.splitlines()


def counted(lines: list[str]) -> dict[str, dict[str, int | str]]:
    """Kinds of messages, the most frequent first."""
    kinds: Counter[str] = Counter()
    first: dict[str, str] = {}
    for line in lines:
        found = LINE.fullmatch(line)
        if found is not None:
            kind = NAMES.sub("...", found["text"])
            kinds[kind] += 1
            first.setdefault(kind, line)
    return {kind: {"count": count, "first": first[kind]} for kind, count in kinds.most_common()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", required=True, help="folders, with colons between them")
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args()
    found = counted(said(given.sources.split(os.pathsep)))
    given.to.parent.mkdir(parents=True, exist_ok=True)
    given.to.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{sum(int(each['count']) for each in found.values())} messages of {len(found)} kinds")
