"""Covers secrets in what is told of an attempt: values of variables that are named like one never reach a receipt."""

from __future__ import annotations

import re
from collections.abc import Iterable

# As in weft.spec.secrets, which cannot be imported here.
SECRET_NAME = r"token|secret|passwo?r?d|passphrase|credential|(?:^|_)(?:api|access)?_?keys?(?:_|$)|apikey"
LEAST_CHARACTERS = 6  # shorter values are words that stand everywhere
OWN = "WEFT_TOKEN"  # names a run, protects nothing


def cover(text: str, variables: Iterable[tuple[str, str]]) -> str:
    """`text` with stars for the values of secret variables. variables: name and value."""
    for name, value in variables:
        if len(value) >= LEAST_CHARACTERS and value in text and name != OWN and re.search(SECRET_NAME, name, re.I):
            text = text.replace(value, "*" * len(value))
    return text
