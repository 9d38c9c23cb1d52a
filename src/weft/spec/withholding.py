"""What of an environment may be stored: no values of variables, but for digests (reliability.md 7)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from weft.spec.actions import Expand
from weft.spec.environments import Environment, VariableValue, Withheld
from weft.spec.secrets import is_secret_name

DIGEST_BYTES: Final = 16
_REFERENCES: Final = re.compile(r"(?:\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\}))+", re.ASCII)


def withhold(environment: Environment) -> Environment:
    """The environment as it may be stored: texts are left out; references to other variables and commands stay.

    The very environment when there is nothing to leave out.
    """
    if not any(_is_value(name, value) for name, value in environment.variables):
        return environment
    return environment._replace(
        variables=tuple((name, _withheld(name, value)) for name, value in environment.variables)
    )


def digest_of(name: str, value: VariableValue) -> str:
    """What is stored instead of the value of a variable. Two variables with one value have two digests."""
    text = value.text if isinstance(value, Expand) else value if isinstance(value, str) else ""
    return blake2b(f"{name}={text}".encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES).hexdigest()


def _withheld(name: str, value: VariableValue) -> VariableValue:
    return Withheld(digest_of(name, value)) if _is_value(name, value) else value


def _is_value(name: str, value: VariableValue) -> bool:
    """Whether it says, itself, what nobody else may read. A text with references to other variables does if its name says so."""
    if isinstance(value, Expand):
        return is_secret_name(name) and _REFERENCES.fullmatch(value.text) is None
    return isinstance(value, str)
