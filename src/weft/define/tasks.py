"""The definition of one task: a function, what it depends on, its options and its product; everything is checked here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from weft.define.dependencies import Need, bind, read_needs
from weft.define.file_needs import NO_NEEDS, read_file_needs
from weft.define.hints import Hint, contradicts, resolved
from weft.define.mistakes import Mistakes, show
from weft.define.options import Option as Declared
from weft.define.policies import Policies
from weft.define.receiving import Receiving
from weft.define.signatures import Parameter, Signature
from weft.define.types import (
    LIST_OF,
    STREAM_OF,
    Find,
    TypeNameError,
    builtin_of,
    is_kind_of,
    name_of,
    problem_of,
    split,
    unknown_in,
)
from weft.errors import cut, hint_nearest
from weft.spec.options import MISSING, Option
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, Foreach, Requirements
from weft.spec.tasks import NOTHING, Dependency, Policy, Task
from weft.spec.types import BUILTIN
from weft.values.plain import text_of, value_of

_NO_OPTIONS: Final[Mapping[str, Option]] = NOTHING
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})


Options = tuple[Mapping[str, Option], frozenset[str], frozenset[str]]
"""A task's options, those for which None will do, and those whose hint asks for a path object."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskDefinition:
    """A task before its options have values.

    options: with their types' names; what a body does to a default harms nobody. optional: options for which None will do.
    paths: options whose hint asks for a path object. unused: options of the task that this one overrides, which it does not take.
    stand_in: the finished task instead of a function. value: what it hands on, of one that stands for a value.
    files: `requires` and `foreach` as they were given.
    """

    name: str
    function: Callable[..., Any] | None
    edges: tuple[Dependency, ...]
    options: Mapping[str, Option]
    policy: Policy
    version: str | None = None
    outputs: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    unused: Mapping[str, Option] = field(default_factory=lambda: _NO_OPTIONS)
    stand_in: Task | None = None
    value: Any = MISSING
    needs: tuple[Need, ...] = ()
    words: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)
    requires: Requirements = NO_REQUIREMENTS
    files: tuple[Any, Any] = (None, None)

    @property
    def product(self) -> Product:
        """What it hands on; a command without a product hands on nothing of any type."""
        return self.policy.product or Product("return")

    def __repr__(self) -> str:
        return f"<task {cut(self.name)!r}>"


