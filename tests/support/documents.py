"""One document in a folder, as `load` reads it: the plan it gives, or what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import PlanError, Problem
from weft.formats.load import Loaded, load


def loaded(folder: Path, document: Any, name: str = "plan.json", **settings: Any) -> Loaded:
    """document: data, or its text as it is to be."""
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / name).write_text(text, encoding="utf-8")
    return load([name], cwd=str(folder), **settings)


def problems_of(folder: Path, document: Any, **settings: Any) -> tuple[Problem, ...]:
    """All that is wrong with it; something is."""
    with pytest.raises(PlanError) as caught:
        loaded(folder, document, **settings)
    return caught.value.problems()


def codes(problems: tuple[Problem, ...]) -> list[tuple[str, str | None]]:
    """(code, location) of each."""
    return [(problem.code, problem.location) for problem in problems]
