"""The day's reports as a page: Markdown and HTML."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import markdown


def written(title: str, flakes: dict[str, dict[str, int | str]], leftovers: list[str]) -> str:
    """The page as Markdown."""
    lines = [f"# {title}", "", f"{len(leftovers)} lines are marked as unfinished.", ""]
    lines += ["| messages | kind | first |", "|---:|---|---|"]
    lines += [f"| {each['count']} | {kind} | `{each['first']}` |" for kind, each in flakes.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--title", required=True)
    given = parser.parse_args()
    flakes = json.loads((given.reports / "flakes.json").read_text(encoding="utf-8"))
    leftovers = (given.reports / "leftovers.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    text = written(given.title, flakes, leftovers)
    (given.reports / "page.md").write_text(text, encoding="utf-8")
    html = markdown.markdown(text, extensions=["tables"])
    (given.reports / "page.html").write_text(f"<!doctype html>\n<meta charset=utf-8>\n{html}\n", encoding="utf-8")
    print(given.reports / "page.html")
