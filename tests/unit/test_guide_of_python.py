"""What the guide of the Python front says is there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import weft
from weft import testing

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.M | re.S)


def test_the_story_that_it_tells_with_the_fakes_holds() -> None:
    story = BLOCKS[-1]
    assert "weft.testing" in story
    exec(compile(story, "python.md", "exec"), {})


INTERNAL = {"recorded", "sieve", "interrupts", "newborn"}
"""Settings by which commands hand things on that no user makes."""


def test_it_names_every_setting_of_a_run_but_internal_ones() -> None:
    settings = {field.name for field in fields(weft.RunSettings)}
    assert settings >= INTERNAL
    settings -= INTERNAL
    assert {name for name in settings if f"`{name}`" not in GUIDE} == set()


@pytest.mark.parametrize("name", testing.__all__)
def test_it_names_every_public_fake(name: str) -> None:
    assert f"`{name}`" in GUIDE