class Words(NamedTuple):
    """What a definition says, as it was given."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    product: object = None
    deps: object = ()
    options: object = None
    version: object = None
    outputs: object = None
    policy: Mapping[str, Any] = NOTHING
    files: tuple[Any, Any] = (None, None)


class Maker:
    """Makes definitions with what a registry knows. find: a type by name. type_names: for hints."""

    def __init__(
        self,
        find: Find,
        type_names: Callable[[], Iterable[str]],
        resolve: Callable[[Any], str | None],
        look_up: Callable[[str], TaskDefinition | None],
        task_names: Callable[[], Iterable[str]],
        policies: Policies,
    ):
        self._find = find
        self._type_names = type_names
        self._resolve = resolve
        self._look_up = look_up
        self._task_names = task_names
        self._policies = policies
        self._receiving = Receiving(find, look_up)
        self._options_made: dict[Any, tuple[Signature, Options]] = {}

    def make(self, words: Words, mistakes: Mistakes) -> TaskDefinition:
        """The definition, as far as it is sound; its mistakes are told."""
        signature = words.signature
        for name in signature.positional:
            message = f"its parameter {name!r} can only be given by its place, and weft gives arguments by name"
            mistakes.add("shape.value", message, "take the '/' out of its signature, or wrap it in a function")
        needs = read_needs(words.deps, self._resolve, _Lazy(self._task_names), mistakes) if words.deps else []
        declared = self._declared(words.options, mistakes)
        edges = bind(needs, signature, declared, mistakes) if needs else ()
        if edges:
            self._receiving.check(edges, signature, mistakes)
        bound = {edge.bind for edge in edges if edge.bind is not None}
        files = NO_NEEDS
        if words.files != (None, None):
            files = read_file_needs(*words.files, signature, {*declared, *bound}, mistakes)
            bound |= files.taken
        options, optional, paths = self._options(signature, declared, bound, mistakes)
        product = self._product(words, mistakes)
        mapped = next((need for need in needs if need.is_each), None)
        foreach = files.foreach
        if mapped is not None and foreach is not None:
            mistakes.add("shape.conflict", f"is mapped twice: by foreach and over {cut(mapped.tasks[0])!r}")
        if mapped is not None:
            receiver = next((edge.bind for edge in edges if edge.each), None)
            foreach = Foreach(stream=mapped.tasks[0], bind=receiver)
            self._check_iterable(mapped.tasks[0], mistakes)
        policy = self._policies.make(words.policy, product, foreach, mistakes)
        for name in policy.roles:
            if name not in options:
                known = list(options)
                mistakes.add(
                    "option.unknown", f"roles names {cut(name)!r}, which is no option", hint_nearest(name, known)
                )
        return TaskDefinition(
            words.name,
            words.function,
            edges,
            options,
            policy,
            self._version(words.version, mistakes),
            _outputs(words.outputs, mistakes),
            optional,
            paths,
            needs=tuple(needs),
            words=words.policy,
            requires=files.requires,
            files=words.files,
        )

    # --- types

    def type_name(self, given: object, what: str, mistakes: Mistakes) -> str:
        """The name of a known type; `any`, and a mistake told, when it is none."""
        if type(given) is str and given in BUILTIN:
            return given
        try:
            name = name_of(given)
        except TypeNameError as error:
            mistakes.add("shape.type", f"{what}: {error}")
            return "any"
        unknown = unknown_in(name, self._find)
        if unknown is None:
            return name
        parts = split(unknown)
        if parts is not None and parts[0] == STREAM_OF:
            mistakes.add(
                "shape.value", f"{what} is a stream", "only a task's product can be one; use weft.list_of(...)"
            )
        else:
            hint = _respelled(unknown) or hint_nearest(unknown, [*self._type_names(), *BUILTIN])
            hint = hint or "registry.type(...) defines one"
            mistakes.add("ref.type", f"{what} has the type {cut(unknown)!r}, which is not defined", hint)
        return "any"

    def _product(self, words: Words, mistakes: Mistakes) -> Product:
        hint = words.signature.product
        hint = resolved(hint, self._find) if hint is not None else None
        yields = words.signature.is_generator
        if words.product is None:
            if hint is None:
                return Product("return", "any", yields)
            return Product("return", "any" if hint.is_optional else hint.type, hint.is_stream or yields)
        try:
            name = name_of(words.product)
        except TypeNameError as error:
            mistakes.add("shape.type", f"product: {error}")
            return Product("return")
        parts = split(name)
        is_stream = parts is not None and parts[0] == STREAM_OF
        made = self.type_name(parts[1] if parts is not None and is_stream else name, "product", mistakes)
        if yields and not is_stream:
            given = f"its product is {cut(name)!r}, and its function yields"
            mistakes.add(
                "shape.conflict", given, f"a generator's product is weft.stream_of({name!r}), or of its items' type"
            )
        elif hint is not None and self._is_contradicted(made, is_stream, hint):
            said = f"{STREAM_OF}({hint.type})" if hint.is_stream else hint.type
            mistakes.add(
                "shape.conflict", f"its product is {cut(name)!r}, and its function is hinted to return {said!r}"
            )
        return Product("return", made, is_stream)

    def _is_contradicted(self, name: str, is_stream: bool, hint: Hint) -> bool:
        if hint.is_optional:
            return False
        if is_stream:
            if hint.is_stream:
                return contradicts(name, hint.type, self._find)
            return builtin_of(hint.type, self._find) not in ("any", "list")
        return hint.is_stream or contradicts(name, hint.type, self._find)

    def _check_iterable(self, maker: str, mistakes: Mistakes) -> None:
        definition = self._look_up(maker)
        if definition is None or definition.policy.foreach is not None:
            return
        product = definition.product
        if not product.stream and builtin_of(product.type, self._find) not in ("any", "list"):
            message = f"maps over {cut(maker)!r}, whose product is {product.type!r} and has no items"
            mistakes.add("shape.conflict", message, "that task's product must be a list or a stream")

    # --- options

    def _declared(self, given: object, mistakes: Mistakes) -> dict[str, Declared | Option]:
        if not given:
            return {}
        if not isinstance(given, Mapping):
            mistakes.add("shape.type", f"options is {show(given)}", "give a dict: {'k': weft.Option('int', default=2)}")
            return {}
        declared: dict[str, Declared | Option] = {}
        for name, option in given.items():
            if not isinstance(name, str) or not name.isidentifier():
                mistakes.add("name.invalid", f"{show(name)} can be no option: it names no parameter")
            else:
                declared[name] = option if isinstance(option, Declared | Option) else Declared(option)
        return declared

    def _options(
        self, signature: Signature, declared: Mapping[str, Declared | Option], bound: set[str], mistakes: Mistakes
    ) -> Options:
        key = _key_of(signature, declared, bound)
        known = self._options_made.get(key) if key is not None else None
        if known is not None:
            return known[1]
        before = len(mistakes.found)
        made = self._make_options(signature, declared, bound, mistakes)
        if key is not None and len(mistakes.found) == before:
            self._options_made[key] = (signature, made)  # the signature, so that its identity is not used again
        return made

    def _make_options(
        self, signature: Signature, declared: Mapping[str, Declared | Option], bound: set[str], mistakes: Mistakes
    ) -> Options:
        options: dict[str, Option] = {}
        optional: set[str] = set()
        paths: set[str] = set()
        for name in declared:
            if name not in signature.parameters and not signature.takes_any:
                hint = hint_nearest(name, [each for each in signature.parameters if each not in bound])
                mistakes.add(
                    "option.unknown",
                    f"its function takes no argument {name!r}, which is an option",
                    hint,
                    location=name,
                )
        for name in dict.fromkeys((*signature.parameters, *declared)):
            if name in bound:
                continue
            parameter = signature.parameters.get(name) or Parameter(name)
            if parameter.hint is not None and parameter.hint.is_optional:
                optional.add(name)
            if parameter.hint is not None and parameter.hint.is_path:
                paths.add(name)
            options[name] = self._option(parameter, declared.get(name), name in optional, mistakes)
        return options or _NO_OPTIONS, frozenset(optional), frozenset(paths)

    def _option(
        self, parameter: Parameter, declared: Declared | Option | None, none_will_do: bool, mistakes: Mistakes
    ) -> Option:
        name, hint = parameter.name, parameter.hint
        if hint is not None:
            hint = resolved(hint, self._find)
        if declared is None:
            kind = hint.type if hint is not None and not hint.is_stream else "any"
            if unknown_in(kind, self._find) is not None:
                kind = "any"
            made = Option(kind, parameter.default)
        else:
            kind = self.type_name(declared.type, f"option {name!r}", mistakes)
            if hint is not None and (hint.is_stream or contradicts(kind, hint.type, self._find)):
                message = f"option {name!r} has the type {kind!r}, and the function is hinted to take {hint.type!r}"
                mistakes.add("shape.conflict", message, location=name)
            default = parameter.default if declared.default is MISSING else declared.default
            made = Option(kind, default, declared.description)
        return made if made.is_required else self._with_default(name, made, none_will_do, mistakes)

    def _with_default(self, name: str, option: Option, none_will_do: bool, mistakes: Mistakes) -> Option:
        default = option.default
        if type(default) not in _SCALARS:
            if callable(default):
                message = f"the default of option {name!r} can be called: {show(default)}"
                mistakes.add(
                    "option.type", message, "a default is a value; call it, or depend on a task", location=name
                )
                return option
            try:
                text = text_of(default)
                default = value_of(text) if text is not None else copy.deepcopy(default)
            except Exception as error:  # noqa: BLE001 - what a user's object does when it is copied; told with its cause
                message = f"the default of option {name!r} cannot be copied: {type(error).__name__}: {error}"
                mistakes.add("option.type", message, "give plain data, or leave the default out", location=name)
                return option
            option = Option(option.type, default, option.description)
        if default is None and none_will_do:
            return option
        problem = problem_of(default, option.type, self._find) if option.type != "any" else None
        if problem is not None:
            hint = f"hint it `{option.type} | None` if None will do" if default is None else None
            mistakes.add("option.type", f"the default of option {name!r}: {problem}", hint, location=name)
        return option

    def _version(self, given: object, mistakes: Mistakes) -> str | None:
        if given is None:
            return None
        if isinstance(given, str | int) and not isinstance(given, bool) and str(given):
            return str(given)
        mistakes.add("shape.type", f"version must be a text, not {show(given)}")
        return None

    def fits(self, name: str, wanted: Product, given: Product) -> str | None:
        """Why a product cannot stand where another was wanted, None when it can."""
        if wanted.stream and not given.stream and builtin_of(given.type, self._find) not in ("any", "list"):
            return f"{cut(name)!r} hands on a stream of {wanted.type!r}, not {given.type!r}"
        if given.stream and not wanted.stream and wanted.type != "any":
            return f"{cut(name)!r} hands on {wanted.type!r}, not a stream"
        if wanted.stream == given.stream and not is_kind_of(given.type, wanted.type, self._find):
            return f"{cut(name)!r} hands on {wanted.type!r}, not {given.type!r}"
        return None


def _key_of(signature: Signature, declared: Mapping[str, Declared | Option], bound: set[str]) -> Any:
    """What the options of a task follow from; None when that may change, or a default could look like another one."""
    if signature.names_types:
        return None  # what it names may be defined later
    for option in declared.values():
        if option.default is not MISSING and type(option.default) not in (str, int, type(None)):
            return None
    given = [
        (name, option.type, type(option.default), option.default, option.description)
        for name, option in declared.items()
    ]
    key = (id(signature), tuple(given), frozenset(bound))
    try:
        hash(key)
    except TypeError:  # what stands for a type may be anything
        return None
    return key


def _respelled(name: str) -> str | None:
    """How a list is written here, for a name that is one of Python's hints."""
    depth, items = 0, name
    while items.startswith("list[") and items.endswith("]"):
        items, depth = items[5:-1], depth + 1
    return f"write {f'{LIST_OF}(' * depth}{items}{')' * depth}" if depth else None


class _Lazy:
    """Names that are listed only when somebody looks."""

    def __init__(self, names: Callable[[], Iterable[str]]):
        self._names = names

    def __iter__(self) -> Any:
        return iter(self._names())


def _outputs(given: object, mistakes: Mistakes) -> tuple[str, ...]:
    if given is None:
        return ()
    members = [given] if isinstance(given, str) else given
    if not isinstance(members, list | tuple) or not all(
        isinstance(each, str) and each and "\0" not in each for each in members
    ):
        mistakes.add("shape.type", f"outputs must be a list of paths, not {show(given)}")
        return ()
    return tuple(members)
