"""From a checked native task, in canonical units, to spec's `Task`; equal policies and requirements become one object."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from weft.errors import cut
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.shape import Place
from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.compute import AUTO
from weft.spec.options import Opaque
from weft.spec.products import Product
from weft.spec.requirements import (
    NO_REQUIREMENTS,
    FileNeed,
    FolderNeed,
    Foreach,
    MatchNeed,
    Requirements,
)
from weft.spec.resources import NO_CORES, ONE_CORE, Resources
from weft.spec.retries import NO_RETRIES, Retries
from weft.spec.tasks import DEFAULT_POLICY, NOTHING, Dependency, Policy, Task

ACTIONS: Final = ("command", "shell", "python", "function", "script", "serialized")
MERGED: Final = (
    "parameters",
    "resources",
    "attributes",
    "copies",
    "directives",
)  # key by key over the template's; design.md 16
_PLAIN: Final = frozenset(
    {"command", "shell", "python", "dependencies", "parameters", "outputs", "requires", "description"}
)
_RETRY_KEYS: Final = ("max_attempts", "retry_delay", "retry_on", "resource_scales", "scale_on", "fallback_queues")
_POLICY_KEYS: Final[frozenset[str]] = frozenset(
    (
        *(
            "resources",
            *_RETRY_KEYS,
            "timeout",
            "duration",
            "product",
            "type",
            "stream",
            "foreach",
            "parameter_mapping",
        ),
        *("parameter_roles", "environment", "notes", "cache", "isolation", "interruptible", "template", "priority"),
        *("niceness", "executor", "queue", "tags", "attributes", "description", "copies", "directives"),
    )
)
_OTHER_ACTIONS: Final = frozenset(ACTIONS) - {"command"}
_TEXT_ONLY: Final = frozenset({str})
_BROKEN: Final = Command(("",))  # of a task whose action is broken: it exists, and the plan is refused anyway

GLOB_PREFIX: Final = "glob:"

Fields = dict[str, Any]


LIMITS: Final = frozenset({"timeout"})
"""Keys whose `null` says something, "no limit" (dialects.md 1.3): it stands over what a template or the defaults give."""


def without_nulls(fields: Mapping[str, Any], kept: frozenset[str] = frozenset()) -> Fields:
    """`null` for an optional field means that it is absent. kept: keys whose `null` stays."""
    if None in fields.values():
        return {key: value for key, value in fields.items() if value is not None or key in kept}
    return fields if isinstance(fields, dict) else dict(fields)


def merge(below: Fields, above: Fields) -> Fields:
    """`above` over `below`: some keys merge key by key, one action takes the place of another."""
    merged = below | above
    for key in MERGED:
        if key in below and key in above:
            # A task that names all keys itself decides their order: so a compiled document compiles to itself.
            merged[key] = above[key] if above[key].keys() >= below[key].keys() else below[key] | above[key]
    if any(action in above for action in ACTIONS):
        for action in ACTIONS:
            if action in below and action not in above:
                del merged[action]
    return merged


SHARED_COMMANDS: Final = 4096  # different ones that are remembered: many tasks of a plan may run the same


class _Edges(dict[str, Dependency]):
    """Plain dependencies by name, each made once; those on earlier tasks hold the task's own name, not a copy."""

    def __missing__(self, name: str) -> Dependency:
        made = self[name] = Dependency(name)
        return made


