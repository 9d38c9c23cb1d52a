"""The JSON Schema of native documents, made from the models that check them (`weft schema`)."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema

from weft.formats import native_models
from weft.formats.native_tasks import ACTIONS
from weft.formats.notes import notes_schema
from weft.formats.schema_parts import any_of, named

_SECTIONS = {
    "options": native_models.OptionModel,
    "types": native_models.TypeModel,
    "environments": native_models.EnvironmentModel,
    "notes": native_models.NoteModel,
    "templates": native_models.TaskModel,
    "tasks": native_models.TaskModel,
}


class _Generator(GenerateJsonSchema):
    """Without the titles that only repeat a key's name, under the present draft."""

    schema_dialect = "https://json-schema.org/draft/2020-12/schema"

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> dict[str, Any]:
        made = super().generate(schema, mode)
        return {"$schema": self.schema_dialect, **made}


def native_schema() -> dict[str, Any]:
    """The schema (draft 2020-12): every valid native document fits it. References between tasks are beyond a schema."""
    models = [native_models.PlanModel, *dict.fromkeys(_SECTIONS.values())]
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (model.__name__, "validation", TypeAdapter(model)) for model in models
    ]
    references, schema = TypeAdapter.json_schemas(inputs, ref_template="#/$defs/{model}", schema_generator=_Generator)
    definitions = schema["$defs"]
    for definition in definitions.values():
        definition.pop("title", None)
    plan = definitions.pop("PlanModel")
    definitions["NoteModel"] = notes_schema()
    for section, model in _SECTIONS.items():
        entries = named(references[model.__name__, "validation"])
        plan["properties"][section] = entries if section == "tasks" else {"anyOf": [entries, {"type": "null"}]}
    task = references["TaskModel", "validation"]
    plan["properties"]["defaults"] = {"anyOf": [task, {"type": "null"}]}
    # Without defaults, which could give one, a task has an action or a template.
    active = {"properties": {"tasks": {"additionalProperties": any_of("template", *ACTIONS)}}}
    plan |= {"if": {"not": {"required": ["defaults"]}}, "then": active}
    return {
        "$schema": _Generator.schema_dialect,
        "title": "weft plan",
        **{key: value for key, value in plan.items() if key != "description"},
        "$defs": definitions,
    }
