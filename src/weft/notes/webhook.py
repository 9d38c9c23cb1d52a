"""The note that posts the record as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.notes.web import post


class WebhookNote:
    """Posts to `url`."""

    def __init__(self, url: str):
        self._url = url

    def send(self, record: Mapping[str, Any]) -> None:
        """Raises NoteError unless it is answered with 2xx."""
        post(self._url, record, "webhook")