class TaskMaker:
    """Makes the tasks of one document."""

    def __init__(self, file: str, mistakes: Mistakes, default_resources: Resources = ONE_CORE):
        self._file = file
        self._mistakes = mistakes
        self._default = default_resources
        self._plain_policy = DEFAULT_POLICY if default_resources is ONE_CORE else Policy(resources=default_resources)
        self._dependencies = _Edges()
        self._commands: dict[tuple[str, ...], Command] = {}
        self._policies: dict[str, Policy] = {}
        self._requirements: dict[str, Requirements] = {}

    def make(self, name: str, fields: Fields, place: Place, is_sound: bool = True) -> Task:
        """The task. An unsound one is made of what is left of it, and lacks are not told again."""
        names = fields.get("dependencies")
        if names and "foreach" not in fields:
            each = next((item for item in names if isinstance(item, Mapping) and item.get("each")), None)
            if each is not None:
                fields = {**fields, "foreach": {"stream": each["name"], "as": each.get("as")}}
        action = self._action(fields, place, is_sound)
        dependencies = self._edges(names, place) if names else ()
        if fields.keys() <= _PLAIN and "description" not in fields and "requires" not in fields:
            policy, requires = self._plain_policy, NO_REQUIREMENTS
            if type(action) is Call:
                policy = self._policy(fields, action, place)
        else:
            requires = self._requires(fields["requires"]) if "requires" in fields else NO_REQUIREMENTS
            policy = self._policy(fields, action, place)
            if requires is not NO_REQUIREMENTS or policy.foreach is not None:
                self._check_bindings(fields, requires, policy, place)
            stream = policy.foreach.stream if policy.foreach is not None else None
            if stream is not None and all(stream != dependency.name for dependency in dependencies):
                dependencies = (*dependencies, Dependency(stream))
        parameters = fields.get("parameters")
        if parameters:
            self._check_parameters(parameters, action, place)
        if "opaque" in fields:
            parameters = {
                **(parameters or {}),
                **{key: make_opaque(value) for key, value in fields["opaque"].items()},
            }
        if name not in self._dependencies:
            self._dependencies[name] = Dependency(name)
        return Task(
            name,
            action,
            dependencies,
            MappingProxyType(parameters) if parameters else NOTHING,
            requires,
            tuple(fields["outputs"]) if "outputs" in fields else (),
            policy,
        )

    def _tell(self, code: str, message: str, place: Place, *rest: str | int, hint: str | None = None) -> None:
        self._mistakes.error(code, f"{place.subject}{message}", self._file, pointer(*place.base, *rest), hint)

    # --- action

    def _action(self, fields: Fields, place: Place, is_sound: bool) -> Action:
        command = fields.get("command")
        if command is not None and fields.keys().isdisjoint(_OTHER_ACTIONS):
            if _TEXT_ONLY.issuperset(map(type, command)):
                return self._command(tuple(command))
            return make_action("command", fields)
        given = [key for key in ACTIONS if key in fields]
        if len(given) > 1:
            self._tell("action.many", f" has {len(given)} actions: {', '.join(given)}", place, hint="keep one of them")
            return _BROKEN
        if not given:
            if is_sound:
                hint = f"give it one of {', '.join(ACTIONS)}"
                self._tell("action.none", " has no action", place, hint=hint)
            return _BROKEN
        return make_action(given[0], fields)

    def _command(self, argv: tuple[str, ...]) -> Command:
        found = self._commands.get(argv)
        if found is None:
            found = Command(argv)
            if len(self._commands) < SHARED_COMMANDS:
                self._commands[argv] = found
        return found

    # --- edges

    def _edges(self, items: list[Any], place: Place) -> tuple[Dependency, ...]:
        try:
            edges = list(map(self._dependencies.__getitem__, items))
        except TypeError:  # an item in the longer form cannot be looked up
            edges = [make_dependency(item) for item in items]
        if len(edges) > 1 and len({edge.name for edge in edges}) != len(edges):
            return self._without_repeats(edges, place)
        return tuple(edges)

    def _without_repeats(self, edges: list[Dependency], place: Place) -> tuple[Dependency, ...]:
        kept: dict[str, Dependency] = {}
        for index, edge in enumerate(edges):
            earlier = kept.get(edge.name)
            if earlier is None:
                kept[edge.name] = edge
                continue
            if earlier != edge and edge != Dependency(edge.name):
                if earlier == Dependency(edge.name):
                    kept[edge.name] = edge
                else:
                    message = f" takes the product of {cut(edge.name)!r} in two ways"
                    self._tell("shape.conflict", message, place, "dependencies", index)
            message = f"{place.subject} names the dependency {cut(edge.name)!r} twice"
            location = pointer(*place.base, "dependencies", index)
            self._mistakes.warn("name.duplicate", message, self._file, location, "one edge is made of both")
        return tuple(kept.values())

    # --- policy

    def _policy(self, fields: Fields, action: Action, place: Place) -> Policy:
        given = {key: value for key, value in fields.items() if key in _POLICY_KEYS}
        is_call = type(action) is Call
        key = f"{is_call}{given!r}"
        found = self._policies.get(key)
        if found is None:
            found = self._policies[key] = make_policy(given, is_call, self._default)
        product = fields.get("product")
        if "type" in fields or "stream" in fields:
            self._check_product_keys(fields, product, place)
        return found

    def _check_product_keys(self, fields: Fields, product: Any, place: Place) -> None:
        for key in ("type", "stream"):
            if key in fields and product is not None and product.get(key, fields[key]) != fields[key]:
                self._tell("shape.conflict", f" gives the product's {key!r} twice, differently", place, key)

    # --- requirements

    def _requires(self, fields: Fields) -> Requirements:
        key = repr(fields)
        found = self._requirements.get(key)
        if found is None:
            found = self._requirements[key] = make_requirements(fields)
        return found

    def _check_bindings(self, fields: Fields, requires: Requirements, policy: Policy, place: Place) -> None:
        parameters = fields.get("parameters") or {}
        folders_and_matches: tuple[FolderNeed | MatchNeed, ...] = (*requires.folders, *requires.match)
        sources = [need for need in folders_and_matches if need.source]
        bound = [("requires", need.bind) for need in requires.files if need.bind]
        bound += [("requires", need.bind) for need in folders_and_matches if need.bind]
        foreach = policy.foreach
        if foreach is not None and foreach.bind:
            bound.append(("foreach", foreach.bind))
        for key, name in bound:
            if name in parameters:
                message = f" binds {cut(name)!r}, which is also in its parameters"
                self._tell("shape.conflict", message, place, key)
        files = [need.bind for need in requires.files if need.bind]
        for name in sorted({name for name in files if files.count(name) > 1}):
            message = f" puts several required files into {cut(name)!r}, which holds one"
            self._tell("shape.conflict", message, place, "requires", "files")
        for need in folders_and_matches:
            if need.bind and not need.source:
                message = f" binds {cut(need.bind)!r} to what is no source ({cut(_text_of(need))!r})"
                self._tell("shape.conflict", message, place, "requires")
        if foreach is not None and foreach.files and not sources:
            message = " maps over files, and requires no folder and no match to find them in"
            self._tell("shape.conflict", message, place, "foreach")

    # --- parameters

    def _check_parameters(self, parameters: Mapping[str, Any], action: Action, place: Place) -> None:
        """What cannot become a word of a command, a variable of a shell."""
        is_shell = type(action) is Shell
        for name, value in parameters.items():
            if is_shell and (not name or "=" in name):
                message = f": the parameter {cut(name)!r} cannot name a variable of the shell"
                self._tell("shape.value", message, place, "parameters", name)
            elif type(value) is str and "\0" in value and type(action) not in (Snippet, Call):
                self._tell("shape.value", f": parameters.{cut(name)} holds a NUL character", place, "parameters", name)


