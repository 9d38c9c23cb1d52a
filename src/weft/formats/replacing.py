"""Tasks of a plan exchanged for values from files: `weft run --replace fetch=fixtures/fetch.json`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from weft.errors import UsageError
from weft.formats.mistakes import NO_DATA, Mistakes
from weft.formats.parse import parse
from weft.formats.read import FORMAT_BY_SUFFIX, read_text
from weft.spec.plan import Plan


def replace_by_files(plan: Plan, replacements: Sequence[tuple[str, str]], cwd: str, mistakes: Mistakes) -> Plan:
    """The plan with each named task exchanged for the value in a file (JSON, TOML or YAML by its suffix, else JSON)."""
    for name, path in replacements:
        text = read_text(os.path.join(cwd, path), path, mistakes)
        if text is None:
            continue
        suffix = os.path.splitext(path)[1].lower()
        value = parse(text.text, FORMAT_BY_SUFFIX.get(suffix, "json"), path, mistakes)
        if value is NO_DATA:
            continue
        try:
            plan = plan.replace(name, value)
        except UsageError as error:
            mistakes.error(error.code, f"--replace {name}={path}: {error}", path, hint=error.hint)
    return plan
