"""What of a file is executed for its tasks (dialects.md 2.5)."""

from __future__ import annotations

import ast
import textwrap

import pytest

from weft.executors.worker.excerpts import excerpt


def kept(source: str) -> str:
    tree = ast.parse(textwrap.dedent(source))
    return ast.unparse(excerpt(tree) or tree)


HEAD = "import weft\nregistry = weft.Registry()\n"
DEFINITIONS = {
    "decorator": "@weft.task('a')\ndef a(): ...",
    "plain decorator": "@registry.task\ndef a(): ...",
    "call": "registry.task(print, name='a')",
    "loop": "for name in 'ab':\n    registry.task(lambda: 1, name=name)",
    "child": "other = registry.override('a', value=1)",
    "builder": "from tools import build\nbuild(registry)",
    "own builder": "def build():\n    registry.task(print, name='a')\nbuild()",
    "decorator of the project": "from tools import mytask\n@mytask\ndef a(): ...",
    "derived decorator": "task = registry.task\n@task\ndef a(): ...",
    "nested": "if True:\n    @weft.task\n    def a(): ...",
}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_everything_down_to_the_last_definition_is_kept(definition: str) -> None:
    source = HEAD + "print('above')\n" + definition
    assert kept(source + "\nopen('below', 'w')\n") == kept(source)
    assert "above" in kept(source + "\nopen('below', 'w')\n")


@pytest.mark.parametrize(
    "below",
    [
        "registry.invoke('a').run()",
        "plan = registry.invoke('a')",
        "main()",
        "raise SystemExit(3)",
        "import nothing_of_that_name",
        "@functools.cache\ndef helper(): ...",
        "VALUE = compute()",
        "def helper(x=compute()): ...",
        "class Helper:\n    x = compute()",
        "if __name__ == '__main__':\n    registry.task(print, name='b')",
        "print(registry)",
    ],
)
def test_what_works_below_is_left_out(below: str) -> None:
    above = "import functools\n" + HEAD + "@weft.task\ndef a(): ..."
    assert kept(f"{above}\n{below}\n") == kept(above)


def test_what_only_defines_is_kept_wherever_it_stands() -> None:
    below = "LIMIT = {'a': [1, -2]}\ndef helper(x: int=1) -> int:\n    return x\nclass Row:\n    size = 3"
    assert ast.unparse(ast.parse(below)) in kept(HEAD + "@weft.task\ndef a(): ...\nwork()\n" + below)


def test_a_file_without_tasks_is_executed_whole() -> None:
    for source in ("import weft\njobs = {}\nwork()", "from tools import cached\n@cached\ndef a(): ...\nTABLE = load()"):
        assert excerpt(ast.parse(source)) is None


def test_a_task_plan_below_the_tasks_is_not_lost() -> None:
    assert "jobs" in kept(HEAD + "@weft.task\ndef a(): ...\nwork()\njobs = make()\nwork()")
