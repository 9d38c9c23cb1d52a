"""The shape of a job of a task plan: pydantic checks the fields, values come out in canonical units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, with_config
from typing_extensions import TypedDict

from weft.formats.native_models import STRICT, Amounts, Count, Integer, Names, Paths, Text, Time


def _words(value: object) -> object:
    return [value] if isinstance(value, str) else value


@with_config(STRICT)
class JobModel(TypedDict, total=False):
    """Whether there is a command is told by the loader."""

    env: Text
    note: Names
    command: Annotated[list[Text], Field(min_length=1), BeforeValidator(_words)]
    timeout: Time
    shell: bool
    dependencies: list[Annotated[str, Field(min_length=1)]]
    resources: Amounts
    max_attempts: Count
    outputs: Paths
    cache: Literal["auto", "always", "never", "memory"]
    priority: Integer
    description: Text
