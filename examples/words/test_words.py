"""Tests of the pipeline without the machine's files: `pytest test_words.py`."""

from __future__ import annotations

from typing import Any

import pytest
from words import registry

from weft.testing import run_here

TEXTS = [{"name": "a", "text": "Warp and weft; weft's end."}, {"name": "b", "text": "Über WEFT, 2 looms."}]


def test_words_are_counted_over_all_documents() -> None:
    faked = registry.override("documents", value=TEXTS)
    results = run_here(faked, "report", {"totals.letters": 4, "report.top": 1})
    assert results["totals"] == {"weft": 2, "looms": 1, "warp": 1, "weft's": 1, "über": 1}
    assert results["report"].endswith(b"|---|---|\n| weft | 2 |\n")


def test_a_loader_of_its_own_is_a_generator_in_the_place_of_the_other() -> None:
    def documents() -> Any:
        yield from TEXTS

    assert run_here(registry.override("documents", function=documents), "sizes")["sizes"] == {
        "documents": 2,
        "characters": 45,
        "largest": "a",
    }


def test_a_document_without_a_text_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="document"):
        run_here(registry.override("documents", function=lambda: iter([{"name": "c"}])), "counted")
