"""dot, mermaid, SVG, JSON and text: complete, escaped, coloured, and readable at any size."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from weft.formats.export import as_json, dot, mermaid, svg, text
from weft.spec.actions import Command, Shell
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.resources import Resources
from weft.spec.tasks import Dependency, Policy, Task

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    'say "hi"',
    "<script>alert(1)</script>",
    "a]]> b",
    "back\\slash\\",
    "&amp; & #35; {x} | `y`",
    "--flag",
    "- item",
    "1. first",
    "end",
    "日本語 ☃ 🧵",
    "\ufffe\uffff noncharacters",
    "x" * 1000,
    "%%{init: {}}%%",
)


def plan(edges: dict[str, list[str | Dependency]], name: str | None = None, policy: Policy | None = None) -> Plan:
    def dependency(given: str | Dependency) -> Dependency:
        return given if isinstance(given, Dependency) else Dependency(given)

    tasks = [
        Task(task, Command(("true",)), tuple(map(dependency, before)), policy=policy or Policy())
        for task, before in edges.items()
    ]
    return Plan(Graph(tasks), "/", name=name)


def diamond() -> Plan:
    return plan({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, name="diamond")


def hostile() -> Plan:
    names = list(HOSTILE)
    return plan({name: names[:place][-2:] for place, name in enumerate(names)}, name='"<&\\')


def fan(count: int) -> Plan:
    work: dict[str, list[str | Dependency]] = {f"work-{number}": ["start"] for number in range(count)}
    return plan({"start": [], **work, "end": list(work)})


# --- dot ---


def test_dot_names_every_task_and_every_edge() -> None:
    rendered = dot.render(diamond())
    assert rendered.startswith('digraph "diamond" {\n')
    assert re.findall(r'^  "(\w)";$', rendered, re.M) == ["a", "b", "c", "d"]
    assert re.findall(r'^  "(\w)" -> "(\w)";$', rendered, re.M) == [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]


def test_dot_colours_by_state_and_shows_what_an_edge_carries() -> None:
    carrying = plan({"a": [], "b": [Dependency("a", bind="rows", each=True)]})
    rendered = dot.render(carrying, {"a": "failed"})
    assert 'tooltip="a: failed"' in rendered
    assert '"a" -> "b" [label="rows", style=dashed];' in rendered


def test_dot_quotes_what_would_end_a_string_or_be_an_escape() -> None:
    rendered = dot.render(plan({'q"\\': [], "&lt;": []}))
    assert '  "q\\"\\\\" [label="q\\"\\\\"];' in rendered
    assert '  "&lt;" [label="&amp;lt;"];' in rendered


def test_dot_strings_are_balanced_for_hostile_names() -> None:
    strings = re.compile(r'"(?:\\.|[^"\\])*"')
    for line in dot.render(hostile()).splitlines():
        assert '"' not in strings.sub("", line)


# --- mermaid ---


def test_mermaid_draws_arrows_and_classes() -> None:
    carrying = plan({"a": [], "b": [Dependency("a", bind="rows")], "c": [Dependency("a", each=True)]})
    assert mermaid.render(carrying, {"a": "ok"}).splitlines() == [
        "flowchart LR",
        '  n0["a"]:::ok',
        '  n1["b"]',
        '  n2["c"]',
        '  n0 -->|"rows"| n1',
        "  n0 -.-> n2",
        "  classDef ok fill:#dafbe1,stroke:#1a7f37,color:#0f4a22",
    ]


def test_mermaid_labels_hold_nothing_that_mermaid_could_read() -> None:
    for line in mermaid.render(hostile()).splitlines():
        found = re.fullmatch(r'  n\d+\["(.*)"\]', line)
        if found:
            plain = re.sub(r"#\d+;", "", found[1])
            assert not re.search(r'["<>\[\]{}|`\\%&#]|^- |^1\. ', plain), line
        else:
            assert line == "flowchart LR" or re.fullmatch(r"  n\d+ --> n\d+", line)


def test_mermaid_labels_say_the_names() -> None:
    lines = mermaid.render(hostile()).splitlines()[1 : 1 + len(HOSTILE)]
    labels = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), line.split('"', 1)[1][:-2]) for line in lines]
    assert tuple(labels) == HOSTILE


# --- SVG ---


def elements(document: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(document.encode("utf-8")).iter(SVG + tag))


def box_titles(document: str) -> list[str]:
    return [element.text or "" for element in elements(document, "title")][1:]


def test_svg_has_a_box_per_task_and_a_path_per_source() -> None:
    document = svg.render(diamond(), {"a": "ok", "b": "failed"})
    assert box_titles(document) == ["a: ok", "b: failed", "c", "d"]
    assert len([path for path in elements(document, "path") if path.get("class") == "e"]) == 3
    assert "diamond: 4 tasks, 4 edges" in document


def test_svg_is_valid_and_keeps_whole_names_in_titles() -> None:
    expected = [re.sub("[\ufffe\uffff]", "\ufffd", name) for name in HOSTILE]
    assert box_titles(svg.render(hostile())) == expected


def test_svg_cuts_long_names_in_the_middle() -> None:
    shown = [element.text or "" for element in elements(svg.render(plan({"start" * 20 + "-17": []})), "text")]
    assert shown[-1].startswith("startstart") and shown[-1].endswith("-17") and len(shown[-1]) == svg.NAME_CHARACTERS


def test_svg_of_an_empty_plan_is_a_picture_too() -> None:
    assert "0 tasks, 0 edges" in svg.render(plan({}))


def test_svg_draws_families_beyond_its_limit_and_says_what_it_left_out() -> None:
    count = svg.TASK_LIMIT + 10
    states = {f"work-{number}": "failed" if number < 3 else "ok" for number in range(count)}
    document = svg.render(fan(count), states)
    titles = box_titles(document)
    assert len(titles) == 3
    assert any(title.startswith(f"work: {count:,} tasks\n3 failed\n{count - 3:,} ok\nwork-0, ") for title in titles)
    assert f"{count + 2:,} tasks drawn as 3 groups ({count + 2:,} single boxes left out: more than 5,000)" in document


def test_svg_draws_templates_together() -> None:
    half = svg.TASK_LIMIT // 2 + 1
    tasks = [
        Task(f"{number}", Command(("true",)), policy=Policy(template="odd" if number % 2 else "even"))
        for number in range(2 * half)
    ]
    titles = box_titles(svg.render(Plan(Graph(tasks), "/")))
    assert [title.splitlines()[0] for title in titles] == [f"even: {half:,} tasks", f"odd: {half:,} tasks"]


def test_svg_draws_families_that_depend_on_each_other_in_circles() -> None:
    count = svg.TASK_LIMIT + 1
    edges: dict[str, list[str | Dependency]] = {
        f"{'ping' if number % 2 else 'pong'}{number}": [f"{'pong' if number % 2 else 'ping'}{number - 1}"]
        if number
        else []
        for number in range(count)
    }
    assert len(box_titles(svg.render(plan(edges)))) == 2


def test_svg_draws_ranges_of_layers_when_names_tell_nothing() -> None:
    count = svg.TASK_LIMIT + 1
    titles = box_titles(
        svg.render(plan({f"t{number}": [f"t{number - 1}"] if number else [] for number in range(count)}))
    )
    assert titles[0].startswith("layers 1-42: 42 tasks\nt0, t1, ")
    assert len(titles) <= svg.GROUP_LIMIT


# --- JSON ---


def test_json_is_the_shape_that_the_design_promises() -> None:
    tasks = [
        Task("a", Shell("true"), outputs=("a.txt",), policy=Policy(tags=("x",), resources=Resources.of({"cores": 2}))),
        Task("b", Command(("true",)), (Dependency("a", bind="rows", each=True),)),
    ]
    rendered = as_json.render(Plan(Graph(tasks), "/"), {"a": "ok"})
    assert rendered["edges"] == [{"from": "a", "to": "b", "as": "rows", "each": True}]
    assert list(rendered["tasks"]) == ["a", "b"]
    first = rendered["tasks"]["a"]
    assert (first["action"], first["outputs"], first["tags"], first["resources"], first["state"]) == (
        "shell",
        ["a.txt"],
        ["x"],
        {"cores": 2},
        "ok",
    )
    assert "state" not in rendered["tasks"]["b"]


def test_json_keeps_hostile_names_as_they_are() -> None:
    assert tuple(json.loads(json.dumps(as_json.render(hostile())))["tasks"]) == HOSTILE


# --- text ---


def drawing(given: Plan, states: dict[str, str] | None = None) -> str:
    return text.render(given, states).partition("\n\n")[2]


def test_text_draws_a_chain_as_one_rail() -> None:
    assert drawing(plan({"a": [], "b": ["a"], "c": ["b"]})) == "○  a\n●  b\n●  c\n"


def test_text_tells_what_follows_from_what_only_stands_below() -> None:
    assert drawing(plan({"a": [], "b": ["a"], "c": [], "d": []})) == "○  a\n●  b\n○  c\n○  d\n"
    loose = {f"t{number}": [] for number in range(text.ALIKE)}
    assert drawing(plan({"a": [], "b": ["a"], **loose})).splitlines()[-1].startswith("◇  t0, t1")


def test_text_draws_a_diamond() -> None:
    assert drawing(diamond(), {"a": "ok"}) == "○    a  [ok]\n├─╮\n│ ●  b\n● │  c\n├─╯\n●    d\n"


def test_text_draws_rails_that_pass_others() -> None:
    given = plan({"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c", "d"]})
    assert drawing(given) == "○      a\n├─╮\n│ ●    c\n│ │ ○  b\n├─│─╯\n● │    d\n├─╯\n●      e\n"


def test_text_takes_tasks_with_the_same_neighbours_together() -> None:
    states = {f"work-{number}": "ok" if number else "failed" for number in range(30)}
    assert drawing(fan(30), states) == (
        "○  start\n◆  work-0, work-1, work-2, … work-29  (30 tasks)  [1 failed, 29 ok]\n●  end\n"
    )


def test_text_of_a_plan_without_tasks_says_so() -> None:
    assert text.render(plan({})) == "no tasks\n"


def test_text_sums_up_by_layer_what_is_too_large_to_draw() -> None:
    layered = plan(
        {
            f"l{layer}-{place}": [f"l{layer - 1}-{other}" for other in (place, (place * 7 + 3) % 20)] if layer else []
            for layer in range(8)
            for place in range(20)
        }
    )
    lines = text.render(layered).splitlines()
    assert lines[0].startswith("160 tasks, 280 edges, 8 layers")
    assert lines[2].split() == ["layer", "1", "20", "l", "×", "20"]
    assert len(lines) == 10


@pytest.mark.parametrize("count", [201, 30_000])
def test_text_of_long_graphs_stays_short(count: int) -> None:
    chain = plan({f"t{number}": [f"t{number - 1}"] if number else [] for number in range(count)})
    assert len(text.render(chain).splitlines()) <= 70
