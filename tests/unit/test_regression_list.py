"""The list of regressions names tests that exist, and one for each symptom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<symptom>[^|]+) \| (?P<source>[^|]+) \| `(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)` \|$")


def rows() -> list[re.Match[str]]:
    lines = (ROOT / "docs" / "reference" / "regressions.md").read_text(encoding="utf-8").splitlines()
    return [row for line in lines if (row := ROW.match(line))]


def test_each_line_of_the_tables_is_a_symptom_its_source_and_a_test() -> None:
    lines = (ROOT / "docs" / "reference" / "regressions.md").read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("|") and "---" not in line and "| symptom |" not in line]
    assert len(tables) == len(rows()) >= 12


def test_every_test_of_the_list_exists() -> None:
    missing = []
    for row in rows():
        path = ROOT / row["file"]
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        if row["test"] not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{row['file']}::{row['test']}")
    assert missing == []
