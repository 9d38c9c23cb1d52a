"""What docs/guide/resources.md shows is what happens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from weft.assemble.capacity import from_class
from weft.settings import read

GUIDE = (Path(__file__).parents[2] / "docs/guide/resources.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_its_settings_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text(block("toml"), encoding="utf-8")
    found = read(str(tmp_path), {"HOME": str(tmp_path)})
    assert not found.warnings
    assert found["resources"] == {"license": 3_000_000}
    assert found["reserve"] == {"memory": 2 << 30}
    assert set(found["trackers"]) == set(tomllib.loads(block("toml"))["trackers"])


def test_its_tracker_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    (tmp_path / "trackers.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    tracker = from_class("scratch", "trackers.py:Scratch", str(tmp_path)).make()
    assert 0 < tracker.available()["scratch"] <= tracker.capacity()["scratch"]
