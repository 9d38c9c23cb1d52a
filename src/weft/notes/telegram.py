"""The note that writes to a Telegram chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from weft.notes.records import as_message
from weft.notes.web import post

LONGEST_UNITS: Final = 4096  # UTF-16 code units of a message: core.telegram.org/bots/api#sendmessage


class TelegramNote:
    """Sends as the bot of `token`. api: the service's address."""

    def __init__(self, token: str, chat_id: str | int, api: str = "https://api.telegram.org"):
        self._url = f"{api.rstrip('/')}/bot{quote(token, safe=':')}/sendMessage"
        self._chat_id = chat_id

    def send(self, record: Mapping[str, Any]) -> None:
        """One message, cut at the service's limit."""
        post(self._url, {"chat_id": self._chat_id, "text": cut_units(as_message(record), LONGEST_UNITS)}, "Telegram")


def cut_units(text: str, limit: int) -> str:
    """At most `limit` UTF-16 code units, as Telegram counts."""
    data = text.encode("utf-16-le", "replace")
    if len(data) <= 2 * limit:
        return text
    return data[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + "…"
