"""Identity of work: canonical bytes of plain data, their digests, and the parts of a fingerprint that the plan alone tells.

Canonical bytes are self-delimiting and typed, so two values have the same bytes only if they are the same: 1, 1.0, true and
"1" all differ. Lists and tuples are one kind (JSON knows one); an object's bytes do not depend on the order of its keys. 0.0 and
-0.0 differ, because what runs can tell them apart; all NaNs are one, because nothing can.

A fingerprint is a tree (design.md 10): a digest per named part, and one over all parts. What belongs to a task, and why:

in `kind`: name, kind of action. Another task's work, or another way to run the same text, is no stand-in.
in `code`: argv, script, source, reference or bytes of a function, parameter mapping. It is what runs.
in `parameters`: parameters of role node and task, plan options that fill slots or are required, the name of a mapped item. They
    are what it runs on. Those of role op are out: they are declared to change how, never what (workflows.md).
in `environment`: python, requirements, path. They can change the result. Variables only if the environment says `fingerprint`,
    else they are credentials, hosts, paths; and then their text, never what a shell makes of it.
in `outputs`: declared names, product's source and type. Other files, or another product, are not there yet.
in `inputs`, `dependencies`: content of required files, folders and patterns with the files that they find, mapped items,
    products. Added by who can see them.
out: dependencies that bind nothing, requires.signal, shared_memory. They order; they hand on nothing.
out: resources, retries, timeout, duration, priority, niceness, executor, queue, isolation, interruptible. Where, not what.
out: notes, tags, attributes, description, template, the environment's name, cache. Said about the task, not done by it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet, kind_of
from weft.spec.environments import Environment, ShellValue, Withheld
from weft.spec.options import Opaque
from weft.spec.plan import Plan
from weft.spec.slots import shell_slots_in, slots_in
from weft.spec.tasks import Task

VERSION: Final = 1  # part of every combined fingerprint; raise it when the same task must count as changed
DIGEST_BYTES: Final = 32
DEEPEST: Final = 100_000  # containers in containers; beyond it a value holds itself

PARTS: Final = ("kind", "code", "parameters", "environment", "outputs")
"""What the plan alone tells; `inputs` and `dependencies` come from the world."""

_double = struct.Struct(">d").pack
_NAN: Final = b"f" + _double(float("nan"))
_first = itemgetter(0)
_CONSTANTS: Final[Mapping[object, bytes]] = {None: b"n", True: b"T", False: b"F"}


# --- canonical bytes ---------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """Typed, self-delimiting bytes of plain data. Raises TypeError for other data, ValueError if it holds itself.

    A container is its kind, its length, then its members; an object's keys, sorted by their bytes, come before its values.
    """
    scalar = _scalar(value)
    if scalar is not None:
        return scalar
    head, members = _open(value)
    pieces, stack = [head], [iter(members)]
    append = pieces.append
    while stack:
        for member in stack[-1]:
            if type(member) is str:  # nearly all there is in a plan
                text = member.encode("utf-8", "surrogatepass")
                append(b"s%d:%b" % (len(text), text))
                continue
            scalar = _scalar(member)
            if scalar is not None:
                append(scalar)
                continue
            head, members = _open(member)
            append(head)
            stack.append(iter(members))
            break
        else:
            stack.pop()
        if len(stack) > DEEPEST:
            raise ValueError(f"the value is nested more than {DEEPEST} deep, or holds itself")
    return b"".join(pieces)


def _scalar(value: Any) -> bytes | None:
    """Bytes of a value that holds no others; None for containers and for what is no plain data."""
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")  # names of files may hold lone surrogates
        return b"s%d:%b" % (len(text), text)
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int):
        return b"i%x;" % value  # hexadecimal: Python limits the length of decimal conversions, not of these
    if isinstance(value, float):
        return b"f" + _double(value) if value == value else _NAN
    if isinstance(value, bytes | bytearray):
        return b"b%d:%b" % (len(value), bytes(value))
    if isinstance(value, Opaque):
        return b"o%d:%b" % (len(value.digest), value.digest.encode("ascii"))
    return None


def _open(value: Any) -> tuple[bytes, Sequence[Any]]:
    """What a container begins with, and the members that follow."""
    if isinstance(value, list | tuple):
        return b"l%d:" % len(value), value
    if not isinstance(value, Mapping):
        raise TypeError(f"a {type(value).__name__} is no plain data, so it has no canonical bytes")
    if not value:
        return b"d0:", ()
    ordered = sorted([(_key(key), key) for key in value], key=_first)
    return b"d%d:%b" % (len(value), b"".join([key for key, _ in ordered])), [value[key] for _, key in ordered]


def _key(key: Any) -> bytes:
    scalar = _scalar(key)
    if scalar is None:
        raise TypeError(f"a {type(key).__name__} is no key of plain data")
    return scalar


def digest(value: Any) -> str:
    """blake2b (hex) of the canonical bytes."""
    return blake2b(canonical(value), digest_size=DIGEST_BYTES).hexdigest()


def combine(parts: Mapping[str, str]) -> str:
    """The fingerprint (hex) of named parts; independent of their order."""
    text = "".join([f"{len(name)}:{name}{len(part)}:{part}" for name, part in sorted(parts.items())])
    return blake2b(f"weft {VERSION};{text}".encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


# --- parts of a task ---------------------------------------------------------------------------------------------------


def task_parts(plan: Plan, task: Task) -> dict[str, str]:
    """Digests of PARTS; of a mapped task what its instances share."""
    policy = task.policy
    environment = plan.environments.get(policy.environment) if policy.environment is not None else None
    product = policy.product
    handed_on = (product.source, product.type, product.stream) if product is not None else None
    parameters = _parameters(plan, task)
    return {
        "kind": digest((task.name, _kind(task.action))),
        "code": digest((_code(task.action), policy.mapping)),
        "parameters": digest(parameters) if parameters != _NOTHING else _NO_PARAMETERS,
        "environment": digest(_environment(environment)) if environment is not None else _NO_ENVIRONMENT,
        "outputs": digest((task.outputs, handed_on)),
    }


def _kind(action: Action) -> str:
    """A typed task's function counts by its code, whether it comes by reference or, of a script or notebook, by value."""
    return "function" if isinstance(action, Call) and action.code else kind_of(action)


