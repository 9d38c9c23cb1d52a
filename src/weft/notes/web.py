"""Posts JSON, once, to where it was told and nowhere else."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from weft import __version__
from weft.notes.errors import NoteError
from weft.spec.notes import is_web_address

SOCKET_SECONDS: Final = 20.0  # below the limit of a note, so that the system's own words are told
ANSWER_BYTES: Final = 10_000  # of an answer that are read


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would arrive there as a GET without its body, and with our secrets in its address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def post(url: str, body: Mapping[str, Any], what: str) -> None:
    """Send `body`. what: names the receiver in messages, which never hold the address: it may be a secret.

    Raises NoteError unless it is answered with 2xx.
    """
    if not is_web_address(url):
        raise NoteError(f"{what}: the address is no http or https address")
    where = f"{what} at {_host(url)}"
    headers = {"Content-Type": "application/json", "User-Agent": f"weft/{__version__}"}
    try:
        request = urllib.request.Request(url, json.dumps(body, default=str).encode("ascii"), headers)
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=SOCKET_SECONDS) as answer:
            answer.read(ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        raise NoteError(f"{where} answers {error.code} {error.reason}{_description(error)}") from error
    except urllib.error.URLError as error:
        reason = error.reason
        text = reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)
        raise NoteError(f"{where} cannot be reached: {text}") from error
    except (http.client.InvalidURL, ValueError) as error:  # their words repeat the address
        raise NoteError(f"{where}: the address cannot be used") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoteError(f"{where}: {type(error).__name__}: {error}") from error


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return "an address that cannot be read"


def _description(error: urllib.error.HTTPError) -> str:
    """What Telegram and many others say in words besides the status."""
    with error:
        try:
            told = json.loads(error.read(ANSWER_BYTES))
        except (OSError, ValueError, http.client.HTTPException):
            return ""
    text = told.get("description") if isinstance(told, dict) else None
    return f": {text}" if isinstance(text, str) else ""
