"""Variables of an attempt: what a run starts from, `$NAME` substitution, what is wrong with a definition (dialects.md 5.2)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from weft.errors import cut
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue, VariableValue

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERENCE: Final = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
ATTEMPT_VARIABLES: Final = frozenset(
    {"WEFT_RUN_ID", "WEFT_TASK", "WEFT_ATTEMPT", "WEFT_TOKEN", "WEFT_FILE", "WEFT_SCRATCH"}
)
"""What weft sets for each attempt; design.md 8."""


def base_environment(present: Mapping[str, str]) -> dict[str, str]:
    """What every attempt of a run gets: the variables that weft was started with, but for those of an attempt around it."""
    return {name: value for name, value in present.items() if name not in ATTEMPT_VARIABLES}


def with_installation(environment: Mapping[str, str], bin_folder: str) -> dict[str, str]:
    """The variables of an attempt that works in an installation: its programs are found first."""
    path = environment.get("PATH") or os.defpath
    made = {**environment, "PATH": f"{bin_folder}{os.pathsep}{path}", "VIRTUAL_ENV": os.path.dirname(bin_folder)}
    made.pop("PYTHONHOME", None)  # it would override the installation's own standard library
    return made


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """`text` with `$NAME`, `${NAME}` and `$$` replaced, in one pass: what comes in is not looked at again.

    Undefined names stay as written.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return "$" if name is None else environment.get(name, found[0])

    return REFERENCE.sub(value, text) if "$" in text else text


def references(text: str) -> tuple[str, ...]:
    """Names that `substitute` would look up, each once, in order."""
    return tuple(dict.fromkeys(found[1] or found[2] for found in REFERENCE.finditer(text) if found[1] or found[2]))


def name_problem(name: str) -> str | None:
    """What is wrong with a variable's name, None when nothing is."""
    if NAME.fullmatch(name):
        return None
    return f"{cut(name)!r} is no name for a variable: letters, digits and _ only, no digit first"


def value_problem(name: str, value: VariableValue) -> str | None:
    """What is wrong with a variable's value, None when nothing is. The text never holds the value, which may be a secret."""
    text = value if isinstance(value, str) else value.text if isinstance(value, Expand) else value.command
    if "\0" in text:
        return f"the value of {name} holds a NUL character"
    if isinstance(value, ShellValue) and not text.strip():
        return f"the shell command of {name} is empty"
    return None


def warnings(variables: Iterable[tuple[str, VariableValue]], run: Mapping[str, str]) -> Iterator[str]:
    """References that stay as written though a later variable has that name. run: the environment of the run."""
    given = tuple(variables)
    defined_later = [name for name, _ in given]
    known = set(run)
    for position, (name, value) in enumerate(given):
        if isinstance(value, Expand):
            later = set(defined_later[position:])
            for wanted in references(value.text):
                if wanted not in known and wanted in later:
                    yield f"variable {name} uses ${wanted}, which is defined only after it: it stays as written"
        known.add(name)