def _code(action: Action) -> Any:
    match action:
        case Command(argv):
            return [word if isinstance(word, str) else {"expand": word.text} for word in argv]
        case Shell(script):
            return script
        case Snippet(source):
            return source
        case Script(path):
            return path
        case Call(Serialized(path, data, form), source_digest):
            return (form, path, data, source_digest)
        case Call(function, source_digest):
            return (function, source_digest)


def _parameters(plan: Plan, task: Task) -> tuple[Mapping[str, Any], Mapping[str, Any], str | None]:
    roles = task.policy.roles
    own = task.parameters
    if roles:
        own = {name: value for name, value in own.items() if roles.get(name, "task") != "op"}
    foreach = task.policy.foreach
    bind = foreach.bind if foreach is not None else None
    if not plan.values:
        return (own, {}, bind)
    written = (*slots_of(plan, task), *(name for path in task.outputs for name in slots_in(path)))
    options = {
        name: plan.values[name]
        for name in (*written, *task.requires.parameters)
        if name in plan.values and name not in task.parameters
    }
    return (own, options, bind)


def slots_of(plan: Plan, task: Task) -> tuple[str, ...]:
    """Names of the slots that are filled when the task starts. A script's are active if anything could fill them."""
    if isinstance(task.action, Command):
        words = [word for word in task.action.argv if isinstance(word, str)]
        return tuple(dict.fromkeys(name for word in words for name in slots_in(word)))
    if isinstance(task.action, Shell) and (task.parameters or plan.options):
        return shell_slots_in(task.action.script)
    return ()


def _environment(environment: Environment) -> Any:
    variables = None
    if environment.fingerprint:
        variables = [
            (name, {_VALUE_KIND[type(value)]: _value_text(value)} if not isinstance(value, str) else value)
            for name, value in environment.variables
        ]
    return (environment.python, environment.requirements, environment.path, variables)


_VALUE_KIND: Final[Mapping[type, str]] = {Expand: "expand", ShellValue: "shell", Withheld: "withheld"}


def _value_text(value: Expand | ShellValue | Withheld) -> str:
    match value:
        case Expand(text):
            return text
        case ShellValue(command):
            return command
        case Withheld(of_the_value):
            return of_the_value


_NO_ENVIRONMENT: Final = digest(None)

_NOTHING: Final[tuple[Mapping[str, Any], Mapping[str, Any], None]] = ({}, {}, None)
_NO_PARAMETERS: Final = digest(_NOTHING)
