"""The note that hands records to Apprise, which knows some hundred services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.notes.errors import NoteError
from weft.notes.records import as_message, one_line


def is_available() -> bool:
    """Whether the extra `notify` is installed."""
    from importlib.util import find_spec

    return find_spec("apprise") is not None


class AppriseNote:
    """Sends to services by their Apprise addresses, which hold the credentials."""

    def __init__(self, urls: Sequence[str], title: str):
        self._urls = urls
        self._title = one_line(title)

    def send(self, record: Mapping[str, Any]) -> None:
        """Raises NoteError unless every service took it."""
        import apprise  # type: ignore[import-not-found,import-untyped,unused-ignore]

        services = apprise.Apprise()
        for position, url in enumerate(self._urls):
            if not services.add(url):
                raise NoteError(f"apprise cannot read address {position + 1} of {len(self._urls)}")
        if not services.notify(title=self._title, body=as_message(record)):
            raise NoteError("apprise could not send it to every service")
