"""Workflows of columns against a model of dicts: whatever is created, wired and added, both say the same."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.assemble.workflow_identity import hashes_of, task_hashes
from weft.define import blocks
from weft.define.tools import Tool
from weft.define.workflow_tasks import WorkflowTask
from weft.define.workflows import WorkflowDraft
from weft.errors import ArgumentError, CyclicGraphError, DuplicateNodeArgsError, NodeDependencyNotExistError
from weft.formats.snapshot import outline, restore, snapshot

VALUES = st.sampled_from([0, 1, "0", "1", "a", "a b", "a_b", 1.0, None])
COLUMN = st.lists(VALUES, min_size=1, max_size=4)


class Model:
    """Tasks as people think of them: (place, year, data) as texts; edges as pairs of positions in what was created."""

    def __init__(self) -> None:
        self.created: list[WorkflowTask] = []
        self.identities: list[tuple[str, str, str]] = []
        self.edges: set[tuple[int, int]] = set()  # (upstream, downstream)
        self.added: list[int] = []

    def create(self, tasks: list[WorkflowTask], identities: list[tuple[str, str, str]], upstreams: list[int]) -> None:
        start = len(self.created)
        self.created += tasks
        self.identities += identities
        self.edges |= {(up, start + offset) for up in upstreams for offset in range(len(tasks))}

    def of(self, positions: set[int]) -> set[tuple[str, str, str]]:
        return {self.identities[position] for position in positions}


@st.composite
def histories(draw: Any) -> list[tuple[Any, ...]]:
    steps: list[tuple[Any, ...]] = []
    created = 0
    for _ in range(draw(st.integers(1, 6))):
        upstreams = draw(st.lists(st.integers(0, created - 1), max_size=5)) if created else []
        data = draw(st.sampled_from(["d", "d", "d", "e"]))
        if draw(st.booleans()):
            places, years = draw(COLUMN), draw(COLUMN)
            steps.append(("many", places, years, draw(st.booleans()), data, upstreams))
            created += len(places) * len(years)
        else:
            steps.append(("one", draw(VALUES), draw(VALUES), data, upstreams))
            created += 1
    for up, down in draw(st.lists(st.tuples(st.integers(0, created - 1), st.integers(0, created - 1)), max_size=8)):
        steps.append(("wire", up, down, draw(st.booleans())))
    order = draw(st.permutations(range(created)))
    cuts = sorted(draw(st.lists(st.integers(0, created), max_size=4)))
    chunks = [order[start:end] for start, end in zip([0, *cuts], [*cuts, created], strict=True)]
    if draw(st.booleans()):
        chunks = [list(range(created))]  # whole blocks
    steps.append(("add", [chunk for chunk in chunks if chunk and draw(st.integers(0, 5))]))
    return steps


def play(steps: list[tuple[Any, ...]]) -> tuple[Model, WorkflowDraft]:
    tool = Tool("t")
    template = tool.get_task_template("fit", "fit {place} {year} {data}", ["place", "year"], ["data"])
    model, draft = Model(), WorkflowDraft(tool, "w")
    for step in steps:
        if step[0] == "many":
            _, places, years, is_turned, data, upstreams = step
            columns = {"place": places, "year": years}
            if is_turned:
                columns = {"year": years, "place": places}
            tasks = template.create_tasks(
                **columns, data=data, upstream_tasks=[model.created[position] for position in upstreams]
            )
            rows = product(*columns.values())
            identities = [(str(row[is_turned]), str(row[not is_turned]), data) for row in rows]
            model.create(tasks, identities, upstreams)
        elif step[0] == "one":
            _, place, year, data, upstreams = step
            task = template.create_task(
                place=place, year=year, data=data, upstream_tasks=[model.created[position] for position in upstreams]
            )
            model.create([task], [(str(place), str(year), data)], upstreams)
        elif step[0] == "wire":
            _, up, down, from_above = step
            if from_above:
                model.created[up].add_downstream(model.created[down])
            else:
                model.created[down].add_upstream(model.created[up])
            model.edges.add((up, down))
        else:
            for chunk in step[1]:
                add(model, draft, chunk)
    return model, draft


def names_of(model: Model) -> list[str]:
    """Of everything that was created; names that tasks of the workflow would share end in what their nodes are known by."""
    plain = [name_of(identity) for identity in model.identities]
    count = Counter(plain[position] for position in model.added)
    for position in model.added:
        if count[plain[position]] > 1:
            plain[position] += f"_{model.created[position].node_hash[:16]}"
    return plain


def name_of(identity: tuple[str, str, str]) -> str:
    place, year, _ = (text.replace(" ", "_") for text in identity)
    return f"fit_place-{place}_year-{year}"


def add(model: Model, draft: WorkflowDraft, chunk: list[int]) -> None:
    tasks = [model.created[position] for position in chunk]
    identities = [model.identities[position] for position in (*model.added, *chunk)]
    nodes = {identity[:2] for identity in identities}
    if len(nodes) == len(identities):
        draft.add_tasks(tasks)
        model.added += chunk
        return
    with pytest.raises(ArgumentError) as caught:
        draft.add_tasks(tasks)
    if len(set(identities)) == len(identities):
        assert isinstance(caught.value, DuplicateNodeArgsError)


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from([0, 1, blocks.NARROW]))
def test_columns_and_dicts_say_the_same(steps: list[tuple[Any, ...]], narrow: int) -> None:
    with mock.patch.object(blocks, "NARROW", narrow):
        model, draft = play(steps)
    assert [task.digest for task in draft.tasks] == [model.created[position].digest for position in model.added]
    for position, (task, name) in enumerate(zip(model.created, names_of(model), strict=True)):
        place, year, data = model.identities[position]
        assert task.argv == ("fit", place, year, data)
        assert task.name == name
        ups = {up for up, down in model.edges if down == position}
        downs = {down for up, down in model.edges if up == position}
        assert {tuple(map(str, each.values.values())) for each in map(in_order, task.upstream_tasks)} == model.of(ups)
        assert {tuple(map(str, each.values.values())) for each in map(in_order, task.downstream_tasks)} == model.of(
            downs
        )
    check_plan(model, draft)


class in_order:  # noqa: N801 - reads as a verb
    """A task's values in the order place, year, data."""

    def __init__(self, task: WorkflowTask):
        self.values = {name: task.values[name] for name in ("place", "year", "data")}


