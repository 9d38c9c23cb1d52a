"""What a task is defined to depend on, and which parameter of its function receives what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from weft.define.mistakes import Mistakes, is_refused, show
from weft.define.signatures import Signature
from weft.errors import cut, hint_nearest
from weft.spec.options import MISSING
from weft.spec.tasks import Dependency

_NO_IDENTIFIER: Final = re.compile(r"\W")
_KEYS: Final = ("name", "as", "each", "gather")


@dataclass(frozen=True, slots=True)
class Each:
    """Once for each item of what `task` hands on."""

    task: Any
    as_: str | None = None


@dataclass(frozen=True, slots=True)
class Gather:
    """All that the tasks, or all instances of one, have handed on, in one list."""

    tasks: tuple[Any, ...]
    as_: str | None = None


def each(task: Any, *, as_: str | None = None) -> Each:
    """As a dependency: the task runs once per item of that task's product, as the items arrive. as_: who receives the item."""
    return Each(task, as_)


def gather(*tasks: Any, as_: str | None = None) -> Gather:
    """As a dependency: the products of a mapped task, or of several tasks, in one list, in order. as_: who receives it."""
    return Gather(tasks, as_)


@dataclass(frozen=True, slots=True)
class Need:
    """One entry of `deps`, its tasks known by name. as_: the parameter that was asked for."""

    tasks: tuple[str, ...]
    as_: str | None = None
    is_each: bool = False
    is_gather: bool = False


Resolve = Callable[[Any], str | None]
"""The name of the task that a name, a function or a definition stands for; None when it stands for none."""


def read_needs(deps: Any, resolve: Resolve, known: Iterable[str], mistakes: Mistakes) -> list[Need]:
    """The entries of `deps`, as far as they are sound."""
    if _is_plain(deps) and all(map(resolve, deps)):
        return [Need((name,)) for name in deps]  # nearly all that there are
    needs: list[Need] = []
    named: set[str] = set()
    for item in _listed(deps):
        found = _split(item, mistakes)
        if found is None:
            continue
        members, as_, is_each, is_gather = found
        if as_ is not None and not (isinstance(as_, str) and as_.isidentifier()):
            mistakes.add("shape.value", f"as_ is {show(as_)}, which names no parameter")
            as_ = None
        names: list[str] = []
        for member in members:
            name = resolve(member)
            if name is None:
                _tell_unknown(member, known, mistakes)
            elif name in named:
                hint = "name it once"
                mistakes.add("name.duplicate", f"names the dependency {cut(name)!r} twice", hint)
            else:
                named.add(name)
                names.append(name)
        if names:
            needs.append(Need(tuple(names), as_, is_each, is_gather))
    if sum(need.is_each for need in needs) > 1:
        mapped = " and ".join(repr(cut(need.tasks[0])) for need in needs if need.is_each)
        mistakes.add("shape.conflict", f"maps over {mapped}", "a task maps over the items of one other")
    return needs


def _is_plain(deps: Any) -> bool:
    """Whether they are names, each another one."""
    if type(deps) not in (list, tuple) or not {str}.issuperset(map(type, deps)):
        return False
    return len(deps) < 2 or len(set(deps)) == len(deps)


def _listed(deps: object) -> list[Any]:
    if deps is None:
        return []
    if isinstance(deps, list | tuple):
        return list(deps)
    return [deps]


def _split(item: Any, mistakes: Mistakes) -> tuple[tuple[Any, ...], Any, bool, bool] | None:
    """(members, as_, is_each, is_gather) of one entry."""
    if isinstance(item, Each):
        return (item.task,), item.as_, True, False
    if isinstance(item, Gather):
        if not item.tasks:
            mistakes.add("shape.missing", "gathers nothing", "name a task, as in weft.gather('a')")
            return None
        return item.tasks, item.as_, False, True
    if isinstance(item, Mapping):
        for key in item:
            if key not in _KEYS:
                mistakes.add("shape.unknown_key", f"a dependency has no {show(key)}", hint_nearest(str(key), _KEYS))
        if "name" not in item:
            mistakes.add("shape.missing", f"a dependency without a name: {show(item)}", "give it 'name'")
            return None
        return (item["name"],), item.get("as"), bool(item.get("each")), bool(item.get("gather"))
    return (item,), None, False, False


def _tell_unknown(member: Any, known: Iterable[str], mistakes: Mistakes) -> None:
    if is_refused(member):
        return  # told where it is defined
    if isinstance(member, str):
        hint = hint_nearest(member, known) or "tasks are defined before those that depend on them"
        mistakes.add("ref.task", f"depends on {cut(member)!r}, which is not defined", hint)
    elif callable(member):
        hint = "define it in this registry first; depend by name on one function that makes several tasks"
        mistakes.add("ref.task", f"depends on {show(member)}, which is no task of this registry, or several", hint)
    else:
        hint = "name a task, or give its function, weft.each(...) or weft.gather(...)"
        mistakes.add("shape.type", f"cannot depend on {show(member)}", hint)


def bind(
    needs: Iterable[Need], signature: Signature, options: Iterable[str], mistakes: Mistakes
) -> tuple[Dependency, ...]:
    """The edges of the graph, each with the parameter that receives its product.

    options: parameters that are declared as options. A dependency that the function takes no argument for orders only.
    """
    needs = list(needs)
    declared = set(options)
    free = dict.fromkeys(name for name in signature.parameters if name not in declared)
    chosen: dict[int, str] = {}
    for number, need in enumerate(needs):
        wanted = _wanted(need, signature, free, declared, mistakes)
        if wanted is not None:
            chosen[number] = wanted
            free.pop(wanted, None)
    for number, need in enumerate(needs):
        if number in chosen or not (need.is_each or need.is_gather):
            continue
        left = [name for name in free if signature.parameters[name].default is MISSING]
        if len(left) == 1:
            chosen[number] = left[0]
            free.pop(left[0])
        elif need.is_each:
            message = f"maps over {cut(need.tasks[0])!r}, and no parameter of its function receives the item"
            mistakes.add("shape.missing", message, f"name one {_identifier(need.tasks[0])}, or say as_=...")
    edges: list[Dependency] = []
    for number, need in enumerate(needs):
        for name in need.tasks:
            edges.append(Dependency(name, chosen.get(number), need.is_each, need.is_gather))
    return tuple(edges)


def _wanted(
    need: Need, signature: Signature, free: Mapping[str, None], declared: set[str], mistakes: Mistakes
) -> str | None:
    """The parameter that is asked for, or has the task's name."""
    if need.as_ is not None:
        if need.as_ in free or (signature.takes_any and need.as_ not in declared):
            return need.as_
        why = "which is another's already" if need.as_ in signature.parameters else "which its function does not take"
        mistakes.add(
            "slot.unknown", f"as_ is {need.as_!r}, {why}", hint_nearest(need.as_, list(free)), location=need.as_
        )
        return None
    if need.is_gather and len(need.tasks) > 1:
        return None
    name = need.tasks[0]
    if name in declared:
        message = f"{cut(name)!r} is a dependency and an option"
        mistakes.add("shape.conflict", message, "say as_=... for the one, or call the other differently", location=name)
        return None
    for candidate in (name, _identifier(name)):
        if candidate in free:
            return candidate
    if signature.takes_any and name.isidentifier() and name not in declared and not need.is_gather:
        return name
    return None


def _identifier(name: str) -> str:
    """`load-data` as a parameter is called: `load_data`."""
    return _NO_IDENTIFIER.sub("_", name)
