"""The no-op executor: the whole graph, and nothing of the world."""

from __future__ import annotations

from pathlib import Path

from support.weft_process import Weft, events_of


def test_outputs_products_and_requirements_do_not_matter(weft: Weft, tmp_path: Path) -> None:
    weft.plan(
        {
            "make": {"command": ["touch", "made"], "outputs": ["made"], "product": "json"},
            "use": {"command": ["cat", "{x}"], "dependencies": [{"name": "make", "as": "x"}]},
            "read": {"command": ["cat", "absent"], "requires": {"files": ["absent"]}, "dependencies": ["use"]},
            "each": {"command": ["echo", "{i}"], "foreach": {"values": [1, 2, 3], "as": "i"}},
        }
    )
    ended = weft("run", "plan.json", "--executor", "noop", "--output", "json")
    assert ended.returncode == 0, ended.stderr
    last = events_of(ended.stdout)[-1]
    assert {name: task["state"] for name, task in last["tasks"].items()} == dict.fromkeys(last["tasks"], "ok")
    assert not (tmp_path / "made").exists()


def test_what_was_not_done_is_not_taken_for_done(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"make": {"command": ["touch", "made"], "outputs": ["made"]}})
    assert weft("run", "plan.json", "--executor", "noop").returncode == 0
    assert weft("run", "plan.json").returncode == 0
    assert (tmp_path / "made").exists()
    assert weft.states()["make"] == ("ok", None)
