"""A plan of many tasks whose files have not changed: nothing runs, and whatever does change is seen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from support.command_line import weft

COUNT = 520  # more than a sheet is made for
LONG_AGO = 1_000_000_000


def counts(folder: Path) -> dict[str, int]:
    answer = weft(folder, "run", "plan.json", "--output", "json")
    assert answer.code == 0, answer.err
    found: dict[str, int] = answer.events[-1]["counts"]
    return found


def test_many_tasks_that_are_up_to_date_stay_so_until_something_changes(tmp_path: Path) -> None:
    tasks: dict[str, Any] = {
        f"t{number}": {
            "command": ["sh", "-c", f"cp in/{number} out/{number} && touch -d @{LONG_AGO} out/{number}"],
            "requires": {"files": [f"in/{number}"]},
            "outputs": [f"out/{number}"],
        }
        for number in range(COUNT)
    }
    tasks["last"] = {
        "command": ["sh", "-c", f"cat out/0 out/1 > out/last; touch -d @{LONG_AGO} out/last"],
        "dependencies": ["t0", "t1"],
        "requires": {"files": ["out/0", "out/1"]},
        "outputs": ["out/last"],
    }
    (tmp_path / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks}))
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        path = tmp_path / "in" / str(number)
        path.write_text(f"{number}\n")
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert counts(tmp_path)["cached"] == 0
    sheets = tmp_path / ".weft" / "sheets"
    for _ in range(2):
        assert counts(tmp_path)["cached"] == COUNT + 1
    assert sheets.exists()
    assert counts(tmp_path)["cached"] == COUNT + 1, "from the sheet"
    explained = weft(tmp_path, "explain", "t7", "--output", "json").object
    assert [reason["code"] for reason in explained["reasons"]] == ["cached"]

    (tmp_path / "in" / "1").write_text("other\n")
    assert counts(tmp_path)["cached"] == COUNT - 1
    assert (tmp_path / "out" / "last").read_text() == "0\nother\n"
    assert counts(tmp_path)["cached"] == COUNT + 1
    (tmp_path / "out" / "300").unlink()
    assert counts(tmp_path)["cached"] == COUNT
    assert (tmp_path / "out" / "300").read_text() == "300\n"
    assert counts(tmp_path)["cached"] == COUNT + 1
    shown = weft(tmp_path, "show", "last", "t7", "--output", "json").object
    assert (shown["state"], shown["cause"], len(shown["fingerprint"])) == ("ok", "cached", 64)
