"""Environments of a registry: the interpreter, requirements, folder and variables that tasks name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.define.mistakes import Mistakes, show
from weft.errors import cut
from weft.spec.actions import Expand
from weft.spec.environments import Environment, ShellValue, VariableValue

_FORMS: Final = "give a text, {'expand': text} or {'shell': command}"


def read_environment(words: Mapping[str, Any], mistakes: Mistakes) -> Environment:
    """The environment that the words describe; what is wrong with them goes to `mistakes`."""
    requirements = words["requirements"]
    listed = [requirements] if isinstance(requirements, str) else requirements
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        mistakes.add("shape.type", f"requirements must be a list of texts, not {show(requirements)}")
        listed = ()
    for name in ("python", "path"):
        if words[name] is not None and not isinstance(words[name], str):
            mistakes.add("shape.type", f"{name} must be a text, not {show(words[name])}")
    variables = words["variables"]
    if not isinstance(variables, Mapping):
        mistakes.add("shape.type", f"variables must be a dict, not {show(variables)}")
        variables = {}
    read = [(name, _variable(name, value, mistakes)) for name, value in variables.items()]
    return Environment(words["python"], tuple(listed), words["path"], tuple(read), bool(words["fingerprint"]))


def _variable(name: object, value: object, mistakes: Mistakes) -> VariableValue:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        mistakes.add("name.invalid", f"{show(name)} can name no variable")
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        ((form, text),) = value.items()
        if isinstance(text, str) and form in ("expand", "shell"):
            return Expand(text) if form == "expand" else ShellValue(text)
    # The value is not shown: it may be a secret.
    mistakes.add("shape.type", f"variable {cut(str(name))!r} has a value that is no text", _FORMS)
    return ""
