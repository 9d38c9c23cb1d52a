"""Slots of commands and scripts, and parameters that become arguments: what could not be filled is told before the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from weft.errors import cut, hint_nearest
from weft.formats.mistakes import Mistakes
from weft.spec.actions import Command, Script, Shell
from weft.spec.options import Option
from weft.spec.requirements import FileNeed, FolderNeed, MatchNeed
from weft.spec.slots import fill_shell, shell_slots_in, slots_in
from weft.spec.tasks import Task

LONGEST_ARGUMENT: Final = 128 * 1024  # bytes of one word with its NUL: MAX_ARG_STRLEN, execve(2)
_LONG_CHARACTERS: Final = LONGEST_ARGUMENT // 4  # UTF-8 takes at most four bytes for one

PlaceOf = Callable[..., tuple[str, str]]
"""From a task's index and the parts of a path in it to the file and the JSON pointer."""


def bound_names(task: Task) -> set[str]:
    """Parameters that the run gives: found files, items, products of dependencies."""
    return {*found_names(task), *(edge.bind for edge in task.dependencies if edge.bind is not None)}


def found_names(task: Task) -> list[str]:
    """Parameters that files which are found, and the item of an instance, give."""
    requires, foreach = task.requires, task.policy.foreach
    needs: tuple[FileNeed | FolderNeed | MatchNeed, ...] = (*requires.files, *requires.folders, *requires.match)
    names = [need.bind for need in needs if need.bind is not None]
    return [*names, foreach.bind] if foreach is not None and foreach.bind is not None else names


def check_slots(
    tasks: Sequence[Task],
    place_of: PlaceOf,
    options: Mapping[str, Option],
    values: Mapping[str, Any],
    mistakes: Mistakes,
    unsound: Collection[int] = (),
) -> set[str]:
    """Tell every slot without a value and every parameter that no argument can show; the names of all slots in use.

    unsound: tasks of which something was lost, maybe what would fill their slots.
    """
    used: set[str] = set()
    for index, task in enumerate(tasks):
        if index in unsound:
            continue
        action = task.action
        if type(action) is Command:
            for position, word in enumerate(action.argv):
                if type(word) is not str:
                    continue
                if len(word) >= _LONG_CHARACTERS:
                    _warn_long(word, task, partial(place_of, index), ("command", position), mistakes)
                if "{" in word:
                    names = slots_in(word)
                    used.update(names)
                    _tell_unknown(names, task, options, partial(place_of, index), ("command", position), mistakes)
            if task.policy.mapping is not None:
                _check_mapping(task, partial(place_of, index), mistakes)
        elif type(action) is Shell:
            if len(action.script) >= _LONG_CHARACTERS:
                _warn_long(action.script, task, partial(place_of, index), ("shell",), mistakes)
            if "{" in action.script and (options or task.parameters or bound_names(task)):
                names = shell_slots_in(action.script)
                used.update(names)
                _tell_unknown(names, task, options, partial(place_of, index), ("shell",), mistakes)
                _check_quoting(names, action.script, task, values, partial(place_of, index), mistakes)
        elif type(action) is Script:
            _check_mapping(task, partial(place_of, index), mistakes)
    return used


def _warn_long(word: str, task: Task, place_of: PlaceOf, rest: tuple[str | int, ...], mistakes: Mistakes) -> None:
    size = len(word.encode("utf-8", "surrogatepass"))
    if size >= LONGEST_ARGUMENT:
        file, location = place_of(*rest)
        message = f"task {cut(task.name)!r} has an argument of {size} bytes; the system takes {LONGEST_ARGUMENT - 1}"
        mistakes.warn("shape.value", message, file, location, "put the text into a file")


def _tell_unknown(
    names: Sequence[str],
    task: Task,
    options: Mapping[str, Option],
    place_of: PlaceOf,
    rest: tuple[str | int, ...],
    mistakes: Mistakes,
) -> None:
    bound: set[str] | None = None
    for name in names:
        if name in task.parameters or name in options:
            continue
        bound = bound_names(task) if bound is None else bound
        if name in bound:
            continue
        file, location = place_of(*rest)
        known = [*task.parameters, *options, *sorted(bound)]
        hint = hint_nearest(name, known) or f"write {{{{{cut(name)}}}}} for the text {{{cut(name)}}}"
        message = f"task {cut(task.name)!r} has the slot {{{cut(name)}}}, which no parameter and no option fills"
        mistakes.error("slot.unknown", message, file, location, hint)


def _check_quoting(
    names: Sequence[str],
    script: str,
    task: Task,
    values: Mapping[str, Any],
    place_of: PlaceOf,
    mistakes: Mistakes,
) -> None:
    """Whether the shell offers a way to quote the values that are known now."""
    from weft.spec.shelltext import ShellSlotError

    known = {**values, **task.parameters}
    if not names or any(name not in known for name in names):
        return
    try:
        fill_shell(script, known)
    except ShellSlotError as error:
        file, location = place_of("shell")
        mistakes.error("shape.value", f"task {cut(task.name)!r}: {error}", file, location)


def _check_mapping(task: Task, place_of: PlaceOf, mistakes: Mistakes) -> None:
    from weft.spec.mapping import MappingError, map_parameters  # late: few tasks are mapped

    try:
        map_parameters(task.parameters, task.policy.mapping)
    except MappingError as error:
        rest = ("parameter_mapping",) if error.parameter is None else ("parameters", error.parameter)
        file, location = place_of(*rest)
        mistakes.error(error.code, f"task {cut(task.name)!r}: {error}", file, location)


def escape_script(script: str) -> str | None:
    """The script as it must be written where slots are active, to mean what it means where they are not. None: impossible."""
    from weft.spec.shelltext import scan

    pieces: list[str] = []
    position = 0
    for piece in scan(script):
        if piece.is_slot:
            pieces.append(f"{{{{{piece.text}}}}}")
            position += len(piece.text) + 2
        elif piece.text in ("{", "}") and script.startswith(piece.text * 2, position):
            pieces.append(piece.text * 4)
            position += 2
        else:
            pieces.append(piece.text)
            position += len(piece.text)
    escaped = "".join(pieces)
    try:
        return escaped if fill_shell(escaped, {}) == script else None
    except KeyError:
        return None
