"""Which names say that their value is a secret."""

from __future__ import annotations

import re
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"token|secret|passwo?r?d|passphrase|credential|(?:^|_)(?:api|access)?_?keys?(?:_|$)|apikey", re.I
)


def is_secret_name(name: str) -> bool:
    """Whether a variable, parameter or option is named like a token, secret, password or key (reliability.md 7)."""
    return _SECRET_NAME.search(name) is not None