def make_action(kind: str, fields: Mapping[str, Any]) -> Action:
    """The action under the key `kind`. Fields are checked."""
    value = fields[kind]
    match kind:
        case "command":
            return Command(tuple([word if type(word) is str else Expand(word["expand"]) for word in value]))
        case "shell":
            return Shell(value)
        case "python":
            return Snippet(value)
        case "script":
            return Script(value)
        case "function":
            return _make_call(value, fields)
        case _:
            serialized = Serialized(value.get("path"), value.get("data"), value.get("format") or "cloudpickle")
            return _make_call(serialized, fields)


def _make_call(function: str | Serialized, fields: Mapping[str, Any]) -> Call:
    code = fields.get("code")
    return Call(
        function, fields.get("digest"), MappingProxyType(code) if code else NOTHING, tuple(fields.get("paths") or ())
    )


def make_opaque(fields: Mapping[str, Any]) -> Opaque:
    """From the checked value of a parameter under `opaque`."""
    return Opaque(fields["pickle"], fields["digest"], fields.get("shown") or "")


def make_dependency(item: Any) -> Dependency:
    """From a name or its longer form."""
    if type(item) is str:
        return Dependency(item)
    return Dependency(item["name"], item.get("as"), bool(item.get("each")), bool(item.get("gather")))


def make_requirements(fields: Mapping[str, Any]) -> Requirements:
    """From the checked value of `requires`."""
    if len(fields) == 1 and "files" in fields:  # nearly all that require anything
        return Requirements(tuple([FileNeed(item["path"], item.get("as")) for item in fields["files"] or ()]))
    return Requirements(
        tuple([FileNeed(item["path"], item.get("as")) for item in fields.get("files") or ()]),
        tuple(
            [
                FolderNeed(
                    item["path"],
                    _given(item, "minimum", 1),
                    _given(item, "recursive", False),
                    item.get("as"),
                    _given(item, "source", True),
                )
                for item in fields.get("folders") or ()
            ]
        ),
        tuple([_make_match(item) for item in fields.get("match") or ()]),
        tuple(fields.get("shared_memory") or ()),
        tuple(fields.get("parameters") or ()),
        tuple(fields.get("signal") or ()),
    )


