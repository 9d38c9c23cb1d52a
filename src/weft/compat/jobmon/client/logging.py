"""Progress of workflows by Python's logging."""

from __future__ import annotations

import logging
import sys
from typing import Final

from weft.api.workflow_observing import LOGGER

FORMAT: Final = "%(asctime)s [%(name)s] %(levelname)s: %(message)s"

_is_configured = False


def configure_client_logging() -> None:
    """From now on workflows tell of their progress, on standard output unless a handler of `weft.workflow` says otherwise."""
    global _is_configured  # asked by every run of this process, as the original's logging is
    _is_configured = True
    log = logging.getLogger(LOGGER)
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter(FORMAT))
        log.addHandler(handler)
    if not log.level:
        log.setLevel(logging.INFO)


def is_configured() -> bool:
    """Whether runs of this process are to tell of their progress."""
    return _is_configured
