"""The workflow dialect: templates, tasks of them, arrays (dialects.md 4); what the keys mean is told in workflows.md."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from weft.errors import ArgumentError, cut, hint_nearest
from weft.formats.draft import Draft
from weft.formats.mistakes import NO_DATA, Document, Mistakes, pointer, show
from weft.formats.parse import parse
from weft.formats.read import FORMAT_BY_SUFFIX, read_text
from weft.formats.shape import Place, check, is_free, keys_of
from weft.formats.workflow_levels import NO_FILE, Levels
from weft.formats.workflow_tasks import TemplatedMaker
from weft.formats.workflow_templates import TemplateDraft, read_template
from weft.spec.compute import NO_LIMIT, limit_name
from weft.spec.plan import RESOURCES, Source
from weft.spec.resource_files import ResourceFile, read_resource_file
from weft.spec.resources import MICRO
from weft.spec.tasks import name_problem

DEFAULT_TOOL: Final = "default"
_SECTIONS: Final = ("templates", "arrays", "tasks")
_ORIGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "dependencies": ("upstream_tasks",),
    "resources": ("compute_resources",),
    "timeout": ("compute_resources", "runtime"),
    "queue": ("compute_resources", "queue"),
    "executor": ("cluster_name",),
    "parameters": ("args",),
    "attributes": ("task_attributes",),
}
"""Where a key of the normal form stands in a task or an array."""


@dataclass(slots=True)
class WorkflowDraft(Draft):
    """A draft whose tasks come from two lists. places: of each task, the path of its entry."""

    places: list[tuple[str | int, ...]] = field(default_factory=list)

    def raw(self, position: int) -> Any:
        """The entry that the task came from: an array's stands for all of its tasks."""
        return self._at(self.places[position])

    def pointer_of(self, position: int, *rest: str | int) -> str:
        """JSON pointer of the entry, or of what a key of the normal form was made from."""
        if rest:
            rest = (*_ORIGINS.get(str(rest[0]), rest[:1]), *rest[1:])
        return pointer(*self.places[position], *self._existing(self.raw(position), rest))

    def dependency_place(self, position: int, name: str) -> str:
        """JSON pointer of the item of `upstream_tasks` that names `name`."""
        raw = self.raw(position)
        names = raw.get("upstream_tasks") if isinstance(raw, dict) else None
        if isinstance(names, list) and name in names:
            return pointer(*self.places[position], "upstream_tasks", names.index(name))
        return self.pointer_of(position, "dependencies")


def load_workflow(document: Document, root: str, mistakes: Mistakes) -> Draft:
    """The draft of a document. root: what the path of its resource file is relative to."""
    draft = WorkflowDraft(document, "workflow", ())
    raw, file = document.data, document.path
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"a workflow is an object, not {show(raw)}", file, "")
        return draft
    place = Place(file, (), "the document")
    fields = known_keys(raw, "DocumentModel", place, mistakes)
    top, _ = check("DocumentModel", fields, place, mistakes)
    top = top or {}
    settings = _workflow_settings(top.get("workflow"), file, mistakes)
    tool = top.get("tool", DEFAULT_TOOL)
    draft.name = _name(settings, top, mistakes, file)
    draft.description = settings.get("description", top.get("description"))
    resources = _resource_file(draft, top, root, mistakes)
    levels = Levels(Place(file, ("workflow",), "the workflow"), settings, resources, tool, mistakes)
    caps: dict[str, int] = {}
    if "max_concurrently_running" in settings:
        whole = draft.name or settings.get("workflow_args") or tool
        caps[limit_name(whole)] = settings["max_concurrently_running"]
    templates = dict(_templates(top, file, levels, mistakes))
    draft.templates = {name: each.native(levels) for name, each in templates.items()}
    maker = TemplatedMaker(draft, templates, levels, tuple(caps), mistakes)
    for section in ("arrays", "tasks"):
        for path, name, body in _items(top, section, file, mistakes):
            maker.add(path, name, body, is_array=section == "arrays")
    maker.tell_apart()
    caps.update({limit_name(name): each.cap for name, each in templates.items() if each.cap is not None})
    draft.limits = {name: min(cap, NO_LIMIT) * MICRO for name, cap in {**caps, **maker.caps}.items()}
    draft.attributes = _attributes(tool, settings, templates)
    return draft


def known_keys(body: Mapping[str, Any], model: str, place: Place, mistakes: Mistakes) -> dict[str, Any]:
    """The keys that mean something; what is null is absent, what means nothing is told."""
    known = keys_of(model)
    kept: dict[str, Any] = {}
    for key, value in body.items():
        if key in known:
            if value is not None or key == "upstream_tasks":
                kept[key] = value
        elif not is_free(key):
            message = f"{place.subject} has a key that means nothing here: {cut(key)!r}"
            location = pointer(*place.base, key)
            mistakes.warn("shape.unknown_key", message, place.file, location, hint_nearest(key, known), at_key=True)
    return kept


