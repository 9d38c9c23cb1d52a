"""What a task specification executes: a program, a function, a script or a serialised function (dialects.md 2.4, 2.5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from weft.errors import cut, hint_nearest
from weft.formats.function_sources import Signature, Sources
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.odop_keys import Fields
from weft.formats.shape import Place
from weft.spec.mapping import DEFAULT_MAPPING, REST

KINDS: Final = ("executable", "function", "script", "serialized")


class OdopAction(NamedTuple):
    """fields: of the normal form. signature: of a function whose source is at hand."""

    fields: dict[str, Any]
    module: str | None = None
    function: str | None = None
    signature: Signature | None = None


NO_ACTION: Final = OdopAction({})


def slot_free(text: str) -> str:
    """A word of a command that means just this text."""
    return text.replace("{", "{{").replace("}", "}}") if "{" in text or "}" in text else text


class ActionReader:
    """Reads the actions of one document's tasks."""

    def __init__(self, file: str, root: str, sources: Sources, mistakes: Mistakes):
        self._file = file
        self._root = root
        self._sources = sources
        self._mistakes = mistakes

    def read(self, values: Mapping[str, Any], found: Fields, place: Place) -> OdopAction:
        """The one action of a task."""
        # What is broken was meant all the same, and its fault has been told.
        given = [kind for kind in KINDS if kind in found.given and found.given[kind].value is not None]
        if len(given) > 1:
            message = f" has {len(given)} actions: {', '.join(given)}"
            self._tell("action.many", message, place, hint="keep one of them")
            return NO_ACTION
        module = found.given.get("module")
        if not given:
            if module is not None and module.value is not None:
                hint = "say which function of it by 'function', or run the file as a 'script'"
                self._tell("action.none", " names a module and no function of it", place, *module.path, hint=hint)
            else:
                self._tell("action.none", " has no action", place, hint=f"give it one of {', '.join(KINDS)}")
            return NO_ACTION
        kind = given[0]
        if kind not in values:
            return NO_ACTION
        fields: dict[str, Any] = {}
        if "parameters" in values:
            fields["parameters"] = values["parameters"]
        if kind == "function":
            return self._function(values, found, place, fields)
        if module is not None and module.value is not None:
            self._warn_unused("module", f"says nothing beside {kind!r}", found, place)
        if kind == "serialized":
            self._check_unmapped(found, place)
            return OdopAction({**fields, "serialized": values["serialized"]})
        mapping = values.get("parameter_mapping")
        if isinstance(mapping, dict):
            self._check_mapped_names(mapping, values, found, place)
        if kind == "script":
            fields["script"] = values["script"]
            if mapping is not None:
                fields["parameter_mapping"] = mapping
            return OdopAction(fields)
        fields["command"] = [slot_free(self._program(values, found, place))]
        fields["parameter_mapping"] = DEFAULT_MAPPING if mapping is None else mapping
        return OdopAction(fields)

    def _check_mapped_names(
        self, mapping: Mapping[str, str], values: Mapping[str, Any], found: Fields, place: Place
    ) -> None:
        known = dict.fromkeys((*values.get("parameters", {}), *values.get("filepath_parameter", ())))
        for name in mapping:
            if name != REST and name not in known:
                message = f"{place.subject}: parameter_mapping is told of {cut(name)!r}, which is no parameter"
                location = pointer(*place.base, *found.given["parameter_mapping"].path, name)
                hint = hint_nearest(name, known)
                self._mistakes.warn("shape.unknown_key", message, place.file, location, hint, at_key=True)

    # --- programs

    def _program(self, values: Mapping[str, Any], found: Fields, place: Place) -> str:
        """The path as it is started from the task's working folder; never a name that would be looked up in `PATH`."""
        path: str = values["executable"]
        if os.path.isabs(path):
            return path
        given = found.given["executable"]
        message = f"{place.subject}: executable {cut(path)!r} is relative; it is taken from the root"
        location = pointer(*place.base, *given.path)
        self._mistakes.warn("shape.value", message, place.file, location, "an absolute path is safer")
        folder = values.get("working_directory")
        if folder is None or os.path.normpath(folder) == ".":
            return path if "/" in path else f"./{path}"
        inside = os.path.join(self._root, os.path.normpath(folder))
        is_linked = os.path.realpath(inside) != os.path.join(os.path.realpath(self._root), os.path.normpath(folder))
        if os.path.isabs(folder) or is_linked:
            return os.path.join(self._root, path)  # `..` means something else behind a link
        relative = os.path.relpath(os.path.join(self._root, path), inside)
        return relative if "/" in relative else f"./{relative}"

    # --- functions

    def _function(self, values: Mapping[str, Any], found: Fields, place: Place, fields: dict[str, Any]) -> OdopAction:
        name, module = values["function"], values.get("module")
        if module is None and ":" in name:
            module, _, name = name.rpartition(":")
        where = found.given["function"]
        if module is None:
            if "module" not in found.given:
                message, hint = " has a function and no module", "say where it is by 'module': a name or a .py file"
                self._tell("shape.missing", message, place, *where.path, hint=hint)
            return NO_ACTION
        if not name.replace(".", "_").isidentifier():
            message = f": function must be the name of a function, not {cut(name)!r}"
            self._tell("shape.value", message, place, *where.path)
            return NO_ACTION
        if not module.endswith(".py") and not all(part.isidentifier() for part in module.split(".")):
            module_path = found.given["module"].path if "module" in found.given else where.path
            message = f": module must be a dotted name or a .py file, not {cut(module)!r}"
            self._tell("shape.value", message, place, *module_path)
            return NO_ACTION
        self._check_unmapped(found, place)
        reference = f"{module}:{name}"
        fields["function"] = reference
        digest = self._sources.digest(reference)
        if digest is not None:
            fields["digest"] = digest
        if self._sources.lacks(module, name):
            message = f"{place.subject}: {cut(module)!r} has no function {cut(name)!r}"
            location = pointer(*place.base, *where.path)
            self._mistakes.warn("not_found", message, place.file, location, "the task will fail as it is now")
        return OdopAction(fields, module, name, self._sources.signature(module, name))

    def _check_unmapped(self, found: Fields, place: Place) -> None:
        given = found.given.get("parameter_mapping")
        if given is not None and given.value is not None:
            self._warn_unused("parameter_mapping", "says nothing of a function, which takes keywords", found, place)

    def check_arguments(self, action: OdopAction, native: Mapping[str, Any], found: Fields, place: Place) -> None:
        """Whether the function takes what it is given, and is given what it must have."""
        signature = action.signature
        if signature is None or action.function is None:
            return
        requires = native.get("requires", {})
        bound = [need["as"] for kind in ("folders", "match") for need in requires.get(kind, ()) if "as" in need]
        given = dict.fromkeys((*action.fields.get("parameters", {}), *bound))
        called = f"{cut(action.function)!r} of {cut(str(action.module))!r}"
        known = signature.names
        for name in given if not signature.takes_any else ():
            if name in known:
                continue
            field = "parameters" if name in action.fields.get("parameters", {}) else "filepath_parameter"
            path = (*found.given[field].path, name) if field == "parameters" else found.given[field].path
            hint = hint_nearest(name, known) or (f"it takes {', '.join(known)}" if known else "it takes none")
            self._tell("option.unknown", f": {called} takes no argument {cut(name)!r}", place, *path, hint=hint)
        for name in signature.required:
            if name not in given:
                self._tell("option.missing", f": {called} needs the argument {cut(name)!r}", place, *_place_of(found))
        for name in signature.positional:
            message = f": {called} takes {cut(name)!r} by position only, and arguments are given by name"
            self._tell("option.missing", message, place, *_place_of(found))

    # --- mistakes

    def _warn_unused(self, field: str, why: str, found: Fields, place: Place) -> None:
        location = pointer(*place.base, *found.given[field].path)
        message = f"{place.subject}: {field} {why}"
        self._mistakes.warn("shape.unknown_key", message, place.file, location, at_key=True)

    def _tell(self, code: str, message: str, place: Place, *rest: str | int, hint: str | None = None) -> None:
        location = pointer(*place.base, *rest)
        self._mistakes.error(code, f"{place.subject}{message}", self._file, location, hint)


def _place_of(found: Fields) -> tuple[str | int, ...]:
    """Where a missing argument would be given: the parameters, else the function's name."""
    given = found.given.get("parameters") or found.given["function"]
    return given.path
