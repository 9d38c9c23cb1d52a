"""Replace `$NAME`, `${NAME}` and `$$` from an environment: one pass, values that come in are not looked at again
(dialects.md 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping

REFERENCE = r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})"


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """`text` with its references replaced; undefined names stay as written."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return "$" if name is None else environment.get(name, found[0])

    return re.sub(REFERENCE, value, text) if "$" in text else text
