"""What the guide of typed tasks tells is true: its blocks are one program."""

from __future__ import annotations

import re
from pathlib import Path

import weft
from weft.spec.types import BUILTIN

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "typed.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.M | re.S)


def test_its_blocks_run_one_after_the_other() -> None:
    names: dict[str, object] = {"__name__": "guide_of_typed_tasks"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"typed.md, block {number}", "exec"), names)
    registry = names["registry"]
    assert isinstance(registry, weft.Registry)
    assert list(registry) == ["fetch", "fit", "rows", "square", "total"]


def test_it_names_every_builtin_type() -> None:
    assert {name for name in BUILTIN if f"`{name}`" not in GUIDE} == set()
