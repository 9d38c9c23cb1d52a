"""The native dialect: a document in the normal form of design.md section 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from weft.errors import cut, hint_nearest, nearest
from weft.formats.draft import Draft
from weft.formats.mistakes import Document, Mistakes, pointer, show
from weft.formats.native_tasks import ACTIONS, LIMITS, Fields, TaskMaker, merge, subject_of, without_nulls
from weft.formats.plain import is_plain_plan, is_plain_task
from weft.formats.shape import Place, check, keys_of
from weft.spec.actions import Expand
from weft.spec.environments import Environment, ShellValue, VariableValue
from weft.spec.options import MISSING, Option
from weft.spec.plan import Source, Template
from weft.spec.resources import to_units
from weft.spec.tasks import name_problem
from weft.spec.types import BUILTIN, Type

if TYPE_CHECKING:
    from weft.spec.notes import Note


def load_native(document: Document, mistakes: Mistakes, allow_shell: bool) -> Draft:
    """The document's draft. allow_shell: whether variables may be the output of shell commands."""
    draft = Draft(document, "native", ("tasks",))
    file, raw = document.path, document.data
    place = Place(file, (), "the plan")
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"a native plan is an object, not {show(raw)}", file, "")
        return draft
    if is_plain_plan(raw):
        fields: Fields = raw
    else:
        fields = without_nulls(check("PlanModel", raw, place, mistakes)[0] or {})
    draft.name, draft.description = fields.get("name"), fields.get("description")
    draft.root, draft.order = fields.get("root"), fields.get("order")
    draft.attributes, draft.family = fields.get("attributes", {}), fields.get("family") or ""
    draft.limits = {name: to_units(name, amount) for name, amount in fields.get("limits", {}).items()}
    draft.sources = tuple(Source(item["path"], item["dialect"], item["digest"]) for item in fields.get("source", ()))
    draft.options = dict(_options(_entries(raw, "options", "OptionModel", "option", file, mistakes)))
    draft.types = dict(_types(_entries(raw, "types", "TypeModel", "type", file, mistakes), file, mistakes))
    environments = _entries(raw, "environments", "EnvironmentModel", "environment", file, mistakes)
    draft.environments = dict(_environments(environments))
    if not allow_shell:
        _refuse_shell_values(raw, file, mistakes)
    draft.notes = dict(_notes(raw, file, mistakes))
    templates = _templates(raw, file, mistakes)
    draft.templates = {name: Template(name, MappingProxyType(fields)) for name, fields in templates.items()}
    return draft


def load_tasks(draft: Draft, all_templates: Mapping[str, Fields], mistakes: Mistakes) -> None:
    """Make the draft's tasks. all_templates: of all documents, because a task may use another file's."""
    raw, file = draft.document.consume(), draft.file
    tasks = raw.get("tasks") if isinstance(raw, dict) else None
    if not isinstance(tasks, dict):
        return
    defaults = _defaults(raw, file, mistakes)
    based = {name: merge(defaults, fields) for name, fields in all_templates.items()} if defaults else all_templates
    maker = TaskMaker(file, mistakes)
    for name in list(tasks):
        body = tasks.pop(name)
        place = Place(file, ("tasks", name), subject_of(name))
        problem = name_problem(name)
        if problem:
            mistakes.error("name.invalid", f"{place.subject}: {problem}", file, pointer("tasks", name), at_key=True)
        fields, is_sound = (body, True) if is_plain_task(body) else check("TaskModel", body, place, mistakes)
        if fields is None:
            draft.broken[name] = name
            continue
        if None in fields.values():
            fields = without_nulls(fields, LIMITS)
        template = fields.get("template")
        if template is not None:
            below = based.get(template)
            if below is None:
                _tell_template(template, all_templates, place, mistakes)
                is_sound = False
            else:
                fields = merge(below, fields)
        elif defaults:
            fields = merge(defaults, fields)
        if None in fields.values():
            fields = without_nulls(fields)
        if not is_sound:
            draft.unsound.add(len(draft.tasks))
        draft.tasks.append(maker.make(name, fields, place, is_sound or not _asks_for_action(body)))
        draft.keys.append(name)


def _asks_for_action(body: Mapping[str, Any]) -> bool:
    """Whether a task names an action, or something that was meant to be one: where that is lost, its lack is no news."""
    if "template" in body or not body.keys().isdisjoint(ACTIONS):
        return True
    known = keys_of("TaskModel")
    return any(key not in known and nearest(key, ACTIONS) is not None for key in body)


def _tell_template(template: str, known: Mapping[str, Any], place: Place, mistakes: Mistakes) -> None:
    message = f"{place.subject} uses the template {cut(template)!r}, which does not exist"
    location = pointer(*place.base, "template")
    mistakes.error("ref.template", message, place.file, location, hint_nearest(template, known))


