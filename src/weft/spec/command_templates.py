"""A command with slots, whose arguments have roles: what the tasks of one template have in common (workflows.md 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from string import Formatter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from weft.errors import ArgumentError, cut, hint_nearest
from weft.spec.actions import Command, Shell
from weft.spec.identity import template_digest, text_of_value
from weft.spec.slots import ShellSlotError, fill, fill_shell
from weft.spec.tasks import Role, name_problem

NAME_LIMIT: Final = 249  # characters of a default name; workflows.md 2.3
SHELL_SYNTAX: Final = frozenset("|&;<>()*?~$`")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OWN_WORDS = re.compile(r"""[/\\'"]""")
_SUFFIX_BYTES: Final = 8


class TemplateError(ArgumentError):
    """A template that cannot be. mistakes: all of them."""

    def __init__(self, name: str, mistakes: Iterable[str]):
        self.mistakes = tuple(mistakes)
        super().__init__(f"task template {cut(name)!r}: " + "; ".join(self.mistakes))


class CommandTemplate(NamedTuple):
    """action: with `{slots}`, shared by all tasks of the template, whose parameters fill it. digest: of this version."""

    name: str
    text: str
    node_args: tuple[str, ...]
    task_args: tuple[str, ...]
    op_args: tuple[str, ...]
    action: Command | Shell
    roles: Mapping[str, Role]
    digest: bytes

    @property
    def args(self) -> tuple[str, ...]:
        """Names of all arguments."""
        return (*self.node_args, *self.task_args, *self.op_args)

    @property
    def uses_shell(self) -> bool:
        """Whether a shell reads the command."""
        return isinstance(self.action, Shell)


def command_template(
    name: str,
    text: str,
    node_args: Iterable[str] | None = None,
    task_args: Iterable[str] | None = None,
    op_args: Iterable[str] | None = None,
    shell: Any = None,
    tool: str = "",
) -> CommandTemplate:
    """shell: None lets the text decide. tool: the name of the one that it belongs to. Raises TemplateError with every mistake."""
    mistakes: list[str] = []
    if not isinstance(name, str) or not isinstance(text, str):
        raise TemplateError(str(name), ["its name and its command are texts"])
    problem = name_problem(name)
    if problem is not None:
        mistakes.append(problem)
    lists = [_arg_names(kind, names, mistakes) for kind, names in _kinds(node_args, task_args, op_args)]
    slots = _slots(text, mistakes)
    _check_roles(lists, slots, mistakes)
    action = _action(text, slots, shell, mistakes)
    if mistakes or action is None:
        raise TemplateError(name, mistakes)
    roles: dict[str, Role] = {}
    for role, names in zip(_ROLES, lists, strict=True):
        roles.update(dict.fromkeys(names, role))
    nodes, tasks, ops = lists
    version = template_digest(name, text, nodes, tasks, ops, tool)
    return CommandTemplate(name, text, nodes, tasks, ops, action, MappingProxyType(roles), version)


_ROLES: Final[tuple[Role, ...]] = ("node", "task", "op")


def _kinds(*lists: Iterable[str] | None) -> Iterator[tuple[str, Iterable[str]]]:
    for role, names in zip(_ROLES, lists, strict=True):
        yield f"{role}_args", () if names is None else names


def _arg_names(kind: str, names: Iterable[str], mistakes: list[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        mistakes.append(f"{kind} is the text {cut(names)!r}; give a list of names")
        return (names,)
    is_set = isinstance(names, set | frozenset)  # its order may be another one in each process
    given = sorted(names, key=str) if is_set else list(names)
    for each in given:
        if not isinstance(each, str) or not each.isidentifier():
            mistakes.append(f"{kind} holds {cut(repr(each))}, which is no name of an argument")
        elif each == "name":
            mistakes.append("an argument may not be called 'name': that is the task's own")
    known = [each for each in given if isinstance(each, str)]
    mistakes.extend(f"{kind} names {cut(each)!r} twice" for each in dict.fromkeys(known) if known.count(each) > 1)
    return tuple(dict.fromkeys(known))


def _slots(text: str, mistakes: list[str]) -> tuple[str, ...]:
    """Names in the order of the command."""
    found: list[str] = []
    try:
        for _, field, form, conversion in Formatter().parse(text):
            if field is None:
                continue
            if form or conversion or not field.isidentifier():
                shown = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
                mistakes.append(f"{{{cut(shown)}}} is more than a name: a slot is {{name}}, braces are {{{{ and }}}}")
            else:
                found.append(field)
    except ValueError:
        mistakes.append("a brace stands alone in the command: a slot is {name}, braces are {{ and }}")
    return tuple(dict.fromkeys(found))


def _check_roles(lists: list[tuple[str, ...]], slots: tuple[str, ...], mistakes: list[str]) -> None:
    declared = [name for names in lists for name in names]
    for name in dict.fromkeys(declared):
        roles = [role for role, names in zip(_ROLES, lists, strict=True) if name in names]
        if len(roles) > 1:
            mistakes.append(f"{name!r} is declared as {' and '.join(f'{role} arg' for role in roles)}")
        if name not in slots:
            mistakes.append(f"{name!r} is declared, but the command has no slot {{{name}}}{_near(name, slots)}")
    mistakes.extend(
        f"the slot {{{name}}} is in none of node_args, task_args, op_args{_near(name, declared)}"
        for name in slots
        if name not in declared
    )


def _near(name: str, known: Iterable[str]) -> str:
    hint = hint_nearest(name, known)
    return f" ({hint})" if hint else ""


def _action(text: str, slots: tuple[str, ...], shell: Any, mistakes: list[str]) -> Command | Shell | None:
    import shlex  # late: plans without templates need no splitting

    if shell is not None and not isinstance(shell, bool):
        mistakes.append(f"shell is True, False or None, not {cut(repr(shell))}")
        return None
    if not text.strip():
        mistakes.append("its command is empty")
        return None
    if "\x00" in text:
        mistakes.append("its command holds a NUL character, which no command can")
        return None
    if needs_shell(text) if shell is None else shell:
        for name in slots:
            if re.search(r"(?<!\$)(?:\$\$)*\$\{" + name + r"\}", text):
                mistakes.append(f"${{{name}}} would be a variable of the shell: write {{{name}}}, or ${{{{{name}}}}}")
        # Without arguments its tasks have no parameters, and then braces of a script are the shell's own (decision 0006).
        return Shell(text if slots or mistakes else fill_shell(text, {}))
    try:
        words = shlex.split(_continued(text))
    except ValueError as error:
        mistakes.append(f"its command cannot be split into arguments: {str(error)[:1].lower() + str(error)[1:]}")
        return None
    return Command(tuple(words))


def needs_shell(text: str) -> bool:
    """Whether the text holds shell syntax that no quotes take away, or begins with an assignment.

    `$` and backticks count inside double quotes, too: a shell would expand them there.
    """
    if _ASSIGNMENT.match(text.lstrip()):
        return True
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in "$`":
                return True
        elif character in "'\"":
            quote = character
        elif character in SHELL_SYNTAX:
            return True
        position += 1
    return False


def _continued(text: str) -> str:
    """Without backslashes at line ends, which a shell takes away but inside single quotes."""
    if "\\\n" not in text:
        return text
    return re.sub(r"('[^']*')|\\\n", lambda found: found[1] or "", text)


# --- values ------------------------------------------------------------------------------------------------------------


def check_args(template: CommandTemplate, given: Iterable[str]) -> None:
    """Raises ArgumentError that names every missing and every unexpected argument."""
    names = set(given)
    wanted = template.args
    if names.issuperset(wanted) and len(names) == len(wanted):
        return
    missing = [name for name in wanted if name not in names]
    unexpected = sorted(names.difference(wanted))
    parts = []
    if missing:
        parts.append(f"lacks {', '.join(map(repr, missing))}")
    if unexpected:
        shown = [f"{cut(name)!r}{_near(name, missing or wanted)}" for name in unexpected]
        parts.append(f"takes no {', '.join(shown)}")
    raise ArgumentError(
        f"a task of template {cut(template.name)!r} {' and '.join(parts)}; its arguments are "
        f"{', '.join(wanted) or 'none'}"
    )


def argv_of(template: CommandTemplate, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The finished words; None when a shell reads the command."""
    if isinstance(template.action, Shell):
        return None
    texts = {name: text_of_value(value) for name, value in values.items()}
    return tuple(fill(word, texts) for word in template.action.argv if isinstance(word, str))


def filled_action(template: CommandTemplate, values: Mapping[str, Any]) -> Command | Shell:
    """The action with nothing left to fill, for a task whose parameters are these values. Raises ArgumentError."""
    if not values:
        return template.action
    texts = {name: text_of_value(value) for name, value in values.items()}
    if isinstance(template.action, Command):
        return Command(tuple(_escaped(fill(word, texts)) for word in template.action.argv if isinstance(word, str)))
    try:
        return Shell(_escaped(fill_shell(template.action.script, texts)))
    except ShellSlotError as error:
        raise ArgumentError(str(error)) from None


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def command_of(template: CommandTemplate, values: Mapping[str, Any]) -> str:
    """The command as one would type it in a shell. Raises ArgumentError where a value cannot be quoted."""
    texts = {name: text_of_value(value) for name, value in values.items()}
    try:
        return fill_shell(template.text, texts)
    except ShellSlotError as error:
        words = argv_of(template, texts)
        if words is None:
            raise ArgumentError(f"template {cut(template.name)!r}: {error}") from None
        from shlex import join

        return join(words)


def default_name(template: CommandTemplate, values: Mapping[str, Any]) -> str:
    """`<template>_<arg>-<value>_…` over node args, over task args when there are none; at most NAME_LIMIT characters."""
    names = template.node_args or template.task_args
    return shorten_name("_".join([safe_text(template.name), *(f"{name}-{safe_text(values[name])}" for name in names)]))


def safe_text(value: Any) -> str:
    """A value as part of a name: slashes, quotes, blanks and what cannot be printed as `_`."""
    text = text_of_value(value)
    if text.isalnum():
        return text
    text = _OWN_WORDS.sub("_", text)
    return "".join("_" if each.isspace() or not each.isprintable() else each for each in text)


def shorten_name(name: str) -> str:
    """What is too long ends in a digest of the whole instead."""
    if len(name) <= NAME_LIMIT:
        return name
    return _ending_in(name, blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_SUFFIX_BYTES).digest())


def distinct_name(name: str, node: bytes) -> str:
    """A default name that another task would have, too, with the identity that tells them apart. node: the node's digest."""
    return _ending_in(name, node[:_SUFFIX_BYTES])


def _ending_in(name: str, digest: bytes) -> str:
    return f"{name[: NAME_LIMIT - 2 * _SUFFIX_BYTES - 1]}_{digest.hex()}"
