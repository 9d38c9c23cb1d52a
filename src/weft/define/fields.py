"""The fields of task specifications (dialects.md 2.2) that have other names, or none, among the words of a definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from weft.define.mistakes import Mistakes
from weft.errors import cut

_SAME: Final[Mapping[str, str]] = {
    **dict.fromkeys(("time_limit", "time"), "timeout"),
    **dict.fromkeys(("dependencies", "depends_on"), "deps"),
    "interrupt_allowed": "interruptible",
}
_AMOUNTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cpu", "cpus", "cores", "threads"), "cores"),
    **{name: name for name in ("memory", "gpu", "disk", "network_bandwidth")},
}
_OUTPUTS: Final = ("output_file", "output_folder")
_NEEDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("required_filepath", "files"), "files"),
    **dict.fromkeys(("required_folder", "files_in_directory"), "folders"),
    **dict.fromkeys(("shared_memory_files", "files_in_shared_memory"), "shared_memory"),
    "required_file_expression": "match",
    "ready_signal": "signal",
    "parameter_available": "parameters",
}
_SOURCES: Final = ("required_folder", "required_file_expression")
_SINGLE: Final = "single_file_task"
_RECEIVER: Final = "filepath_parameter"

FIELDS: Final = frozenset((*_SAME, *_AMOUNTS, *_OUTPUTS, *_NEEDS, _SINGLE, _RECEIVER))

Amount = Callable[[str, Any], Any]
"""An amount of a resource by its name, in its unit."""


def as_words(fields: Mapping[str, Any], amount: Amount, mistakes: Mistakes) -> dict[str, Any]:
    """The words of a definition that `fields` mean; what is said twice is a mistake. None says nothing."""
    words = {name: value for name, value in fields.items() if name not in FIELDS}
    given = {name: value for name, value in fields.items() if name in FIELDS and value is not None}
    _add(words, _same_of(given, mistakes), mistakes)
    amounts: dict[str, Any] = {}
    for field, name in _AMOUNTS.items():
        if field in given and amounts.setdefault(name, given[field]) != given[field]:
            mistakes.add("shape.conflict", f"says {name} twice, differently", "keep one of them")
    if amounts:
        own = words.get("resources")
        amounts = {name: amount(name, value) for name, value in amounts.items()}
        if own is None or isinstance(own, Mapping):  # else it is told where it is read
            for name in amounts.keys() & (own or {}).keys():
                mistakes.add("shape.conflict", f"says {cut(name)} beside its resources", "keep one of them")
            words["resources"] = {**amounts, **(own or {})}
    outputs = [path for field in _OUTPUTS for path in _listed(given.get(field))]
    _add(words, {"outputs": outputs} if outputs else {}, mistakes)
    requires = _requires(given, mistakes)
    _add(words, {"requires": requires} if requires else {}, mistakes)
    if given.get(_SINGLE):
        _add(words, {"foreach": {"files": True}}, mistakes)
    return words


def _same_of(given: Mapping[str, Any], mistakes: Mistakes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, word in _SAME.items():
        if field in given and found.setdefault(word, given[field]) != given[field]:
            mistakes.add("shape.conflict", f"says {word} twice, differently", "keep one of them")
    return found


def _add(words: dict[str, Any], found: Mapping[str, Any], mistakes: Mistakes) -> None:
    for word, value in found.items():
        if words.get(word) is not None:
            mistakes.add("shape.conflict", f"says {word} in two ways: as {word}, and by fields of specifications")
        else:
            words[word] = value


def _requires(given: Mapping[str, Any], mistakes: Mistakes) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for field, kind in _NEEDS.items():
        for item in _listed(given.get(field)):
            found.setdefault(kind, []).append(_need(field, item))
    sources = [item for field in _SOURCES for item in found.get(_NEEDS[field], ()) if item.get("source", True)]
    names = _listed(given.get(_RECEIVER))
    if not names:
        return found
    if not sources or len(names) not in (1, len(sources)):
        message = f"{_RECEIVER} has {len(names)} names for {len(sources)} folders and expressions"
        mistakes.add("shape.conflict", message, "give one name for all, or one for each, folders first")
        return found
    for source, name in zip(sources, names * len(sources) if len(names) == 1 else names, strict=True):
        source["as"] = name
    return found


def _need(field: str, item: Any) -> Any:
    """A requirement in the normal form."""
    if field not in (*_SOURCES, "files_in_directory"):
        return item
    key = "pattern" if field == "required_file_expression" else "path"
    need = dict(item) if isinstance(item, Mapping) else {key: item}
    return {**need, "source": False} if field == "files_in_directory" else need


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
