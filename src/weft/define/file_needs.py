"""What a task requires of the world, in a definition: `requires` and `foreach` in the normal form (dialects.md 1.10, 2.3)."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from weft.define.mistakes import Mistakes, show
from weft.define.signatures import Signature
from weft.errors import cut, hint_nearest
from weft.spec.requirements import (
    NO_REQUIREMENTS,
    FileNeed,
    FolderNeed,
    Foreach,
    MatchNeed,
    Requirements,
)

GLOB: Final = "glob:"
_KINDS: Final = ("files", "folders", "match", "shared_memory", "parameters", "signal")
_FOREACH: Final = ("files", "values", "as")

Need = TypeVar("Need", FileNeed, FolderNeed, MatchNeed)


class FileNeeds(NamedTuple):
    """What a definition requires. taken: the parameters that receive files or items, which are no options."""

    requires: Requirements = NO_REQUIREMENTS
    foreach: Foreach | None = None
    taken: frozenset[str] = frozenset()


NO_NEEDS: Final = FileNeeds()


def read_file_needs(
    requires: object, foreach: object, signature: Signature, others: Collection[str], mistakes: Mistakes
) -> FileNeeds:
    """The needs, as far as they are sound. others: parameters that are declared as options, or bound to dependencies."""
    read = _requirements(requires, mistakes) if requires is not None else NO_REQUIREMENTS
    are_sound = bool(_places(read)) or not _names_places(requires)
    mapped = _foreach(foreach, read, are_sound, mistakes) if foreach is not None else None
    read = _bound_by_name(read, mapped, signature, others)
    names: list[str | None] = [need.bind for need in read.files]
    names += [need.bind for need in _places(read)]
    names.append(mapped.bind if mapped is not None else None)
    taken = dict.fromkeys(name for name in names if name is not None)
    for name in taken:
        _check_parameter(name, signature, others, mistakes)
    return FileNeeds(read, mapped, frozenset(taken))


def _names_places(requires: object) -> bool:
    """Whether it names some, be they wrong: that has been told."""
    return isinstance(requires, Mapping) and any(_listed(requires.get(kind)) for kind in ("folders", "match"))


def _places(read: Requirements) -> tuple[FolderNeed | MatchNeed, ...]:
    return (*read.folders, *read.match)


def _check_parameter(name: str, signature: Signature, others: Collection[str], mistakes: Mistakes) -> None:
    if name in others:
        message = f"gives {cut(name)!r} twice: it is to receive files, and is an option or a dependency's"
        mistakes.add("shape.conflict", message, "call one of them differently", location=name)
    elif name not in signature.parameters and not signature.takes_any:
        known = list(signature.parameters)
        hint = hint_nearest(name, known) or (f"it takes {', '.join(known)}" if known else "it takes none")
        mistakes.add("option.unknown", f"its function takes no argument {cut(name)!r}", hint, location=name)


def _bound_by_name(
    read: Requirements, mapped: Foreach | None, signature: Signature, others: Collection[str]
) -> Requirements:
    """Without a name: a function with an argument `filename` (one instance per file) or `filenames` gets what is found."""
    sources = [need for need in _places(read) if need.source]
    name = "filename" if mapped is not None and mapped.files else "filenames"
    is_free = name in signature.parameters and name not in others
    if not sources or not is_free or any(need.bind is not None for need in sources):
        return read
    if mapped is not None and mapped.bind is not None:
        return read

    def bound(need: Any) -> Any:
        return need._replace(bind=name) if need.source else need

    return read._replace(folders=tuple(map(bound, read.folders)), match=tuple(map(bound, read.match)))


# --- requires ----------------------------------------------------------------------------------------------------------


def _requirements(given: object, mistakes: Mistakes) -> Requirements:
    if not isinstance(given, Mapping):
        mistakes.add("shape.type", f"requires must be a dict, not {show(given)}", "as in {'files': ['a.csv']}")
        return NO_REQUIREMENTS
    for key in given:
        if key not in _KINDS:
            hint = hint_nearest(str(key), _KINDS) or f"there are {', '.join(_KINDS)}"
            mistakes.add("shape.unknown_key", f"requires has no {show(key)}", hint)
    return Requirements(
        tuple(_needs("files", given.get("files"), _file, mistakes)),
        tuple(_needs("folders", given.get("folders"), _folder, mistakes)),
        tuple(_needs("match", given.get("match"), _match, mistakes)),
        *(tuple(_texts(kind, given.get(kind), mistakes)) for kind in ("shared_memory", "parameters", "signal")),
    )


def _listed(given: object) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _needs(
    kind: str, given: object, read: Callable[[dict[Any, Any], str, Mistakes], Need | None], mistakes: Mistakes
) -> Iterator[Need]:
    items = _listed(given)
    if given is not None and not items:
        mistakes.add("shape.value", f"requires {kind}, and names none")
    for item in items:
        fields = dict(item) if isinstance(item, Mapping) else {"pattern" if kind == "match" else "path": item}
        need = read(fields, kind, mistakes)
        for left in fields:
            mistakes.add("shape.unknown_key", f"{kind}: there is no {show(left)} in a requirement")
        if need is not None:
            yield need


def _file(fields: dict[Any, Any], kind: str, mistakes: Mistakes) -> FileNeed | None:
    path = _path(fields.pop("path", None), kind, mistakes)
    bind = _bind(fields, kind, mistakes)
    return None if path is None else FileNeed(path, bind)


def _folder(fields: dict[Any, Any], kind: str, mistakes: Mistakes) -> FolderNeed | None:
    path = _path(fields.pop("path", None), kind, mistakes)
    minimum = _minimum(fields, kind, mistakes)
    recursive = _flag(fields, "recursive", False, kind, mistakes)
    bind = _bind(fields, kind, mistakes)
    source = _flag(fields, "source", True, kind, mistakes)
    return None if path is None else FolderNeed(path, minimum, recursive, bind, source)


def _match(fields: dict[Any, Any], kind: str, mistakes: Mistakes) -> MatchNeed | None:
    pattern, glob = fields.pop("pattern", None), fields.pop("glob", None)
    minimum = _minimum(fields, kind, mistakes)
    bind = _bind(fields, kind, mistakes)
    source = _flag(fields, "source", True, kind, mistakes)
    if (pattern is None) == (glob is None):
        mistakes.add("shape.conflict", f"{kind} needs exactly one of 'pattern' and 'glob'")
        return None
    text = pattern if glob is None else glob
    if not isinstance(text, str) or not text or "\0" in text:
        mistakes.add("shape.type", f"{kind} must be an expression, not {show(text)}")
        return None
    if glob is not None or text.startswith(GLOB):
        return MatchNeed(text.removeprefix(GLOB) if glob is None else text, "glob", minimum, bind, source)
    problem = _expression_problem(text)
    if problem is not None:
        is_glob = any(sign in text for sign in "*?[") and text.count("[") == text.count("]")
        hint = f"as a glob it would be '{GLOB}{cut(text)}'" if is_glob else None
        mistakes.add("pattern.invalid", f"{cut(text)!r} is no regular expression: {problem}", hint)
        return None
    return MatchNeed(text, "regex", minimum, bind, source)


def _expression_problem(text: str) -> str | None:
    with warnings.catch_warnings():  # for Python's own future, no news for whoever writes a task
        warnings.simplefilter("ignore")
        try:
            re.compile(text)
        except (re.error, OverflowError) as error:
            return str(error)
        except RecursionError:
            return "it nests too deep"
    return None


def _path(given: object, kind: str, mistakes: Mistakes) -> str | None:
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str):
        mistakes.add("shape.type", f"{kind} must be paths, not {show(given)}")
    elif not path or "\0" in path:
        mistakes.add("shape.value", f"{kind}: {show(path)} is no path")
    elif "://" in path:
        mistakes.add("shape.value", f"{kind}: {cut(path)!r} is an address, and no path", "fetch it in a task")
    else:
        return path
    return None


def _bind(fields: dict[Any, Any], kind: str, mistakes: Mistakes) -> str | None:
    name = fields.pop("as", None)
    if name is None:
        return None
    if isinstance(name, str) and name.isidentifier():
        return name
    mistakes.add("shape.value", f"{kind}: as is {show(name)}, which names no parameter")
    return None


def _minimum(fields: dict[Any, Any], kind: str, mistakes: Mistakes) -> int:
    value = fields.pop("minimum", 1)
    if type(value) is int and value >= 1:
        return value
    mistakes.add("shape.value", f"{kind}: minimum must be a whole number from 1 on, not {show(value)}")
    return 1


def _flag(fields: dict[Any, Any], key: str, default: bool, kind: str, mistakes: Mistakes) -> bool:
    value = fields.pop(key, default)
    if isinstance(value, bool):
        return value
    mistakes.add("shape.type", f"{kind}: {key} must be True or False, not {show(value)}")
    return default


def _texts(kind: str, given: object, mistakes: Mistakes) -> Iterator[str]:
    text: object
    for item in _listed(given):
        text = os.fspath(item) if isinstance(item, os.PathLike) else item
        if isinstance(text, str) and text and "\0" not in text:
            yield text
        else:
            mistakes.add("shape.type", f"{kind} must be texts, not {show(item)}")


# --- foreach -----------------------------------------------------------------------------------------------------------


def _foreach(given: object, read: Requirements, are_sound: bool, mistakes: Mistakes) -> Foreach | None:
    if not isinstance(given, Mapping):
        example = "as in {'files': True} or {'values': [1, 2], 'as': 'k'}"
        mistakes.add("shape.type", f"foreach must be a dict, not {show(given)}", example)
        return None
    for key in given:
        if key not in _FOREACH:
            hint = "say deps=[weft.each(...)]" if key == "stream" else hint_nearest(str(key), _FOREACH)
            mistakes.add("shape.unknown_key", f"foreach has no {show(key)}", hint)
    bind = _bind({"as": given.get("as")}, "foreach", mistakes)
    files, values = given.get("files"), given.get("values")
    if (files is True) == (values is not None):
        mistakes.add("shape.conflict", "foreach needs exactly one of 'files': True and 'values'")
        return None
    if files is True:
        if are_sound and not any(need.source for need in _places(read)):
            hint = "name a folder or an expression in requires"
            mistakes.add("shape.conflict", "is mapped over files, and names nowhere to find them", hint)
        return Foreach(files=True, bind=bind)
    from weft.values.plain import is_plain

    if not isinstance(values, list | tuple) or not is_plain(list(values)):
        mistakes.add("shape.type", f"foreach: values must be a list of plain data, not {show(values)}")
        return None
    return Foreach(values=tuple(values), bind=bind)
