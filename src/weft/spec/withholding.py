"""What of an environment may be stored: no values of variables, but for digests (reliability.md 7); what its values are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from weft.spec.actions import Expand
from weft.spec.environments import Environment, VariableValue, Withheld
from weft.spec.secrets import is_secret_name, written_forms

DIGEST_BYTES: Final = 16
_NAME: Final = (
    r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})"  # as where it is replaced: dialects.md 5.2
)
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
    if not _is_value(name, value):
        return value
    digest = digest_of(name, value)
    if not isinstance(value, str) or not is_secret_name(name):
        return Withheld(digest)
    forms = (digest_of(name, form) for form in (*written_forms(value), value.strip()) if form != value)
    return Withheld(digest, max(1, len(value.split())), tuple(dict.fromkeys(forms)))


def _is_value(name: str, value: VariableValue) -> bool:
    """Whether it says, itself, what nobody else may read. A text with references to other variables does if its name says so."""
    if isinstance(value, Expand):
        return is_secret_name(name) and _REFERENCES.fullmatch(value.text) is None
    return isinstance(value, str)


def known_values(environment: Environment, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables as an attempt gets them, but for those that only it can know. inherited: what the run starts with."""
    values: dict[str, str] = {}
    unknown: set[str] = set()

    def look_up(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return "$" if name is None else values.get(name, inherited.get(name, match[0]))

    for name, value in environment.variables:
        if isinstance(value, str):
            values[name] = value
        elif isinstance(value, Expand) and not any(
            (match[1] or match[2]) in unknown for match in re.finditer(_NAME, value.text)
        ):
            values[name] = re.sub(_NAME, look_up, value.text)
        else:
            unknown.add(name)
    return values
