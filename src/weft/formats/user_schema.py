"""The user's own JSON Schema, applied literally to the raw documents in addition to the built-in shape (dialects.md 3)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weft.errors import PlanError, Problem, cut
from weft.formats.mistakes import Document, Mistakes, pointer, show
from weft.formats.odop_keys import spelled
from weft.formats.parse import parse
from weft.formats.read import FORMAT_BY_SUFFIX, read_text

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SECRET_PARTS = ("variables", "environment_variables")
_SHOWN_ERRORS = 3  # of the branches of an `anyOf`, in the hint


def check_documents(schema: str, cwd: str, documents: Sequence[Document], mistakes: Mistakes) -> None:
    """Tell every violation of the schema in the file `schema`, or what is wrong with that file."""
    read_in = _read_schema(schema, cwd, mistakes)
    if read_in is None:
        return
    text, format, data = read_in
    found = Mistakes()
    validator = _validator(data, schema, found)
    _tell_with_places(found, text, format, mistakes)
    if validator is None:
        return
    for document in documents:
        _check(validator, schema, document, mistakes)


def _read_schema(schema: str, cwd: str, mistakes: Mistakes) -> tuple[str, str, Any] | None:
    """The file's text, its format and its data."""
    text = read_text(os.path.join(cwd, schema), schema, mistakes)
    if text is None:
        return None
    found = Mistakes()
    format = FORMAT_BY_SUFFIX.get(os.path.splitext(schema)[1].lower(), "json")
    data = parse(text.text, format, schema, found)
    mistakes.errors.extend(found.errors)
    return None if found.errors else (text.text, format, data)


def _tell_with_places(found: Mistakes, text: str, format: str, mistakes: Mistakes) -> None:
    """The schema is no document, whose places would be looked up later."""
    if not found.errors:
        return
    from weft.formats.positions import places  # late: sound schemas have no mistakes to find

    known = places(text, format, [mistake.location or "" for mistake in found.errors])
    for mistake in found.errors:
        _, (line, column) = known.get(mistake.location or "", ((None, None), (None, None)))
        mistakes.errors.append(mistake._replace(line=line, column=column))


def _validator(data: Any, schema: str, mistakes: Mistakes) -> Validator | None:
    try:
        import jsonschema
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
    except ImportError as error:
        message = "checking a schema needs the package jsonschema"
        raise PlanError([Problem("schema.invalid", message, schema, hint="pip install jsonschema")]) from error
    if not isinstance(data, dict | bool):
        mistakes.error("schema.invalid", f"a JSON Schema is an object, not {show(data)}", schema, "")
        return None
    named = data.get("$schema") if isinstance(data, dict) else None
    if named is not None and not isinstance(named, str):
        mistakes.error("schema.invalid", f"the schema's $schema must be a text, not {show(named)}", schema, "/$schema")
        return None
    # The default has no meaning but "unknown": jsonschema would take the latest draft for a name that it does not know.
    chosen: Any = validator_for(data, default=None) if named is not None else Draft202012Validator  # type: ignore[arg-type]
    if chosen is None:
        message = f"the schema names the draft {show(named)}, which is unknown"
        mistakes.error("schema.invalid", message, schema, "/$schema")
        return None
    try:
        chosen.check_schema(data)
    except jsonschema.SchemaError:
        _tell_broken(chosen(chosen.META_SCHEMA, format_checker=chosen.FORMAT_CHECKER), data, schema, mistakes)
        return None
    except RecursionError:
        mistakes.error("schema.invalid", "the schema nests too deep", schema, "")
        return None
    # A registry of its own never fetches: jsonschema's default one would open remote `$ref`s.
    validator: Validator = chosen(data, registry=Registry())
    return validator


def _tell_broken(meta: Validator, data: Any, schema: str, mistakes: Mistakes) -> None:
    told: set[tuple[str, str]] = set()
    for error in meta.iter_errors(data):
        location, message = pointer(*error.absolute_path), _message(error)
        if (location, message) not in told:
            told.add((location, message))
            mistakes.error("schema.invalid", f"the schema is broken: {message}", schema, location)


def _check(validator: Validator, schema: str, document: Document, mistakes: Mistakes) -> None:
    import re

    from jsonschema.exceptions import UnknownType
    from referencing.exceptions import Unresolvable

    try:
        for error in validator.iter_errors(document.data):
            hint = f"by {schema} {pointer(*error.absolute_schema_path)}"
            inner = [_message(branch) for branch in (error.context or ())[:_SHOWN_ERRORS]]
            if inner:
                hint += f"; {'; '.join(inner)}"
            location = pointer(*error.absolute_path)
            mistakes.error("schema.violation", _message(error), document.path, location, hint)
    except Unresolvable as error:
        message = f"the schema refers to {show(error.ref)}, which it does not hold"
        mistakes.error("schema.invalid", message, schema, None, "references to other files are never fetched")
    except UnknownType as error:  # old drafts allow any name
        mistakes.error("schema.invalid", f"the schema names the type {show(error.type)}, which is unknown", schema)
    except re.error as error:
        mistakes.error("schema.invalid", f"the schema has a pattern that is no regular expression: {error}", schema)
    except RecursionError:
        mistakes.error("schema.invalid", "the schema refers to itself without end", schema)


def _message(error: Any) -> str:
    """What is wrong, without the content of objects and lists: values of variables, which are never told, may be in it."""
    instance = error.instance
    if any(isinstance(part, str) and spelled(part) in _SECRET_PARTS for part in error.absolute_path):
        shown = "a value that is not shown"
    elif isinstance(instance, dict | list):
        shown = show(instance)
    else:
        return cut(error.message.replace("\n", " "), 200)
    return cut(error.message.replace(repr(instance), shown).replace("\n", " "), 200)
