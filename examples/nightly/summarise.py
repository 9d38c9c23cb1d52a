"""A note: adds a line about a job to the summary that GitHub shows of a workflow, or to `reports/summary.md` elsewhere."""

from __future__ import annotations

import json
import os
import sys

MARKS = {"ok": "✅", "failed": "❌", "skipped": "⏭️", "cancelled": "⏹️"}


def line(record: dict[str, object]) -> str:
    """The record as an item of a list."""
    words = str(record["output"]).strip().splitlines()
    said = f": {words[-1]}" if words else ""
    cause = f" ({record['cause']})" if record["cause"] else ""
    return f"- {MARKS.get(str(record['state']), '')} **{record['task']}**{cause}{said}\n"


if __name__ == "__main__":
    path = os.environ.get("GITHUB_STEP_SUMMARY") or "reports/summary.md"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(line(json.load(sys.stdin)))
