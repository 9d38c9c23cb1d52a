"""What a task specification requires, and which parameter receives the files that are found (dialects.md 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.errors import cut
from weft.formats.function_sources import Signature
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.odop_keys import Fields
from weft.formats.shape import Place


def read_requirements(
    values: Mapping[str, Any], found: Fields, signature: Signature | None, place: Place, mistakes: Mistakes
) -> dict[str, Any]:
    """`requires` and `foreach` of the normal form, as far as they are asked for."""
    folders: list[dict[str, Any]] = [{"path": path} for path in values.get("required_folder", ())]
    matches: list[dict[str, Any]] = [dict(item) for item in values.get("required_file_expression", ())]
    sources = [*folders, *matches]
    is_single = bool(values.get("single_file_task"))
    names = values.get("filepath_parameter", [])

    def tell(field: str, message: str, hint: str | None = None) -> None:
        location = pointer(*place.base, *found.given[field].path)
        mistakes.error("shape.conflict", f"{place.subject}{message}", place.file, location, hint)

    # What was wrong with a source has been told; the number of those that are left says nothing.
    are_all_sound = all(
        field in values or field not in found.given for field in ("required_folder", "required_file_expression")
    )
    hint = "name files by required_folder or required_file_expression"
    if is_single and not sources and are_all_sound:
        tell("single_file_task", " is a single-file task, and names no folder and no expression to find files in", hint)
    if names and not sources and are_all_sound:
        tell(
            "filepath_parameter", " has a filepath_parameter, and names no folder and no expression to find files", hint
        )
    elif len(names) > 1 and len(names) != len(sources) and are_all_sound:
        message = f" has {len(names)} names in filepath_parameter for {len(sources)} folders and expressions"
        tell("filepath_parameter", message, "give one name for all, or one for each, folders first")
    elif names:
        given = values.get("parameters", {})
        for name in dict.fromkeys(names):
            if name in given:
                tell("filepath_parameter", f" gives {cut(name)!r} twice: by filepath_parameter and in its parameters")
        _bind(sources, [name for name in names if name not in given] if len(names) == 1 else names, given)
    elif sources and signature is not None:
        argument = "filename" if is_single else "filenames"
        if argument in signature.names and argument not in values.get("parameters", {}):
            _bind(sources, [argument], {})
    return _normal_form(values, folders, matches, is_single and bool(sources))


def _bind(sources: list[dict[str, Any]], names: list[str], given: Mapping[str, Any]) -> None:
    paired = names * len(sources) if len(names) == 1 else names
    for source, name in zip(sources, paired, strict=False):
        if name not in given:
            source["as"] = name


def _normal_form(
    values: Mapping[str, Any], folders: list[dict[str, Any]], matches: list[dict[str, Any]], is_mapped: bool
) -> dict[str, Any]:
    files = dict.fromkeys((*values.get("required_filepath", ()), *values.get("files", ())))
    counted = [{**item, "source": False} for item in values.get("files_in_directory", ())]
    requires = {
        "files": [{"path": path} for path in files],
        "folders": [*folders, *counted],
        "match": matches,
        "shared_memory": values.get("shared_memory_files"),
        "parameters": values.get("parameter_available"),
        "signal": values.get("ready_signal"),
    }
    given = {key: value for key, value in requires.items() if value}
    form: dict[str, Any] = {"requires": given} if given else {}
    if is_mapped:
        form["foreach"] = {"files": True}
    return form
