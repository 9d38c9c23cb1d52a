"""All tasks of one template in a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.define.mistakes import show
from weft.errors import UnknownTemplateError, hint_nearest
from weft.spec.compute import NO_LIMIT, merge
from weft.spec.template_ids import find_template

if TYPE_CHECKING:
    from weft.define.blocks import Block
    from weft.define.templates import TaskTemplate
    from weft.define.workflow_tasks import WorkflowTask
    from weft.define.workflows import WorkflowDraft


class Array:
    """A view: it grows as tasks of its template are added to the workflow."""

    def __init__(self, workflow: WorkflowDraft, template: TaskTemplate):
        self._workflow = workflow
        self._template = template
        self._blocks: dict[Block, None] = {}
        self._limit: int | None = None

    def __repr__(self) -> str:
        return f"<Array {self.name} of {len(self)} tasks>"

    def __len__(self) -> int:
        return sum(map(self._workflow.count_of, self._blocks))

    @property
    def name(self) -> str:
        """The template's."""
        return self._template.name

    @property
    def task_template(self) -> TaskTemplate:
        """The latest version of it that the workflow has tasks of."""
        return self._template

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The calls that its tasks come from."""
        return tuple(self._blocks)

    @property
    def tasks(self) -> list[WorkflowTask]:
        """In the order in which they were added. Cost: O(tasks of the workflow)."""
        blocks = self._blocks
        return [task for task in self._workflow.tasks if task._block in blocks]

    @property
    def max_concurrently_running(self) -> int:
        """How many of them may be live at a time."""
        return NO_LIMIT if self._limit is None else self._limit

    @property
    def compute_resources(self) -> dict[str, Any]:
        """What was said where they were created, of all calls: memory in bytes, runtime in seconds."""
        return merge(*(dict(block.treatment.compute) for block in self._blocks))

    def take(self, block: Block) -> str | None:
        """Tasks of a block were added; what is to be told of its limit."""
        if block in self._blocks:
            return None
        self._blocks[block] = None
        self._template = block.template
        if block.limit is None:
            return None
        before, self._limit = self._limit, block.limit if self._limit is None else min(self._limit, block.limit)
        if before is None or before == block.limit:
            return None
        given = f"{before} and {block.limit}"
        return f"max_concurrently_running of {self.name!r} is given as {given}: {self._limit} holds"

    def set_limit(self, limit: int) -> None:
        """Whatever was said before."""
        self._limit = limit


class Arrays(dict[str, Array]):
    """Of a workflow, by the names of their templates; what is looked up may be an id as well."""

    def find(self, word: object) -> tuple[Array, list[Block]] | None:
        """The array that a name or an id means, and the calls that are of that version. Raises ArgumentError."""
        if isinstance(word, str) and word in self:
            return self[word], list(self[word].blocks)
        ids = [(block.template.name, block.template.id) for array in self.values() for block in array.blocks]
        meant = find_template(word, dict.fromkeys(ids))
        if meant is None:
            return None
        for array in self.values():
            blocks = [each for each in array.blocks if meant.among({array.name: each.template.id})]
            if blocks:
                return array, blocks
        return None

    def lacks(self, word: object) -> str:
        """The sentence about a word that means none of them."""
        hint = hint_nearest(str(word), self)
        return f"the workflow has no task of template {show(word)}" + (f"; {hint}" if hint else "")

    def __missing__(self, word: object) -> Array:
        found = self.find(word)
        if found is None:
            raise UnknownTemplateError(self.lacks(word))
        return found[0]
