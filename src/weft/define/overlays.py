"""What stands in another task's place: a function, a value, the value in a file, another task. Its product must fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from weft.define.dependencies import Each, Gather, Need
from weft.define.mistakes import Mistakes, show
from weft.define.signatures import Signature
from weft.define.tasks import Maker, TaskDefinition, Words
from weft.errors import cut, hint_nearest
from weft.spec.tasks import Task

if TYPE_CHECKING:
    from weft.define.registry import Registry

_SUFFIX_OF_TEXT: Final = ".txt"


class StandIns:
    """Makes definitions that stand in for others of one registry."""

    def __init__(self, registry: Registry, maker: Maker, read: Callable[[Any, Mistakes], Signature]):
        self._registry = registry
        self._maker = maker
        self._read = read

    def make(self, name: object, words: Mapping[str, Any]) -> TaskDefinition:
        """What `words`, one of function, value, file and task, puts in the place of `name`. Raises DefinitionError."""
        registry = self._registry
        mistakes = Mistakes("override of", name)
        if len(words) != 1:
            said = " and ".join(words) if words else "nothing"
            mistakes.add("shape.conflict", f"was given {said}", "give one of function, value, file and task")
        found = registry.resolve(name)
        before = registry.find(found) if found is not None else None
        if before is None:
            hint = hint_nearest(name, registry.names()) if isinstance(name, str) else None
            mistakes.add("ref.task", f"there is no task {show(name)}", hint)
        mistakes.raise_if_any()
        assert before is not None
        ((word, given),) = words.items()
        if word == "function":
            after = self._overridden(before, given, mistakes)
        elif word == "task":
            after = self._exchanged(before, given, mistakes)
        else:
            after = self._given(before, given if word == "value" else _read(os.fspath(given), mistakes), mistakes)
        mistakes.raise_if_any()
        return after

    def check(
        self, before: TaskDefinition, after: TaskDefinition, mistakes: Mistakes, *, must_fit: bool = True
    ) -> None:
        """What stands in the place of another hands on what is wanted of it, and does not depend on itself."""
        problem = self._maker.fits(before.name, before.product, after.product) if must_fit else None
        if problem is not None and self._is_followed(before.name):
            mistakes.add("shape.conflict", problem, "what follows it relies on the type of its product")
        open_names, seen = [edge.name for edge in after.edges], set()
        while open_names:
            name = open_names.pop()
            if name in seen:
                continue
            seen.add(name)
            if name == after.name:
                mistakes.add("graph.cycle", "would depend on itself, by way of what it depends on")
                return
            found = self._registry.find(name)
            open_names += [edge.name for edge in found.edges] if found is not None else ()

    def _is_followed(self, name: str) -> bool:
        find = self._registry.find
        return any(
            edge.name == name for each in self._registry.names() if (found := find(each)) for edge in found.edges
        )

    def _overridden(self, before: TaskDefinition, function: Callable[..., Any], mistakes: Mistakes) -> TaskDefinition:
        read = self._read(function, mistakes)
        if mistakes:
            return before
        kept = {
            option: declared
            for option, declared in {**before.unused, **before.options}.items()
            if option in read.parameters or (read.takes_any and option in before.options)
        }
        product = before.product
        told = f"stream_of({product.type})" if product.stream else product.type
        wanted = None if product.type == "any" and not product.stream else told
        roles = {key: role for key, role in before.policy.roles.items() if key in kept}
        policy = {**before.words, "roles": roles or None}
        deps = [_as_dep(need, read) for need in before.needs]
        after = self._maker.make(
            Words(before.name, function, read, wanted, deps, kept, policy=policy, files=before.files), mistakes
        )
        unused = {option: declared for option, declared in before.options.items() if option not in after.options}
        return replace(after, unused={**before.unused, **unused}, outputs=before.outputs)

    def _given(self, before: TaskDefinition, value: Any, mistakes: Mistakes) -> TaskDefinition:
        from weft.define.given import UnpicklableError, given_task, problem_of_product

        if mistakes:
            return before
        problem = problem_of_product(value, before, self._registry.find_type)
        if problem is not None:
            mistakes.add("option.type", f"the value does not fit its product: {problem}")
            return before
        try:
            stand_in, held = given_task(before, value)
        except UnpicklableError as error:
            mistakes.add("option.type", f"the value cannot be handed to another process: {error}")
            return before
        unused = {**before.unused, **before.options}
        after = TaskDefinition(before.name, None, (), {}, stand_in.policy, unused=unused, stand_in=stand_in, value=held)
        return _as_described(after, before)

    def _exchanged(self, before: TaskDefinition, task: Any, mistakes: Mistakes) -> TaskDefinition:
        after = (
            self._finished(before, task, mistakes) if isinstance(task, Task) else self._other(before, task, mistakes)
        )
        if not mistakes:
            self.check(before, after, mistakes)
        return after

    def _finished(self, before: TaskDefinition, task: Task, mistakes: Mistakes) -> TaskDefinition:
        registry = self._registry
        for edge in task.dependencies:
            if registry.find(edge.name) is None:
                hint = hint_nearest(edge.name, registry.names())
                mistakes.add("ref.task", f"depends on {cut(edge.name)!r}, which is not defined", hint)
        after = TaskDefinition(
            before.name,
            None,
            task.dependencies,
            {},
            task.policy,
            stand_in=replace(task, name=before.name),
            unused={**before.unused, **before.options},
        )
        return _as_described(after, before)

    def _other(self, before: TaskDefinition, task: Any, mistakes: Mistakes) -> TaskDefinition:
        registry = self._registry
        name = registry.resolve(task)
        other = registry.find(name) if name is not None else None
        if other is None:
            near = hint_nearest(task, registry.names()) if isinstance(task, str) else None
            mistakes.add("ref.task", f"there is no task {show(task)}", near or "give a task's name or a weft.Task")
            return before
        unused = {each: option for each, option in before.options.items() if each not in other.options}
        stand_in = replace(other.stand_in, name=before.name) if other.stand_in is not None else None
        return replace(other, name=before.name, unused={**other.unused, **unused}, stand_in=stand_in)


def _as_described(after: TaskDefinition, before: TaskDefinition) -> TaskDefinition:
    """With what was said of the task, for a function that takes its place later."""
    return replace(after, needs=before.needs, words=before.words, files=before.files)


def _as_dep(need: Need, signature: Signature) -> Any:
    """A dependency again, for a function that may not take it: then it orders only, but an item must go somewhere."""
    takes = need.as_ is not None and (need.as_ in signature.parameters or signature.takes_any)
    as_ = need.as_ if takes else None
    if need.is_each:
        return Each(need.tasks[0], as_)
    if need.is_gather:
        return Gather(need.tasks, as_)
    return {"name": need.tasks[0], "as": as_}


def _read(path: str, mistakes: Mistakes) -> Any:
    """The value in a file."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        mistakes.add("read.missing", f"the file {show(path)} cannot be read: {why}")
        return None
    if path.endswith(_SUFFIX_OF_TEXT):
        return text.removesuffix("\n")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        mistakes.add("parse.syntax", f"the file {show(path)} is no JSON: {error}")
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")
