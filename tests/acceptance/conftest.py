"""Fixtures of the acceptance tier: the installed command in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.weft_process import Doorway, Weft


@pytest.fixture
def weft(tmp_path: Path) -> Iterator[Weft]:
    """The command, in the test's folder."""
    made = Weft(tmp_path, [])
    yield made
    made.end()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Doorway]:
    """Where tasks meet the test."""
    made = Doorway(tmp_path)
    yield made
    made.close()
