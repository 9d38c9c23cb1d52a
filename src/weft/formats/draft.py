"""What one document says, in the normal form, before it is united with others and linked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.formats.mistakes import Document, has_part, pointer
from weft.spec.environments import Environment
from weft.spec.options import Option
from weft.spec.plan import Source, Template
from weft.spec.tasks import Task
from weft.spec.types import Type

if TYPE_CHECKING:
    from weft.spec.notes import Note

SECTIONS = ("options", "types", "environments", "notes", "templates")


@dataclass(slots=True)
class Draft:
    """One document. A broken entry is kept as far as it is sound, so that what refers to it is not told again.

    keys: of each task its key (native) or index (lists) below `prefix`. broken: tasks of which nothing could be kept, by name.
    unsound: positions of tasks that were kept in part; what they seem to lack may be what was lost.
    besides: files that it names and that were read with it, by absolute paths.
    """

    document: Document
    dialect: str
    prefix: tuple[str, ...] = ()
    name: str | None = None
    description: str | None = None
    root: str | None = None
    order: str | None = None
    family: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    besides: tuple[Source, ...] = ()
    options: dict[str, Option] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    keys: list[str | int] = field(default_factory=list)
    broken: dict[str, str | int] = field(default_factory=dict)
    unsound: set[int] = field(default_factory=set)

    @property
    def file(self) -> str:
        return self.document.path

    def raw(self, position: int) -> Any:
        """The task as it was written."""
        return self._at((*self.prefix, self.keys[position]))

    def pointer_of(self, position: int, *rest: str | int) -> str:
        """JSON pointer of a task, or of something in it; where it came from a template or the defaults, the pointer there."""
        raw = self.raw(position)
        if rest and isinstance(raw, dict) and rest[0] not in raw:
            template = raw.get("template")
            for base in (("templates", template), ("defaults",)):
                below = self._at(base) if None not in base else None
                if isinstance(below, dict) and rest[0] in below:
                    return pointer(*(part for part in base if part is not None), *self._existing(below, rest))
            rest = ()
        return pointer(*self.prefix, self.keys[position], *self._existing(raw, rest))

    def dependency_place(self, position: int, name: str) -> str:
        """JSON pointer of the item of `dependencies` that names `name`."""
        raw = self.raw(position)
        lists = [raw.get("dependencies")] if isinstance(raw, dict) else []
        template = raw.get("template") if isinstance(raw, dict) else None
        lists += [
            below.get("dependencies")
            for below in (self._at(("templates", template)), self._at(("defaults",)))
            if isinstance(below, dict)
        ]
        for index, item in enumerate(next((items for items in lists if isinstance(items, list)), ())):
            if item == name or (isinstance(item, dict) and item.get("name") == name):
                return self.pointer_of(position, "dependencies", index)
        return self.pointer_of(position)

    def section_pointer(self, section: str, name: str) -> str:
        """JSON pointer of an entry that is no task."""
        return pointer(section, name)

    def _at(self, path: tuple[Any, ...]) -> Any:
        value = self.document.data
        for part in path:
            if not has_part(value, part):
                return None
            value = value[part]
        return value

    @staticmethod
    def _existing(value: Any, rest: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """The leading parts of `rest` that exist in `value`."""
        taken: list[str | int] = []
        for part in rest:
            if not has_part(value, part):
                break
            value = value[part]
            taken.append(part)
        return tuple(taken)
