"""The engine runs out of memory: reliability.md, row A6. Its attempts go on, and resume adopts them."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from support.weft_process import LIMIT_SECONDS, Doorway, Weft, check_no_overlap, read_ledger

ROOM = 48 << 20
"""What the engine may still take; the product that it reads is larger."""

PRODUCT = 160 << 20

Limit = Callable[[int], None]
"""Puts a limit around a process."""


@contextmanager
def control_group() -> Iterator[Limit]:
    """Of version 1 or 2, where this process may make one; skips where it may not."""
    root = Path("/sys/fs/cgroup")
    is_first = (root / "memory").is_dir()
    parent = root / "memory" if is_first else root
    group = parent / f"weft-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        limit = group / ("memory.limit_in_bytes" if is_first else "memory.max")
        if not limit.exists():
            pytest.skip(f"the memory controller is not enabled below {parent}")
        if not is_first:
            (group / "memory.swap.max").write_text("0", encoding="ascii")
        limit.write_text(str(ROOM), encoding="ascii")

        def join(pid: int) -> None:
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")

        yield join
    finally:
        group.rmdir()


@contextmanager
def address_space() -> Iterator[Limit]:
    """Anybody may limit a process of one's own: it is told that there is no memory, not killed."""

    def limit(pid: int) -> None:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + ROOM
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))

    yield limit


@pytest.mark.parametrize("around", [control_group, address_space])
def test_attempts_of_an_engine_that_runs_out_of_memory_go_on_and_are_adopted(
    weft: Weft, door: Doorway, tmp_path: Path, around: Callable[[], AbstractContextManager[Limit]]
) -> None:
    ledger = tmp_path / "ledger"
    (tmp_path / "other").mkdir()
    other = Doorway(tmp_path / "other")
    large = f"{other.script(ledger)} > /dev/null; printf '\"'; head -c {PRODUCT} /dev/zero | tr '\\0' x; printf '\"'"
    after = {"shell": f'echo "begin after 1 1" >> {ledger}; echo "end after 1 1" >> {ledger}'}
    weft.plan(
        {
            "large": {"shell": large, "product": "json"},
            "long": {"shell": door.script(ledger)},
            "after": {**after, "dependencies": ["large", "long"]},
        }
    )
    with closing(other), around() as limit:
        engine = weft.start("run", "plan.json", "-j", "2")
        door.wait_for("long")
        other.wait_for("large")
        limit(engine.pid)
        other.let_on()
        assert engine.wait(LIMIT_SECONDS) in (-signal.SIGKILL, 70)
    resumed = weft.start("resume")
    door.let_on()
    assert resumed.wait(LIMIT_SECONDS) == 0, (weft.folder / "err").read_text(encoding="utf-8")
    assert set(weft.states().values()) == {("ok", None)}
    assert sorted(task for what, task, *_ in read_ledger(ledger) if what == "begin") == ["after", "large", "long"]
    check_no_overlap(ledger, ["large", "long", "after"])
