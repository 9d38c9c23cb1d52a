"""Whether what a task requires is there, what was found, and which parameter receives it (dialects.md 2.3)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from weft.files.patience import Patience, SearchTimeoutError
from weft.files.patterns import SEARCH_SECONDS, compile_pattern, of_need
from weft.files.search import Found, Place, Wanted, folder_files, search
from weft.spec.requirements import FolderNeed, MatchNeed, Requirements

SHARED_MEMORY_FOLDER: Final = "/dev/shm"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world that requirements are checked against. lack_of: why a named value is not at hand, None when it is.

    seconds: the longest a check may take. before_long: called when it takes long. is_stopped: whether to give up.
    shows: whether a file (absolute path) counts as being there; None: all do.
    """

    place: Place
    lack_of: Callable[[str], str | None]
    shared_memory: str = SHARED_MEMORY_FOLDER
    seconds: float = SEARCH_SECONDS
    before_long: Callable[[], None] = lambda: None
    is_stopped: Callable[[], bool] = lambda: False
    shows: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The answer of a check. unmet: the first requirement that does not hold, as in a cause; detail: for people.

    folders, matches: paths per need, sorted, as tasks are given them; of needs with `source` all, else maybe not all.
    """

    unmet: str | None = None
    detail: str | None = None
    folders: tuple[tuple[str, ...], ...] = ()
    matches: tuple[tuple[str, ...], ...] = ()


NOTHING_REQUIRED: Final = Findings()
_STILL_WRITTEN: Final = "is still being written, as far as can be told"


def check(requires: Requirements, surroundings: Surroundings) -> Findings:
    """Look at everything that is required, the cheap things first; the first that does not hold ends it."""
    problem = (
        _check_files(requires, surroundings)
        or _check_signals(requires, surroundings)
        or _check_shared_memory(requires, surroundings)
        or _check_parameters(requires, surroundings)
    )
    if problem is not None:
        return problem
    if not requires.folders and not requires.match:
        return NOTHING_REQUIRED
    patience = Patience(surroundings.seconds, surroundings.before_long, surroundings.is_stopped)
    folders = []
    for need in requires.folders:
        found = _check_folder(need, surroundings, patience)
        if isinstance(found, Findings):
            return found
        folders.append(found)
    if not requires.match:
        return Findings(folders=tuple(folders))
    matches = _check_matches(requires.match, surroundings, patience)
    return matches if isinstance(matches, Findings) else Findings(None, None, tuple(folders), matches)


def _check_files(requires: Requirements, surroundings: Surroundings) -> Findings | None:
    for need in requires.files:
        absolute = surroundings.place.absolute(need.path)
        problem = file_problem(absolute)
        if problem is None and surroundings.shows is not None and not surroundings.shows(absolute):
            problem = _STILL_WRITTEN
        if problem is not None:
            return Findings(f"file:{need.path}", f"required file {need.path} {problem}")
    return None


def _check_signals(requires: Requirements, surroundings: Surroundings) -> Findings | None:
    for path in requires.signal:
        problem = _problem(surroundings.place.absolute(path))
        if problem is not None:
            return Findings(f"signal:{path}", f"signal {path} {problem}")
    return None


def _check_shared_memory(requires: Requirements, surroundings: Surroundings) -> Findings | None:
    for name in requires.shared_memory:
        inner = name.lstrip("/")
        is_inside = bool(inner) and ".." not in inner.split("/")
        absolute = f"{surroundings.shared_memory}/{inner}"
        problem = file_problem(absolute) if is_inside else "is no name in shared memory"
        if problem is None and surroundings.shows is not None and not surroundings.shows(absolute):
            problem = _STILL_WRITTEN
        if problem is not None:
            return Findings(f"shared_memory:{name}", f"shared memory file {name} {problem}")
    return None


def _check_parameters(requires: Requirements, surroundings: Surroundings) -> Findings | None:
    for name in requires.parameters:
        lack = surroundings.lack_of(name)
        if lack is not None:
            return Findings(f"parameter:{name}", f"parameter {name} {lack}")
    return None


def _check_folder(need: FolderNeed, surroundings: Surroundings, patience: Patience) -> tuple[str, ...] | Findings:
    unmet = f"folder:{need.path}"
    absolute = surroundings.place.absolute(need.path)
    problem = _problem(absolute, stat.S_ISDIR, "is no folder")
    if problem is not None:
        return Findings(unmet, f"required folder {need.path} {problem}")
    try:
        enough = None if need.source or surroundings.shows is not None else need.minimum
        names = folder_files(absolute, need.recursive, patience, enough)
    except OSError as error:
        return Findings(unmet, f"required folder {need.path} cannot be read: {error.strerror or error}")
    except SearchTimeoutError as error:
        return Findings(unmet, str(error))
    if surroundings.shows is not None:
        shows, base = surroundings.shows, absolute.rstrip("/")
        names = [name for name in names if shows(f"{base}/{name}")]
    if len(names) < need.minimum:
        return Findings(unmet, f"required folder {need.path} has {_files(len(names))}, needs {need.minimum}")
    prefix = shown_folder(need.path)
    return tuple(prefix + name for name in names)


def _check_matches(
    needs: Sequence[MatchNeed], surroundings: Surroundings, patience: Patience
) -> tuple[tuple[str, ...], ...] | Findings:
    wanted = []
    for need in needs:
        try:
            enough = None if need.source or surroundings.shows is not None else need.minimum
            wanted.append(Wanted(of_need(need), enough))
        except re.error as error:
            return Findings(unmet_match(need), f"the expression {need.pattern!r} is not valid: {error}")
    try:
        found = search(wanted, surroundings.place, patience)
    except SearchTimeoutError as error:
        guilty = next((need for need in needs if need.pattern == error.pattern), needs[0])
        return Findings(unmet_match(guilty), str(error))
    except OSError as error:
        return Findings(unmet_match(needs[0]), f"the search for {needs[0].pattern!r} failed: {error}")
    if surroundings.shows is not None:
        shows, absolute = surroundings.shows, surroundings.place.absolute
        found.matches[:] = [[path for path in paths if shows(absolute(path))] for paths in found.matches]
    for need, paths in zip(needs, found.matches, strict=True):
        if len(paths) < need.minimum:
            return Findings(unmet_match(need), _explain_few(need, len(paths), found, surroundings, patience))
    return tuple(tuple(paths) for paths in found.matches)


def _explain_few(need: MatchNeed, number: int, found: Found, surroundings: Surroundings, patience: Patience) -> str:
    kind = "glob" if need.kind == "glob" else "regular expression"
    verb = "matches" if number == 1 else "match"
    text = f"{_files(number)} {verb} the {kind} {need.pattern!r}, needs {need.minimum}"
    if found.unreadable:
        text += f"; {len(found.unreadable)} folder(s) could not be read, the first is {found.unreadable[0]!r}"
    if number == 0 and need.kind == "regex" and _finds_as_glob(need.pattern, surroundings, patience):
        text += f"; as a glob it finds files: write 'glob:{need.pattern}'"
    return text


def _finds_as_glob(text: str, surroundings: Surroundings, patience: Patience) -> bool:
    try:
        return bool(search([Wanted(compile_pattern(text, "glob"), 1)], surroundings.place, patience).matches[0])
    except (re.error, SearchTimeoutError, OSError):
        return False


def unmet_match(need: MatchNeed) -> str:
    """How an expression is named in a cause."""
    return f"match:glob:{need.pattern}" if need.kind == "glob" else f"match:{need.pattern}"


def file_problem(path: str) -> str | None:
    """Why `path` is no regular file (or link to one), None when it is."""
    return _problem(path, stat.S_ISREG, "is no regular file")


def _problem(path: str, is_kind: Callable[[int], bool] | None = None, otherwise: str = "") -> str | None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist" if not os.path.islink(path) else "is a link to what does not exist"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    except ValueError:
        return "cannot exist: its name holds a NUL character"
    if is_kind is None or is_kind(mode):
        return None
    return "is a folder" if stat.S_ISDIR(mode) else otherwise


def _files(number: int) -> str:
    return "no files" if number == 0 else "1 file" if number == 1 else f"{number} files"


# --- what tasks are given --------------------------------------------------------------------------------------------------


def shown_folder(path: str) -> str:
    """What stands before the names of a folder's files: as it was written, without a `./` that says nothing."""
    plain = path
    while plain.startswith("./"):
        plain = plain[2:].lstrip("/")
    plain = plain.rstrip("/") if plain.strip("/") else plain[:1]
    return "" if plain in ("", ".") else plain if plain.endswith("/") else plain + "/"


