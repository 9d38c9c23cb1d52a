"""The shape of a native document: pydantic checks documents against these models, and `weft schema` prints them.

TypedDicts, not classes: what was not written stays absent, which the merging of templates needs, and a plain task costs
pydantic less than a microsecond. Values come out in canonical units; `native.py` makes spec's values of them.
"""

from __future__ import annotations

import re
import warnings
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from weft.errors import cut, hint_nearest
from weft.formats import schema_parts as parts
from weft.formats.mistakes import show
from weft.formats.native_tasks import ACTIONS
from weft.formats.plain import FORMAT_VERSION
from weft.spec.compute import AUTO, AUTOMATIC
from weft.spec.mapping import MappingError
from weft.spec.mapping import parse as parse_mapping
from weft.spec.notes import CONDITIONS
from weft.spec.resources import BYTE_AMOUNTS, to_units
from weft.spec.tasks import name_problem
from weft.units import UnitError, parse_size, parse_time

NO_NUL = r"^[^\x00]*$"
ONE_LINE = r"^[^\x00\r\n]*$"
# As in shape.py, for editors: keys that are never a mistake (dialects.md 1.6).
_FREE: dict[str, Any] = {"patternProperties": {r"^(__.*|description|comment|\$schema|title)$": {}}}
STRICT = ConfigDict(extra="forbid", strict=True, json_schema_extra=_FREE)
OPEN = ConfigDict(extra="allow", strict=True)

LARGEST_UNITS = 2**63 - 1  # what the scheduler's arrays and the store hold
LARGEST_COUNT = 2**31 - 1
CAUSE_KINDS = (
    *("exit", "signal", "timeout", "memory", "exception", "not_found", "setup", "type", "missing_output", "unmet"),
    *("unsatisfiable", "dependency", "lost", "interrupted", "cancelled"),
)


def _with(schema: dict[str, Any]) -> ConfigDict:
    """Strict, and more for editors; the functions that check a value say the same to its user."""
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={**_FREE, **schema})


def _refuse(code: str, message: str, hint: str | None = None) -> PydanticCustomError:
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


# --- scalars -----------------------------------------------------------------------------------------------------------


def _time(value: object) -> float:
    try:
        return parse_time(value)
    except UnitError as error:
        raise _refuse(error.code, str(error)) from error


def _size(value: object) -> int:
    try:
        return parse_size(value)
    except UnitError as error:
        raise _refuse(error.code, str(error)) from error


def _delay(value: object) -> float:
    if value == 0 and isinstance(value, int | float) and not isinstance(value, bool):
        return 0
    return _time(value)


def _name(value: str) -> str:
    problem = name_problem(value)
    if problem:
        raise _refuse("name.invalid", problem)
    return value


