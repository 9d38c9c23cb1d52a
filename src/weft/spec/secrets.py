"""Which names say that their value is a secret."""

from __future__ import annotations

import re
from typing import Final

_SECRET_NAME: Final = r"token|secret|passwo?r?d|passphrase|credential|(?:^|_)(?:api|access)?_?keys?(?:_|$)|apikey"


def is_secret_name(name: str) -> bool:
    """Whether a variable, parameter or option is named like a token, secret, password or key (reliability.md 7)."""
    return re.search(_SECRET_NAME, name, re.I) is not None
