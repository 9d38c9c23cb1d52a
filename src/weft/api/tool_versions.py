"""Versions of a tool that recorded workflows have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.define.tools import Tool


def kept_versions(tool: Tool) -> list[int]:
    """Sorted, from where its workflows were bound and where one would be bound now. Raises StoreError."""
    from weft import assemble
    from weft.api.workflow_settings import default_state
    from weft.store.database import path_of

    found: set[int] = set()
    for folder in dict.fromkeys([*tool.state_folders, default_state()]):
        if not os.path.exists(path_of(folder)):
            continue
        with assemble.archive(folder) as archive:
            for row in archive.runs():
                about = row.settings.get("workflow", {})
                if about.get("tool") == tool.name:
                    found.add(about.get("version", 0))
    return sorted(found)
