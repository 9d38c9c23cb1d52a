"""The shape of a task specification, once its keys are found: pydantic checks the fields, values come out in canonical units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, with_config
from typing_extensions import TypedDict

from weft.errors import cut
from weft.formats.mistakes import show
from weft.formats.native_models import (
    STRICT,
    Count,
    Integer,
    Mapped,
    Name,
    Names,
    Path,
    Paths,
    SerializedModel,
    Text,
    Time,
)
from weft.formats.native_models import _listed as listed
from weft.formats.native_models import _match as check_match
from weft.formats.native_models import _number as read_amount
from weft.formats.native_models import _refuse as refuse
from weft.formats.native_models import _serialized as check_serialized
from weft.formats.odop_keys import without_rate
from weft.units import UnitError, parse_size

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _size(value: object) -> int:
    try:
        return parse_size(value, "MiB")
    except UnitError as error:
        raise refuse(error.code, str(error)) from error


def _size_or_nothing(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return 0
    return _size(without_rate(value))


def _cores(value: object) -> float:
    amount = read_amount("cores", value)
    if not amount:
        raise refuse("shape.value", f"must be above 0, not {show(value)}")
    return amount


def _gpus(value: object) -> float:
    return read_amount("gpu", value)


def _no_url(value: str) -> str:
    if _URL.match(value):
        raise refuse("shape.value", f"must be a path, not the address {cut(value)!r}", "fetch it by a task of its own")
    return value


def _is_path_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _path_object(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _pattern_object(value: object) -> object:
    return {"pattern": value} if isinstance(value, str) else value


def _variables(value: object) -> object:
    """Whether they are names and texts is told by `variable_faults`."""
    if not isinstance(value, Mapping):
        raise refuse("shape.type", "must be an object of texts")
    return value


@with_config(STRICT)
class OdopFolderModel(TypedDict, total=False):
    path: Path
    minimum: Count | None
    recursive: bool | None


@with_config(STRICT)
class OdopMatchModel(TypedDict, total=False):
    pattern: Path | None
    glob: Path | None
    minimum: Count | None


def _folder(value: OdopFolderModel) -> OdopFolderModel:
    if "path" not in value:
        raise refuse("shape.missing", "has no 'path'")
    return value


FilePaths = Annotated[list[Annotated[Path, AfterValidator(_no_url)]], BeforeValidator(_is_path_list)]
Expressions = Annotated[
    list[Annotated[OdopMatchModel, AfterValidator(check_match), BeforeValidator(_pattern_object)]],
    BeforeValidator(listed),
]
Folders = Annotated[
    list[Annotated[OdopFolderModel, AfterValidator(_folder), BeforeValidator(_path_object)]], BeforeValidator(listed)
]
Bytes = Annotated[Any, PlainValidator(_size_or_nothing)]


@with_config(STRICT)
class OdopModel(TypedDict, total=False):
    """All fields are optional here: what is absent is told by the loader, whatever else is wrong."""

    task_id: Name
    time_limit: Time
    cpu: Annotated[Any, PlainValidator(_cores)]
    memory: Annotated[Any, PlainValidator(_size)]
    dependencies: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_is_path_list)]
    required_filepath: FilePaths
    required_folder: Paths
    required_file_expression: Expressions
    single_file_task: bool
    filepath_parameter: Names
    executable: Path
    parameters: dict[Text, Any]
    parameter_mapping: Mapped
    function: Path
    module: Path
    script: Path
    serialized: Annotated[SerializedModel, AfterValidator(check_serialized)]
    interrupt_allowed: bool
    ready_signal: Paths
    output_file: Paths
    output_folder: Paths
    priority: Integer
    niceness: Annotated[int, Field(ge=0, le=19)]
    max_attempts: Count
    working_directory: Path
    environment_variables: Annotated[Any, PlainValidator(_variables)]
    gpu: Annotated[Any, PlainValidator(_gpus)]
    disk: Bytes
    network_bandwidth: Bytes
    files: FilePaths
    files_in_directory: Folders
    shared_memory_files: Paths
    parameter_available: Names
