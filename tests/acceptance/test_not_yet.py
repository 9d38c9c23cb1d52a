"""What a plan may say and this version cannot do: refused where it would run wrongly, told where it is left undone."""

from __future__ import annotations

from support.weft_process import Weft


def test_an_executor_of_a_later_version_is_refused_before_anything_runs(weft: Weft) -> None:
    weft.plan({"a": {"command": ["touch", "made"]}, "b": {"command": ["true"], "executor": "slurm"}})
    assert weft("run", "plan.json").returncode == 2
    assert not (weft.folder / "made").exists()
