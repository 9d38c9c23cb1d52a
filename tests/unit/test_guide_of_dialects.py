"""The examples of the guide are plans without a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.formats.load import load

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "dialects.md"
EXAMPLES = re.findall(r"^```json\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_guide_has_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("position", range(len(EXAMPLES)))
def test_an_example_of_the_guide_is_sound(tmp_path: Path, position: int) -> None:
    (tmp_path / "plan.json").write_text(EXAMPLES[position], encoding="utf-8")
    found = load(["plan.json"], cwd=str(tmp_path))
    assert len(found.plan.graph) >= 2
    assert {warning.location for warning in found.warnings} <= {"/tasks/0/executable", "/jobs/count/command"}
