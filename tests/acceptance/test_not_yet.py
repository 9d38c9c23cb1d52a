"""What a plan may say and this version cannot do: refused where it would run wrongly, told where it is left undone."""

from __future__ import annotations

import json

import pytest

from support.weft_process import Weft


@pytest.mark.parametrize(
    "dependency", [{"name": "a", "as": "x", "each": True}, {"name": "a", "as": "stdin"}], ids=["each", "stdin"]
)
def test_streams_are_refused(weft: Weft, dependency: dict[str, object]) -> None:
    product = {"source": "stdout", "stream": True}
    weft.plan(
        {"a": {"command": ["echo", "1"], "product": product}, "b": {"command": ["cat"], "dependencies": [dependency]}}
    )
    ended = weft("run", "plan.json", "--output", "json")
    assert ended.returncode == 2, ended.stderr
    assert {error["code"] for error in json.loads(ended.stdout)["errors"]} == {"stream"}
    assert not (weft.folder / ".weft").exists()


def test_an_executor_of_a_later_version_is_refused_before_anything_runs(weft: Weft) -> None:
    weft.plan({"a": {"command": ["touch", "made"]}, "b": {"command": ["true"], "executor": "slurm"}})
    assert weft("run", "plan.json").returncode == 2
    assert not (weft.folder / "made").exists()