def path_argument(path: str) -> str:
    """`path` as an argument that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def source_files(requires: Requirements, findings: Findings) -> tuple[str, ...]:
    """The files of all sources in folders, then expressions: sorted, each once; the items of `foreach.files`.

    As tasks are given them, so that an item is no option either where it stands alone (`WEFT_FILE`, a slot).
    """
    unique: set[str] = set()
    for need, paths in _sources(requires, findings):
        if need.source:
            unique.update(map(path_argument, paths))
    return tuple(sorted(unique))


def bound_files(requires: Requirements, findings: Findings) -> dict[str, str | list[str]]:
    """Parameter -> path of a file, or sorted paths of a source's files, for a task as a whole."""
    lists: dict[str, set[str]] = {}
    for need, paths in _sources(requires, findings):
        if need.source and need.bind:
            lists.setdefault(need.bind, set()).update(paths)
    found = {name: [path_argument(path) for path in sorted(paths)] for name, paths in lists.items()}
    return {**_bound_needs(requires), **found}


def bound_item(requires: Requirements, name: str | None, item: str) -> dict[str, str | list[str] | None]:
    """Parameter -> path for an instance; `name` receives its own file, the parameters of other sources None."""
    sources: tuple[FolderNeed | MatchNeed, ...] = (*requires.folders, *requires.match)
    bound: dict[str, str | list[str] | None] = {need.bind: None for need in sources if need.source and need.bind}
    bound.update(_bound_needs(requires))
    return bound if name is None else {**bound, name: item}


def _bound_needs(requires: Requirements) -> dict[str, str | list[str]]:
    return {need.bind: path_argument(need.path) for need in requires.files if need.bind}


def item_binder(requires: Requirements, findings: Findings) -> Callable[[str], str | None]:
    """From an item to the parameter of its source: the first that has it; None when that one binds none."""
    names = {need.bind for need, _ in _sources(requires, findings) if need.source}
    if len(names) == 1:
        only = names.pop()
        return lambda _: only
    names_by_item: dict[str, str | None] = {}
    for need, paths in _sources(requires, findings):
        if need.source:
            names_by_item = {**dict.fromkeys(map(path_argument, paths), need.bind), **names_by_item}
    return names_by_item.get


def _sources(requires: Requirements, findings: Findings) -> list[tuple[FolderNeed | MatchNeed, tuple[str, ...]]]:
    return [
        *zip(requires.folders, findings.folders or ((),) * len(requires.folders), strict=True),
        *zip(requires.match, findings.matches or ((),) * len(requires.match), strict=True),
    ]