def check_plan(model: Model, draft: WorkflowDraft) -> None:
    places = {model.identities[position]: place for place, position in enumerate(model.added)}
    wanted: list[set[int]] = []
    for position in model.added:
        ups = model.of({up for up, down in model.edges if down == position})
        if not ups <= places.keys():
            with pytest.raises(NodeDependencyNotExistError):
                draft.plan_spec()
            return
        wanted.append({places[up] for up in ups})
    try:
        plan = draft.plan_spec()
    except CyclicGraphError:
        assert has_cycle(wanted)
        return
    assert not has_cycle(wanted)
    graph = plan.graph
    names = names_of(model)
    assert [task.name for task in graph] == [names[position] for position in model.added]
    found = [[graph.index[edge.name] for edge in task.dependencies] for task in graph]
    assert found == [sorted(each) for each in wanted]
    assert [dict(task.parameters) for task in graph] == [model.created[position].values for position in model.added]
    assert restore(snapshot(plan)).graph == graph
    told = outline(snapshot(plan))
    assert told.attributes == plan.attributes
    assert list(map(dict, told.parameters)) == [dict(task.parameters) for task in graph]
    assert told.policies == [task.policy for task in graph]
    templates = [policy.template for policy in told.policies]
    assert hashes_of(told.attributes, zip(templates, told.parameters, strict=True)) == task_hashes(plan)


def has_cycle(wanted: list[set[int]]) -> bool:
    left = dict(enumerate(wanted))
    while left:
        free = [place for place, ups in left.items() if not ups & left.keys()]
        if not free:
            return True
        for place in free:
            del left[place]
    return False
