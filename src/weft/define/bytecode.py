"""What a code object does, as plain data: the same for every layout, comment and docstring of its source.

Taken from the bytecode and not from the source, because that may have changed since it was imported, or may not be there at
all (notebooks, lambdas). Offsets become ordinal numbers and no-operations are left out: the compiler puts some where lines end.
Other versions of Python write other bytecode, so that work is done again after a change of version.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, Final, NamedTuple

_SILENT: Final = frozenset({"NOP", "CACHE", "EXTENDED_ARG", "RESUME", "PRECALL"})
_GLOBALS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_BELONGS_TO_LAYOUT: Final = frozenset({"__doc__", "__firstlineno__", "__static_attributes__", "__qualname__"})
_FLAGS: Final = 0x04 | 0x08 | 0x20 | 0x80 | 0x200  # *args, **kwargs, generator, coroutine, async generator


class Import(NamedTuple):
    """An import in a body. names: what is taken from the module; none when the module itself is used."""

    module: str
    level: int
    names: tuple[str, ...]


class Uses(NamedTuple):
    """What a code object is, and what it looks up outside of itself. names: a global, with the attributes taken from it."""

    form: tuple[Any, ...]
    names: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]


@lru_cache(maxsize=4096)
def uses_of(code: CodeType) -> Uses:
    """The form and the look-ups of a code object and of those that are written in it."""
    names: dict[tuple[str, ...], None] = {}
    imports: dict[Import, None] = {}
    form = _form(code, names, imports)
    return Uses(form, tuple(names), tuple(imports))


def _form(code: CodeType, names: dict[tuple[str, ...], None], imports: dict[Import, None]) -> tuple[Any, ...]:
    read = dis.Bytecode(code)
    instructions = [each for each in _without_layout(list(read)) if each.opname not in _SILENT]
    ordinals = {each.offset: number for number, each in enumerate(instructions)}
    offsets = sorted(ordinals)

    def ordinal(offset: int) -> int:
        found = ordinals.get(offset)
        if found is None:  # something silent stands there: the next one that acts
            found = next((ordinals[each] for each in offsets if each >= offset), len(offsets))
        return found

    steps: list[Any] = []
    for number, each in enumerate(instructions):
        steps.append((each.opname, _argument(each, ordinal, names, imports)))
        if each.opname in _GLOBALS:
            names[_chain(instructions, number)] = None
        elif each.opname == "IMPORT_NAME":
            imports[_import(instructions, number)] = None
    caught = [
        (ordinal(entry.start), ordinal(entry.end), ordinal(entry.target), entry.depth, entry.lasti)
        for entry in getattr(read, "exception_entries", ())
    ]
    taken = code.co_argcount + code.co_kwonlyargcount
    taken += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS)
    return (shape, code.co_varnames[:taken], steps, caught)


def _without_layout(instructions: list[dis.Instruction]) -> Iterator[dis.Instruction]:
    """Without what a class body keeps of its docstring and its place."""
    skipped: set[int] = set()
    for number, each in enumerate(instructions):
        if each.opname == "STORE_NAME" and each.argval in _BELONGS_TO_LAYOUT and number:
            skipped.update((number, number - 1))
    return (each for number, each in enumerate(instructions) if number not in skipped)


def _argument(
    each: dis.Instruction, ordinal: Any, names: dict[tuple[str, ...], None], imports: dict[Import, None]
) -> Any:
    value = each.argval
    if each.opcode in dis.hasjrel or each.opcode in dis.hasjabs:
        return ["to", ordinal(value)]
    if isinstance(value, CodeType):
        return _form(value, names, imports)
    return _constant(value, each.arg)


def _constant(value: Any, argument: int | None) -> Any:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, tuple):
        return ["tuple", *(_constant(item, None) for item in value)]
    if isinstance(value, frozenset):
        return ["set", sorted(repr(item) for item in value)]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if value is Ellipsis:
        return ["ellipsis"]
    if isinstance(value, slice):
        return ["slice", _constant(value.start, None), _constant(value.stop, None), _constant(value.step, None)]
    return argument  # something that only `dis` makes: the number says the same


def _chain(instructions: list[dis.Instruction], number: int) -> tuple[str, ...]:
    chain = [instructions[number].argval]
    for each in instructions[number + 1 :]:
        if each.opname not in _ATTRIBUTES:
            break
        chain.append(each.argval)
    return tuple(chain)


def _import(instructions: list[dis.Instruction], number: int) -> Import:
    level = instructions[number - 2].argval if number >= 2 else 0
    names = []
    for each in instructions[number + 1 :]:
        if each.opname == "IMPORT_FROM":
            names.append(each.argval)
        elif not each.opname.startswith(("STORE_", "SWAP", "POP_TOP")):
            break
    return Import(str(instructions[number].argval), level if isinstance(level, int) else 0, tuple(names))
