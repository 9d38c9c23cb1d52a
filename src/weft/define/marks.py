"""What decorators say of a function, kept until `task` makes a task of it; what stands above `task` makes that task anew.

A mark belongs to the function and goes with it. The decorators of a function come in any order, so that some are met before its
task is defined and some after.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.define.mistakes import Mistakes, Place, holding, place_of_caller, show
from weft.errors import Problem, cut

if TYPE_CHECKING:
    from weft.define.registry import Registry


class Said(NamedTuple):
    """What one decorator says. decorator: its name. word: of a definition that it stands for; `key`: of the amount it gives."""

    decorator: str
    word: str
    key: str | None
    value: Any


class Mark:
    """Everything that was said of one function. name, words: of the task that was made of it, by the registry.

    is_task: whether it was to become one, be it in vain.
    """

    __slots__ = ("_registry", "is_task", "name", "place", "said", "twice", "words")

    def __init__(self, place: Place):
        self.place = place
        self.said: list[Said] = []
        self.twice: list[Said] = []
        self.name: str | None = None
        self.is_task = False
        self.words: Mapping[str, Any] = {}
        self._registry: weakref.ref[Registry] | None = None

    @property
    def registry(self) -> Registry | None:
        """Where it is a task; None before."""
        return None if self._registry is None else self._registry()

    def claim(self, registry: Registry, name: str, words: Mapping[str, Any]) -> None:
        """The function is a task now. words: those of its definition, without what decorators say."""
        self._registry, self.name, self.words, self.is_task = weakref.ref(registry), name, words, True

    def merge(self, words: dict[str, Any], mistakes: Mistakes) -> None:
        """Add to the words of a definition what decorators say; what both say is a mistake."""
        self.is_task = True
        for said in self.twice:
            mistakes.add("shape.conflict", f"{_shown(said)} is given twice", "keep one of them")
        resources: dict[Any, Any] = {}
        files: list[Said] = []
        for said in self.said:
            if said.word == "requires":
                files.append(said)
            elif said.key is not None:
                resources[said.key] = said.value
            else:
                _add(words, said.word, said.value, said, mistakes)
        if resources:
            self._add_amounts(words, resources, mistakes)
        if files:
            if words.get("requires") is not None or words.get("foreach") is not None:
                shown = " and ".join(_shown(said) for said in files)
                mistakes.add("shape.conflict", f"says what it requires in its task and by {shown}", "keep one of them")
            else:
                words["requires"], words["foreach"] = _requirements(files)

    def _add_amounts(self, words: dict[str, Any], resources: dict[Any, Any], mistakes: Mistakes) -> None:
        given = words.get("resources")
        if given is None:
            words["resources"] = resources
            return
        if not isinstance(given, Mapping):
            return  # told where it is read
        for said in self.said:
            if said.key is not None and said.key in given:
                message = f"says {cut(str(said.key))} in its resources and by {_shown(said)}"
                mistakes.add("shape.conflict", message, "keep one of them")
        words["resources"] = {**resources, **given}


_marks: Final[weakref.WeakKeyDictionary[Callable[..., Any], Mark]] = weakref.WeakKeyDictionary()


def mark_of(function: Any) -> Mark | None:
    """What was said of the function so far."""
    try:
        return _marks.get(function)
    except TypeError:  # what cannot be hashed or referred to weakly was never marked
        return None


def made_mark(function: Any) -> Mark | None:
    """The mark of a function, made on first use; None of what can have none."""
    found = mark_of(function)
    if found is None:
        try:
            found = _marks[function] = Mark(place_of_caller())
        except TypeError:
            return None
    return found


def say(function: Any, said: Said) -> None:
    """Keep what a decorator says; a function that is a task already becomes another one. Raises DefinitionError."""
    with holding(getattr(mark_of(function), "name", None), function):
        _say(function, said)


def _say(function: Any, said: Said) -> None:
    mark = made_mark(function) if callable(function) else None
    if mark is None:
        mistakes = Mistakes("decorator", said.decorator)
        mistakes.add("shape.type", f"stands above {show(function)}, which is no function")
        mistakes.raise_if_any()
        return
    is_twice = any((each.word, each.key, each.decorator) == (said.word, said.key, said.decorator) for each in mark.said)
    is_twice = is_twice or (said.word != "requires" and any(each[1:3] == said[1:3] for each in mark.said))
    (mark.twice if is_twice else mark.said).append(said)
    registry = mark.registry
    if registry is None:
        return
    assert mark.name is not None
    try:
        registry.define_again(function, mark.name, mark.words)
    except BaseException:
        (mark.twice if is_twice else mark.said).pop()
        raise


def unclaimed() -> Iterator[Problem]:
    """The mistake of every function that has decorators and no task."""
    for function, mark in list(_marks.items()):
        if not mark.is_task and mark.said:
            name = getattr(function, "__name__", None) or show(function)
            names = " and ".join(dict.fromkeys(_shown(said) for said in reversed(mark.said)))
            message = f"function {cut(name)!r} has {names} and no @weft.task"
            hint = "put @weft.task above it"
            yield Problem("action.none", message, mark.place.file, name, mark.place.line, None, hint)


def _add(words: dict[str, Any], word: str, value: Any, said: Said, mistakes: Mistakes) -> None:
    if words.get(word) is not None and words[word] != ():
        mistakes.add("shape.conflict", f"says {word} in its task and by {_shown(said)}", "keep one of them")
    else:
        words[word] = value


def _requirements(files: list[Said]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(requires, foreach) of what decorators say. Where some files are mapped over, the others are conditions only."""
    is_mapped = any(said.decorator.startswith("for_files") for said in files)
    requires: dict[str, Any] = {}
    for said in reversed(files):  # they are met from the function upwards
        kind, items = said.value
        if is_mapped and kind != "files" and not said.decorator.startswith("for_files"):
            items = [{**item, "source": False} for item in items]
        requires.setdefault(kind, []).extend(items)
    return requires, {"files": True} if is_mapped else None


def _shown(said: Said) -> str:
    return f"@weft.{said.decorator}"