def _entries(
    raw: Mapping[str, Any], section: str, model: str, word: str, file: str, mistakes: Mistakes
) -> Iterator[tuple[str, Fields]]:
    entries = raw.get(section)
    if not isinstance(entries, dict):
        return
    for name, body in entries.items():
        place = Place(file, (section, name), f"{word} {cut(name)!r}", section == "environments")
        problem = name_problem(name)
        if problem:
            mistakes.error("name.invalid", f"{place.subject}: {problem}", file, pointer(section, name), at_key=True)
        fields, is_sound = check(model, body, place, mistakes)
        fields = fields or {}
        if section == "options":
            # `null` is a default like any other; one that was lost with a broken option is not missing besides.
            yield name, fields if is_sound else {"default": None, **fields}
        else:
            yield name, without_nulls(fields, LIMITS if section == "templates" else frozenset())


def _options(entries: Iterator[tuple[str, Fields]]) -> Iterator[tuple[str, Option]]:
    for name, fields in entries:
        yield name, Option(fields.get("type") or "any", fields.get("default", MISSING), fields.get("description"))


def _types(entries: Iterator[tuple[str, Fields]], file: str, mistakes: Mistakes) -> Iterator[tuple[str, Type]]:
    for name, fields in entries:
        if name in BUILTIN:
            message = f"type {name!r} is built in and cannot be defined again"
            mistakes.error("name.duplicate", message, file, pointer("types", name), at_key=True)
            continue
        choices = fields.get("choices")
        yield (
            name,
            Type(
                name,
                fields.get("parent"),
                fields.get("minimum"),
                fields.get("maximum"),
                fields.get("pattern"),
                None if choices is None else tuple(choices),
                fields.get("description"),
                fields.get("predicate"),
                tuple(fields.get("paths") or ()),
                fields.get("items"),
            ),
        )


def _environments(entries: Iterator[tuple[str, Fields]]) -> Iterator[tuple[str, Environment]]:
    for name, fields in entries:
        variables = tuple((key, make_variable(value)) for key, value in (fields.get("variables") or {}).items())
        yield name, make_environment(fields, variables)


def _refuse_shell_values(raw: Mapping[str, Any], file: str, mistakes: Mistakes) -> None:
    environments = raw.get("environments")
    for name, body in environments.items() if isinstance(environments, dict) else ():
        variables = body.get("variables") if isinstance(body, dict) else None
        for variable, value in variables.items() if isinstance(variables, dict) else ():
            if isinstance(value, dict) and "shell" in value:
                message = f"environment {cut(name)!r}: variable {cut(variable)!r} is the output of a shell command"
                location = pointer("environments", name, "variables", variable)
                mistakes.error("policy.refused", message, file, location, "--no-shell-eval forbids it")


def make_variable(value: Any) -> VariableValue:
    """From a text, `{"expand": text}` or `{"shell": text}`."""
    if isinstance(value, str):
        return value
    return Expand(value["expand"]) if "expand" in value else ShellValue(value["shell"])


def make_environment(fields: Mapping[str, Any], variables: tuple[tuple[str, VariableValue], ...]) -> Environment:
    """From checked fields."""
    return Environment(
        fields.get("python"),
        tuple(fields.get("requirements") or ()),
        fields.get("path"),
        variables,
        bool(fields.get("fingerprint")),
    )


def _notes(raw: Mapping[str, Any], file: str, mistakes: Mistakes) -> Iterator[tuple[str, Note]]:
    entries = raw.get("notes")
    if not isinstance(entries, dict):
        return
    from weft.formats.notes import read_note  # late: few plans have notes

    for name, body in entries.items():
        place = Place(file, ("notes", name), f"note {cut(name)!r}")
        problem = name_problem(name)
        if problem:
            mistakes.error("name.invalid", f"{place.subject}: {problem}", file, pointer("notes", name), at_key=True)
        yield name, read_note(body, "kind", place, mistakes)


def _templates(raw: Mapping[str, Any], file: str, mistakes: Mistakes) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    for name, fields in _entries(raw, "templates", "TaskModel", "template", file, mistakes):
        found[name] = _base_fields(fields, f"template {cut(name)!r}", ("templates", name), file, mistakes)
    return found


def _defaults(raw: Mapping[str, Any], file: str, mistakes: Mistakes) -> Fields:
    body = raw.get("defaults")
    if not isinstance(body, dict):
        return {}
    fields, _ = check("TaskModel", body, Place(file, ("defaults",), "the defaults"), mistakes)
    return _base_fields(without_nulls(fields or {}), "the defaults", ("defaults",), file, mistakes)


def _base_fields(fields: Fields, subject: str, base: tuple[str, ...], file: str, mistakes: Mistakes) -> Fields:
    """What stands below tasks: no template of its own, at most one action."""
    if "template" in fields:
        mistakes.error(
            "shape.unknown_key", f"{subject} may not use a template itself", file, pointer(*base, "template")
        )
        fields = {key: value for key, value in fields.items() if key != "template"}
    given = [key for key in ACTIONS if key in fields]
    if len(given) > 1:
        mistakes.error("action.many", f"{subject} has {len(given)} actions: {', '.join(given)}", file, pointer(*base))
    return fields
