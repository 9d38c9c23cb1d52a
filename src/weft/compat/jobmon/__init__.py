"""The import paths of Jobmon over weft's workflow API (workflows.md 8): `from weft.compat.jobmon.client.api import Tool`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

NAME: Final = "jobmon"

MODULES: Final = (
    "client",
    "client.api",
    "client.array",
    "client.logging",
    "client.status_commands",
    "client.task",
    "client.task_template",
    "client.tool",
    "client.units",
    "client.workflow",
    "core",
    "core.constants",
    "core.exceptions",
    "core.task_generator",
)


def install() -> bool:
    """Makes `import jobmon` find these modules; False, and nothing is changed, when the real one is loaded."""
    loaded = sys.modules.get(NAME)
    if loaded is not None and loaded is not sys.modules[__name__]:
        return False
    sys.modules[NAME] = sys.modules[__name__]
    for name in MODULES:
        sys.modules[f"{NAME}.{name}"] = import_module(f"{__name__}.{name}")
    return True


def is_installed() -> bool:
    """Whether `jobmon` means these modules in this process."""
    return sys.modules.get(NAME) is sys.modules[__name__]
