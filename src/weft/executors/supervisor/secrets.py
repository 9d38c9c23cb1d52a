"""Covers secrets in what is told of an attempt: values of variables that are named like one never reach a receipt.

Values that only an attempt knows, because a command gave them, leave digests in the log folder, by which readers of its
output know them again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

# As in weft.spec.secrets and weft.spec.withholding, which cannot be imported here; a test holds them together.
SECRET_NAME = r"token|secret|passwo?r?d|passphrase|credential|(?:^|_)(?:api|access)?_?keys?(?:_|$)|apikey"
LEAST_CHARACTERS = 6  # shorter values are words that stand everywhere
DIGEST_BYTES = 16
KEPT_NAME = "secrets"  # file in the log folder
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"  # of URLs
OWN = "WEFT_TOKEN"  # names a run, protects nothing


def cover(text: str, variables: Iterable[tuple[str, str]]) -> str:
    """`text` with stars for the values of secret variables. variables: name and value."""
    for name, value in variables:
        if len(value) >= LEAST_CHARACTERS and value in text and name != OWN and re.search(SECRET_NAME, name, re.I):
            text = text.replace(value, "*" * len(value))
    return text


def keep(log_folder: str, variables: Iterable[tuple[str, str]]) -> None:
    """Append what readers need to cover the values of secret variables. variables: name and value. Raises OSError."""
    import json

    lines = [
        json.dumps(
            [name, digest(name, value), max(1, len(value.split())), [digest(name, form) for form in forms(value)]]
        )
        for name, value in variables
        if len(value) >= LEAST_CHARACTERS and re.search(SECRET_NAME, name, re.I)
    ]
    if not lines:
        return
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(f"{log_folder}/{KEPT_NAME}", flags, 0o600), "r+b", buffering=0) as file:
        file.seek(0)
        known = set(file.read().decode("ascii", "replace").splitlines())
        new = [line for line in lines if line not in known]  # most attempts get the same values
        if new:
            file.write(("\n".join(new) + "\n").encode("ascii"))


def digest(name: str, text: str) -> str:
    """Tells a value again without telling it."""
    from hashlib import blake2b

    return blake2b(f"{name}={text}".encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES).hexdigest()


def forms(value: str) -> list[str]:
    """How else a value may be written: in base64 (without its padding), in a URL, in JSON."""
    import base64
    import json

    raw = value.encode("utf-8", "surrogateescape")
    in_urls = [_percent(raw), _percent(raw, "/"), _percent(raw, "!*'()"), _percent(raw).replace("%20", "+")]
    in_json = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    encoded = (base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b64encode(raw + b"\n"))
    in_base64 = [text.decode("ascii").rstrip("=") for text in encoded]
    return [form for form in dict.fromkeys([*in_urls, *in_json, *in_base64]) if form != value]


def _percent(raw: bytes, safe: str = "") -> str:
    return "".join(chr(byte) if chr(byte) in UNRESERVED or chr(byte) in safe else f"%{byte:02X}" for byte in raw)
