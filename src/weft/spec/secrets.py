"""Which names say that their value is a secret, and how a secret may be written."""

from __future__ import annotations

import re
from typing import Final

_UNRESERVED: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"  # of URLs
_SECRET_NAME: Final = r"token|secret|passwo?r?d|passphrase|credential|(?:^|_)(?:api|access)?_?keys?(?:_|$)|apikey"


def is_secret_name(name: str) -> bool:
    """Whether a variable, parameter or option is named like a token, secret, password or key (reliability.md 7)."""
    return re.search(_SECRET_NAME, name, re.I) is not None


def written_forms(value: str) -> tuple[str, ...]:
    """A value as it may stand in output: itself first; in base64 (without its padding), in a URL, in JSON (reliability.md 7)."""
    import base64  # late, as the others: few plans have secrets
    import json

    raw = value.encode("utf-8", "surrogateescape")
    # Of URLs: all that may not stand for itself anywhere; with what Python leaves, with what JavaScript leaves; of a form.
    in_urls = (_percent(raw), _percent(raw, "/"), _percent(raw, "!*'()"), _percent(raw).replace("%20", "+"))
    in_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    encoded = (base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b64encode(raw + b"\n"))
    in_base64 = (text.decode("ascii").rstrip("=") for text in encoded)
    return tuple(dict.fromkeys((value, *in_urls, *in_json, *in_base64)))


def _percent(raw: bytes, safe: str = "") -> str:
    return "".join(chr(byte) if chr(byte) in _UNRESERVED or chr(byte) in safe else f"%{byte:02X}" for byte in raw)