def _workflow_settings(raw: Any, file: str, mistakes: Mistakes) -> Mapping[str, Any]:
    if raw is None:
        return {}
    place = Place(file, ("workflow",), "the workflow")
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"the document: workflow must be an object, not {show(raw)}", file, "/workflow")
        return {}
    fields, _ = check("WorkflowModel", known_keys(raw, "WorkflowModel", place, mistakes), place, mistakes)
    return fields or {}


def _name(settings: Mapping[str, Any], top: Mapping[str, Any], mistakes: Mistakes, file: str) -> str | None:
    name: str | None = settings.get("name") or top.get("name")
    if name is None:
        name = settings.get("workflow_args") or None
        if name is not None and (problem := name_problem(name)):
            mistakes.error("name.invalid", f"the workflow: workflow_args: {problem}", file, "/workflow/workflow_args")
            return None
    return name


def _resource_file(draft: WorkflowDraft, top: Mapping[str, Any], root: str, mistakes: Mistakes) -> ResourceFile:
    """What the file of `yaml` says; nothing without one, or when it cannot be read."""
    path = top.get("yaml")
    if path is None:
        return NO_FILE
    before = len(mistakes.errors)
    absolute = os.path.abspath(os.path.join(root, path))
    text = read_text(absolute, path, mistakes)
    format = FORMAT_BY_SUFFIX.get(os.path.splitext(path)[1].lower(), "yaml")
    data = parse(text.text, format, path, mistakes) if text is not None else NO_DATA
    if text is None or len(mistakes.errors) != before or data is NO_DATA:
        return NO_FILE
    draft.besides = (Source(absolute, RESOURCES, text.digest),)
    try:
        return read_resource_file(data, path)
    except ArgumentError as error:
        mistakes.error("shape.value", str(error), draft.file, "/yaml")
        return NO_FILE


def _templates(
    top: Mapping[str, Any], file: str, levels: Levels, mistakes: Mistakes
) -> Iterator[tuple[str, TemplateDraft]]:
    entries = top.get("templates")
    if entries is None:
        mistakes.error("shape.missing", "the document has no 'templates'", file, "")
        return
    if not isinstance(entries, dict):
        message = f"the document: templates must be an object, not {show(entries)}"
        mistakes.error("shape.type", message, file, "/templates")
        return
    for name, body in entries.items():
        place = Place(file, ("templates", name), f"template {cut(name)!r}")
        if not isinstance(body, dict):
            mistakes.error(
                "shape.type", f"{place.subject} must be an object, not {show(body)}", file, pointer(*place.base)
            )
            yield name, TemplateDraft(name)
            continue
        fields, _ = check("TemplateModel", known_keys(body, "TemplateModel", place, mistakes), place, mistakes)
        yield name, read_template(name, fields or {}, body, place, levels, mistakes)


def _items(
    top: Mapping[str, Any], section: str, file: str, mistakes: Mistakes
) -> Iterator[tuple[tuple[str | int, ...], str | None, Mapping[str, Any]]]:
    """(path, name by its key or None, entry) of the tasks or arrays."""
    entries = top.get(section)
    if entries is None:
        if section == "tasks" and not top.get("arrays"):
            mistakes.error("shape.missing", "the document has no 'tasks'", file, "")
        return
    if isinstance(entries, dict) and section == "tasks":
        pairs: list[tuple[Any, Any]] = list(entries.items())
    elif isinstance(entries, list):
        pairs = list(enumerate(entries))
    else:
        kinds = "a list or an object" if section == "tasks" else "a list"
        mistakes.error(
            "shape.type", f"the document: {section} must be {kinds}, not {show(entries)}", file, pointer(section)
        )
        return
    for key, body in pairs:
        word = "array" if section == "arrays" else "task"
        subject = f"{word} {cut(key)!r}" if isinstance(key, str) else f"{word} {key}"
        if not isinstance(body, dict):
            mistakes.error("shape.type", f"{subject} must be an object, not {show(body)}", file, pointer(section, key))
            continue
        yield (section, key), key if isinstance(key, str) else None, body


def _attributes(tool: str, settings: Mapping[str, Any], templates: Mapping[str, TemplateDraft]) -> Mapping[str, Any]:
    """What views of a workflow need later: the same as of one that was made in Python."""
    return {
        "workflow": {
            "tool": tool,
            "version": 1,
            "workflow_args": settings.get("workflow_args", ""),
            "name": settings.get("name", ""),
            "description": settings.get("description", ""),
            "attributes": attributes_of(settings.get("workflow_attributes")),
            "templates": {
                name: [*map(list, each.template[2:5]), each.template.digest.hex(), each.template.text]
                for name, each in templates.items()
                if each.template is not None
            },
        }
    }


def attributes_of(raw: Mapping[str, Any] | list[str] | None) -> dict[str, Any]:
    """Attributes as texts; of a list, names without a value."""
    if isinstance(raw, list):
        return dict.fromkeys(raw)
    return {key: value if value is None or isinstance(value, str) else str(value) for key, value in (raw or {}).items()}