Text = Annotated[str, Field(pattern=NO_NUL)]
Path = Annotated[str, Field(pattern=NO_NUL, min_length=1)]
Line = Annotated[str, Field(pattern=ONE_LINE, min_length=1)]
Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra=parts.NAME)]
Time = Annotated[Any, PlainValidator(_time), WithJsonSchema(parts.TIME)]
Delay = Annotated[Any, PlainValidator(_delay), WithJsonSchema(parts.DELAY)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Integer = Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


def _object_with(key: str) -> BeforeValidator:
    """A text is short for an object with that one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


Names = Annotated[list[Name], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])]
Paths = Annotated[list[Path], BeforeValidator(_listed, json_schema_input_type=Path | list[Path])]
Texts = Annotated[list[Text], BeforeValidator(_listed, json_schema_input_type=Text | list[Text])]


# --- amounts -----------------------------------------------------------------------------------------------------------


def _paired(value: object) -> object:
    """Each amount beside its name, because the name decides how it is read. One that is null is absent."""
    if not isinstance(value, dict):
        return value
    return {name: (name, amount) for name, amount in value.items() if amount is not None}


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse("shape.type", f"must be a number, not {show(value)}")
    if value < 0:
        raise _refuse("shape.value", f"must be 0 or more, not {show(value)}")
    # Compared before it is converted: an integer of a thousand digits has no float.
    if value > LARGEST_UNITS or to_units(name, value) > LARGEST_UNITS:
        raise _refuse("shape.value", f"is larger than weft can count: {show(value)}")
    return value


def _amount(pair: tuple[str, object]) -> float:
    name, value = pair
    problem = name_problem(name)
    if problem:
        raise _refuse("name.invalid", f"the name of a resource: {problem}")
    if name not in BYTE_AMOUNTS:
        return _number(name, value)
    if value == 0 and isinstance(value, int | float) and not isinstance(value, bool) and name != "memory":
        return 0
    if name == "network_bandwidth" and isinstance(value, str):
        value = value.removesuffix("/s")
    return _size(value)


def _demand(pair: tuple[str, object]) -> float | str:
    """An amount, or that earlier runs are to tell it."""
    return AUTO if pair[0] in AUTOMATIC and pair[1] == AUTO else _amount(pair)


def _limit(pair: tuple[str, object]) -> float:
    name, value = pair
    problem = name_problem(name)
    if problem:
        raise _refuse("name.invalid", f"the name of a limit: {problem}")
    return _number(name, value)


def _scale(pair: tuple[str, object]) -> float | list[float]:
    name, value = pair
    if isinstance(value, list):
        if not value:
            raise _refuse("shape.value", "may not be an empty list")
        read = _time if name == "timeout" else None
        return [read(item) if read else _amount((name, item)) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse("shape.type", f"must be a number or a list of amounts, not {show(value)}")
    if not 0 <= value <= LARGEST_COUNT:
        raise _refuse("shape.value", f"must be 0 or more, not {show(value)}")
    return value


Amounts = Annotated[
    dict[str, Annotated[Any, PlainValidator(_demand)]], BeforeValidator(_paired), WithJsonSchema(parts.AMOUNTS)
]
Limits = Annotated[
    dict[str, Annotated[Any, PlainValidator(_limit)]],
    BeforeValidator(_paired),
    WithJsonSchema(parts.LIMITS),
]
Scales = Annotated[
    dict[str, Annotated[Any, PlainValidator(_scale)]], BeforeValidator(_paired), WithJsonSchema(parts.SCALES)
]


def _cause_kind(value: str) -> str:
    if value.partition(":")[0] not in CAUSE_KINDS:
        raise _refuse("shape.value", f"{cut(value)!r} is no cause", hint_nearest(value, CAUSE_KINDS))
    return value


Cause = Annotated[str, AfterValidator(_cause_kind), Field(json_schema_extra=parts.causes(CAUSE_KINDS))]

# --- actions -----------------------------------------------------------------------------------------------------------


@with_config(STRICT)
class ExpandModel(TypedDict, total=False):
    expand: Required[Text]


@with_config(_with(parts.one_of("path", "data")))
class SerializedModel(TypedDict, total=False):
    path: Path | None
    data: Text | None
    format: Literal["cloudpickle"] | None


def _function(value: str) -> str:
    module, colon, name = value.rpartition(":")
    if not colon or not module or not name.replace(".", "_").isidentifier():
        raise _refuse("shape.value", f"must be 'module:name' or 'file.py:name', not {cut(value)!r}")
    return value


Word = Annotated[Text | ExpandModel, Field(union_mode="left_to_right")]
Function = Annotated[Text, AfterValidator(_function), Field(json_schema_extra=parts.FUNCTION)]


def _serialized(value: SerializedModel) -> SerializedModel:
    if (value.get("path") is None) == (value.get("data") is None):
        raise _refuse("shape.conflict", "needs exactly one of 'path' and 'data'")
    data = value.get("data")
    if data is not None:
        try:
            b64decode(data, validate=True)
        except ValueError as error:
            raise _refuse("shape.value", f"holds data that is no base64: {error}") from error
    return value


def _mapping(value: str | dict[str, str]) -> str | dict[str, str]:
    try:
        parse_mapping(value)
    except MappingError as error:
        raise _refuse("mapping.invalid", str(error)) from error
    return value


Mapped = Annotated[
    Text | dict[str, Text],
    Field(union_mode="left_to_right"),
    AfterValidator(_mapping),
    WithJsonSchema({"anyOf": [parts.MAPPING, {"type": "object", "additionalProperties": parts.MAPPING}]}),
]

# --- dependencies, requirements ----------------------------------------------------------------------------------------

DependencyModel = TypedDict(
    "DependencyModel",
    {
        "name": Required[Name],
        "as": Name | None,
        "each": bool | None,
        "gather": bool | None,
    },
    total=False,
)
FileModel = TypedDict("FileModel", {"path": Required[Path], "as": Name | None}, total=False)
FolderModel = TypedDict(
    "FolderModel",
    {
        "path": Required[Path],
        "minimum": Count | None,
        "recursive": bool | None,
        "as": Name | None,
        "source": bool | None,
    },
    total=False,
)
MatchModel = TypedDict(
    "MatchModel",
    {
        "pattern": Path | None,
        "glob": Path | None,
        "minimum": Count | None,
        "as": Name | None,
        "source": bool | None,
    },
    total=False,
)
ForeachModel = TypedDict(
    "ForeachModel",
    {"files": bool | None, "values": list[Any] | None, "stream": Name | None, "as": Name | None},
    total=False,
)
for _model in (DependencyModel, FileModel, FolderModel):
    with_config(STRICT)(_model)
with_config(_with(parts.one_of("pattern", "glob")))(MatchModel)
_KINDS_OF_ITEMS = [
    *parts.one_of("files", value=True)["oneOf"],
    *parts.one_of("values", "stream")["oneOf"],
]
with_config(_with({"oneOf": _KINDS_OF_ITEMS}))(ForeachModel)


def is_regular_expression(text: str) -> str | None:
    """What is wrong with it as a Python regular expression, None when nothing is."""
    with warnings.catch_warnings():  # `[[` and the like: for Python's own future, no news for the user of a plan
        warnings.simplefilter("ignore")
        try:
            re.compile(text)
        except (re.error, OverflowError) as error:
            return str(error)
        except RecursionError:
            return "it nests too deep"
    return None


def _match(value: dict[str, Any]) -> dict[str, Any]:
    pattern, glob = value.get("pattern"), value.get("glob")
    if (pattern is None) == (glob is None):
        raise _refuse("shape.conflict", "needs exactly one of 'pattern' and 'glob'")
    if pattern is None or pattern.startswith("glob:"):
        return value
    problem = is_regular_expression(pattern)
    if problem:
        hint = f"as a glob it would be 'glob:{cut(pattern)}'" if _is_glob(pattern) else None
        raise _refuse("pattern.invalid", f"{cut(pattern)!r} is no regular expression: {problem}", hint)
    return value


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[") and text.count("[") == text.count("]")


def _foreach(value: dict[str, Any]) -> dict[str, Any]:
    given = [key for key in ("files", "values", "stream") if value.get(key) not in (None, False)]
    if len(given) != 1:
        said = " and ".join(map(repr, given)) or "none"
        raise _refuse("shape.conflict", f"needs exactly one of 'files': true, 'values' and 'stream'; it has {said}")
    return value


Dependency = Annotated[Annotated[str, Field(min_length=1)] | DependencyModel, Field(union_mode="left_to_right")]
FileItem = Annotated[FileModel, BeforeValidator(_object_with("path").func, json_schema_input_type=Path | FileModel)]
FolderItem = Annotated[
    FolderModel, BeforeValidator(_object_with("path").func, json_schema_input_type=Path | FolderModel)
]
MatchItem = Annotated[
    MatchModel,
    AfterValidator(_match),
    BeforeValidator(_object_with("pattern").func, json_schema_input_type=Path | MatchModel),
]
Files = Annotated[
    list[FileItem], BeforeValidator(_listed, json_schema_input_type=Path | FileModel | list[Path | FileModel])
]
Folders = Annotated[
    list[FolderItem], BeforeValidator(_listed, json_schema_input_type=Path | FolderModel | list[Path | FolderModel])
]
Matches = Annotated[
    list[MatchItem], BeforeValidator(_listed, json_schema_input_type=Path | MatchModel | list[Path | MatchModel])
]


@with_config(STRICT)
class RequiresModel(TypedDict, total=False):
    files: Files | None
    folders: Folders | None
    match: Matches | None
    shared_memory: Paths | None
    parameters: Names | None
    signal: Paths | None


@with_config(STRICT)
class ProductModel(TypedDict, total=False):
    source: Required[Literal["stdout", "json", "outputs", "return"]]
    type: Name | None
    stream: bool | None


@with_config(STRICT)
class OpaqueModel(TypedDict, total=False):
    """A parameter of a typed task that is no plain data."""

    pickle: Required[Text]
    digest: Required[Text]
    shown: str | None


ProductItem = Annotated[
    ProductModel,
    BeforeValidator(
        _object_with("source").func,
        json_schema_input_type=Literal["stdout", "json", "outputs", "return"] | ProductModel,
    ),
]

# --- tasks -------------------------------------------------------------------------------------------------------------


@with_config(_with(parts.one_at_most(ACTIONS)))
class TaskModel(TypedDict, total=False):
    """A task, a template or the defaults: all keys are optional here; `native.py` sees to the action."""

    template: Name | None
    description: str | None
    command: Annotated[list[Word], Field(min_length=1)] | None
    shell: Text | None
    python: str | None
    function: Function | None
    script: Path | None
    serialized: Annotated[SerializedModel, AfterValidator(_serialized)] | None
    digest: Text | None
    code: dict[Text, Text] | None
    paths: Paths | None
    parameters: dict[Text, Any] | None
    opaque: dict[Text, OpaqueModel] | None
    parameter_mapping: Mapped | None
    parameter_roles: dict[str, Literal["node", "task", "op"]] | None
    dependencies: list[Dependency]
    requires: RequiresModel | None
    outputs: Paths | None
    product: ProductItem | None
    type: Name | None
    stream: bool | None
    foreach: Annotated[ForeachModel, AfterValidator(_foreach)] | None
    resources: Amounts | None
    duration: Delay | None
    timeout: Time | None
    max_attempts: Count | None
    retry_delay: Delay | None
    retry_on: Annotated[list[Cause], BeforeValidator(_listed, json_schema_input_type=Cause | list[Cause])] | None
    resource_scales: Scales | None
    scale_on: Literal["exhausted", "any"] | None
    fallback_queues: Names | None
    interruptible: bool | None
    environment: Name | None
    notes: Names | None
    cache: Literal["auto", "always", "never", "memory"] | None
    isolation: Literal["thread", "worker", "process"] | None
    priority: Integer | None
    niceness: Annotated[int, Field(ge=0, le=19)] | None
    executor: Name | None
    queue: Name | None
    tags: Names | None
    attributes: dict[str, Any] | None
    copies: Annotated[dict[Literal["stdout", "stderr"], Path], Field(min_length=1)] | None
    directives: Annotated[dict[Literal["project", "constraints"], Line], Field(min_length=1)] | None


def _program(value: str) -> str:
    if not value or value.isspace():
        raise _refuse("shape.value", "may not be blank")
    return value


@with_config(STRICT)
class TasklistModel(TypedDict, total=False):
    """A task of the tasklist dialect."""

    name: Required[Name]
    type: Required[Literal["exec", "eval"]]
    arguments: Required[Annotated[str, AfterValidator(_program)]]
    dependencies: list[Annotated[str, Field(min_length=1)]]
    timeout: Time | None
    resources: Amounts | None
    max_attempts: Count | None
    environment: Name | None
    isolation: Literal["thread", "worker", "process"] | None
    cache: Literal["auto", "always", "never", "memory"] | None
    note: Names | None
    product: ProductItem | None


# --- the rest of a document --------------------------------------------------------------------------------------------


def _variable(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise _refuse("shape.value", "the name of a variable may not be empty or hold '=' or NUL")
    return value


def _variable_value(value: object) -> object:
    # One message for all wrong kinds, and never the value itself: it may be a secret.
    if isinstance(value, str) and "\0" not in value:
        return value
    if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("expand", "shell"):
        inner = next(iter(value.values()))
        if isinstance(inner, str) and "\0" not in inner:
            return value
        value = inner
    if isinstance(value, str):
        raise _refuse("shape.value", "holds a NUL character")
    raise _refuse("shape.type", 'must be a text, {"expand": text} or {"shell": text}')


Variables = Annotated[
    dict[Annotated[str, AfterValidator(_variable)], Annotated[Any, PlainValidator(_variable_value)]],
    WithJsonSchema(parts.VARIABLES),
]


@with_config(STRICT)
class EnvironmentModel(TypedDict, total=False):
    python: Path | None
    requirements: Texts | None
    path: Path | None
    variables: Variables | None
    fingerprint: bool | None


@with_config(OPEN)
class NoteModel(TypedDict, total=False):
    """For editors; `notes.py` checks documents."""

    kind: Required[Path]
    conditions: list[Literal[CONDITIONS]] | None  # type: ignore[valid-type]


@with_config(STRICT)
class OptionModel(TypedDict, total=False):
    type: Name | None
    default: Any
    description: str | None


def _pattern(value: str) -> str:
    problem = is_regular_expression(value)
    if problem:
        raise _refuse("pattern.invalid", f"{cut(value)!r} is no regular expression: {problem}")
    return value


@with_config(STRICT)
class TypeModel(TypedDict, total=False):
    parent: Name | None
    minimum: float | None
    maximum: float | None
    pattern: Annotated[str, AfterValidator(_pattern)] | None
    choices: Annotated[list[Any], Field(min_length=1)] | None
    description: str | None
    predicate: Text | None
    paths: Paths | None
    items: Name | None


@with_config(STRICT)
class SourceModel(TypedDict, total=False):
    path: Required[Text]
    dialect: Required[Text]
    digest: Required[Text]


def _version(value: int) -> int:
    if value != FORMAT_VERSION:
        raise _refuse("shape.value", f"must be {FORMAT_VERSION}, the version that this weft reads, not {show(value)}")
    return value


@with_config(STRICT)
class PlanModel(TypedDict, total=False):
    """A native document; the values of its sections are checked one by one, so that a broken one hides no other."""

    weft: Required[Annotated[int, AfterValidator(_version), WithJsonSchema({"const": FORMAT_VERSION})]]
    name: NotRequired[Name | None]
    description: NotRequired[str | None]
    root: NotRequired[Path | None]
    family: NotRequired[Text | None]
    source: NotRequired[list[SourceModel] | None]
    order: NotRequired[Literal["path", "file"] | None]
    attributes: NotRequired[dict[str, Any] | None]
    limits: NotRequired[Limits | None]
    options: NotRequired[dict[str, Any] | None]
    types: NotRequired[dict[str, Any] | None]
    environments: NotRequired[dict[str, Any] | None]
    notes: NotRequired[dict[str, Any] | None]
    defaults: NotRequired[dict[str, Any] | None]
    templates: NotRequired[dict[str, Any] | None]
    tasks: Required[dict[str, Any]]