def _given(item: Mapping[str, Any], key: str, default: Any) -> Any:
    value = item.get(key)
    return default if value is None else value


def _text_of(need: FolderNeed | MatchNeed) -> str:
    return need.path if isinstance(need, FolderNeed) else need.pattern


def _make_match(item: Mapping[str, Any]) -> MatchNeed:
    minimum, source = _given(item, "minimum", 1), _given(item, "source", True)
    text = str(_given(item, "glob", item.get("pattern")))
    if item.get("glob") is None and not text.startswith(GLOB_PREFIX):
        return MatchNeed(text, "regex", minimum, item.get("as"), source)
    if item.get("glob") is None:
        text = text.removeprefix(GLOB_PREFIX)
    return MatchNeed(text, "glob", minimum, item.get("as"), source)


def make_product(fields: Mapping[str, Any], is_call: bool) -> Product | None:
    """The product of a task from `product`, and from `type` and `stream` beside it."""
    product = fields.get("product")
    if product is None and not is_call and "type" not in fields and "stream" not in fields:
        return None
    given = product or {}
    kind = given.get("type") or fields.get("type") or "any"
    stream = given.get("stream")
    return Product(
        given.get("source") or ("return" if is_call else "stdout"),
        kind,
        bool(stream if stream is not None else fields.get("stream")),
    )


def make_policy(fields: Mapping[str, Any], is_call: bool, default_resources: Resources) -> Policy:
    """The policy that the checked fields give."""
    get = fields.get
    mapping = get("parameter_mapping")
    attributes, roles = get("attributes"), get("parameter_roles")
    copies, directives = get("copies"), get("directives")
    amounts: Mapping[str, Any] | None = fields.get("resources")
    auto = frozenset() if amounts is None else frozenset(name for name in amounts if amounts[name] == AUTO)
    if amounts is not None and auto:
        amounts = {name: amount for name, amount in amounts.items() if name not in auto}
    return Policy(
        resources=default_resources if amounts is None else make_resources(amounts, default_resources),
        retries=make_retries(fields) if any(key in fields for key in _RETRY_KEYS) else NO_RETRIES,
        timeout=get("timeout"),
        duration=get("duration"),
        product=make_product(fields, is_call),
        foreach=make_foreach(fields["foreach"]) if "foreach" in fields else None,
        mapping=MappingProxyType(mapping) if isinstance(mapping, dict) else mapping,
        roles=MappingProxyType(roles) if roles else NOTHING,
        environment=get("environment"),
        notes=tuple(get("notes") or ()),
        cache=get("cache") or "auto",
        isolation=get("isolation"),
        interruptible=get("interruptible", True),
        template=get("template"),
        priority=get("priority", 0),
        niceness=get("niceness", 0),
        executor=get("executor"),
        queue=get("queue"),
        tags=tuple(get("tags") or ()),
        attributes=MappingProxyType(attributes) if attributes else NOTHING,
        description=get("description"),
        copies=MappingProxyType(copies) if copies else NOTHING,
        directives=MappingProxyType(directives) if directives else NOTHING,
        auto=auto,
    )


def make_resources(amounts: Mapping[str, float], default: Resources) -> Resources:
    """Amounts over the default number of cores."""
    if "cores" not in amounts and default is NO_CORES:
        amounts = {"cores": 0, **amounts}
    made = Resources.of(amounts)
    return ONE_CORE if made == ONE_CORE else NO_CORES if made == NO_CORES else made


def make_retries(fields: Mapping[str, Any]) -> Retries:
    """The retry policy that the checked fields give."""
    scales = fields.get("resource_scales")
    retry_on = fields.get("retry_on")
    return Retries(
        fields.get("max_attempts", 1),
        fields.get("retry_delay", 0),
        None if retry_on is None else tuple(retry_on),
        None
        if scales is None
        else tuple((name, tuple(by) if isinstance(by, list) else by) for name, by in scales.items()),
        fields.get("scale_on", "exhausted"),
        tuple(fields.get("fallback_queues") or ()),
    )


def make_foreach(item: Mapping[str, Any]) -> Foreach:
    """From the checked value of `foreach`."""
    values = item.get("values")
    return Foreach(
        bool(item.get("files")), None if values is None else tuple(values), item.get("stream"), item.get("as")
    )


def subject_of(name: str) -> str:
    """How a task is called in messages."""
    return f"task {cut(name)!r}"
