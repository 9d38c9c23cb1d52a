"""The views of a run, driven by the calls that an engine makes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from weft.cli.output.json_lines import JsonView
from weft.cli.output.live import LiveView
from weft.cli.output.plain import PlainView
from weft.cli.output.printer import Printer
from weft.cli.output.quiet import QuietView
from weft.cli.output.recorded import Recorded
from weft.cli.output.terminal import Place
from weft.ports import Began, Gauge, RunEnding, RunOpening, TaskRow
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Outcome, Request, Usage
from weft.spec.actions import Shell
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.tasks import Policy, Task

RUN = "0123456789abcdef" * 2
TERMINAL = Place(is_terminal=True, is_live=True, has_colour=False, columns=80)


class Logs:
    """Log files of a run, in memory. Output is kept by `keep`, which gives its region."""

    def __init__(self) -> None:
        self.data = b""

    def keep(self, data: bytes) -> LogRegion:
        offset = len(self.data)
        self.data += data
        return LogRegion("slot", offset, len(data))

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        end = len(self.data) if region.length < 0 else region.offset + region.length
        start = region.offset + offset
        return self.data[start : end if limit is None else min(end, start + limit)]

    def kept_secrets(self) -> tuple[()]:
        return ()


class Stage:
    """Files that stand for stdout and stderr, and an engine's calls on a view."""

    def __init__(self, folder: Path):
        self.logs = Logs()
        self.paths = (folder / "stdout", folder / "stderr")
        self.descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for path in self.paths]
        self.rows: Sequence[TaskRow] = ()
        self.items: dict[int, Sequence[tuple[str, str, str | None]]] = {}
        self.recorded = Recorded(lambda _: _ArchiveOf(self), lambda *_: self.logs)  # type: ignore[arg-type, return-value]

    def printer(self, is_terminal: bool = False) -> Printer:
        return Printer(*self.descriptors, read=self.recorded.reader, is_terminal=is_terminal)

    @property
    def out(self) -> str:
        return self.paths[0].read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.paths[1].read_text(encoding="utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for descriptor in made.descriptors:
        os.close(descriptor)


class _ArchiveOf:
    def __init__(self, stage: Stage):
        self._stage = stage

    def tasks(self, _: str) -> Sequence[TaskRow]:
        return self._stage.rows

    def items(self, _: str, __: int) -> dict[int, Sequence[tuple[str, str, str | None]]]:
        return self._stage.items


def opening(*names: str, policies: dict[str, Policy] | None = None, resumed: int = 0) -> RunOpening:
    tasks = [Task(name, Shell("true"), policy=(policies or {}).get(name, Policy())) for name in names]
    plan = Plan(Graph(tasks), "/plans", name="demo")
    return RunOpening(
        RUN, plan, range(len(names)), resumed, "/plans/.weft", {"cores": 2000}, lambda: Gauge({}, {"cores": 1000}, ())
    )


def began(stdout: LogRegion = NO_OUTPUT) -> Began:
    return Began(AttemptKey(0, WHOLE, 1), 1, 0.0, 1, stdout, NO_OUTPUT)


def key(task: int, instance: int = WHOLE, attempt: int = 1) -> AttemptKey:
    return AttemptKey(task, instance, attempt)


def settle(task: int, state: str = "ok", cause: str | None = None, **more: Any) -> SettleTask:
    attempts = more.pop("attempts", 0 if state == "skipped" or cause == "cached" else 1)
    usage = Usage(0.25, 0.1, 4096) if attempts else Usage()
    return SettleTask(task, state, cause, more.pop("detail", None), attempts, None, usage)  # type: ignore[arg-type]


def fail(code: int = 7, **more: Any) -> Outcome:
    return Outcome(False, f"exit:{code}", exit_code=code, **more)


def ending(state: str = "ok", code: int = 0) -> RunEnding:
    return RunEnding(RUN, state, code, 1.5)  # type: ignore[arg-type]


def play_tasklist(view: Any, stage: Stage) -> None:
    """Two tasks run, one of them fails, a third is skipped behind it."""
    view.run_started(opening("words", "broken", "never"))
    view.attempt_started(key(0), began())
    view.attempt_started(key(1), began())
    view.attempt_ended(key(0), Outcome(True, exit_code=0, stdout=stage.logs.keep(b"red\ngreen")), None)
    view.task_ended(settle(0))
    view.attempt_ended(key(1), fail(stderr=stage.logs.keep(b"lost\n"), stdout=stage.logs.keep(b"found\n")), None)
    view.task_ended(settle(1, "failed", "exit:7"))
    view.task_ended(settle(2, "skipped", "dependency:broken"))
    view.run_ended(ending("failed", 1))


# --- plain lines ---------------------------------------------------------------------------------------------------------


def test_plain_lines_are_those_of_the_founding_document(stage: Stage) -> None:
    play_tasklist(PlainView(stage.printer(), recorded=stage.recorded), stage)
    assert stage.out == (
        "Started: words\n"
        "Started: broken\n"
        "Ended : words\n"
        "red\n"
        "green\n"
        "Ended : broken\n"
        "found\n"
        "lost\n"
        "ok        words  250ms\n"
        "failed    broken  exit:7  250ms\n"
        "skipped   never  dependency:broken\n"
        "3 tasks: 1 ok, 1 failed, 1 skipped, in 1.5s\n"
    )


def test_what_is_no_result_goes_to_stderr(stage: Stage) -> None:
    play_tasklist(PlainView(stage.printer(), recorded=stage.recorded), stage)
    assert stage.err == (
        f"weft: run {RUN}: 3 tasks\n"
        "weft: task 'broken' failed: exit:7\n"
        f"weft: try the failed ones again: weft retry --state /plans/.weft {RUN[:12]} --failed\n"
    )


def test_a_retry_is_told_with_its_change_and_the_task_ends_once(stage: Stage) -> None:
    view = PlainView(stage.printer(), recorded=stage.recorded)
    view.run_started(opening("big"))
    view.attempt_started(key(0), began())
    again = Retry("memory", 2.0, Request(()), "memory 40M -> 60M")
    view.attempt_ended(key(0), Outcome(False, "memory", stdout=stage.logs.keep(b"part\n")), again)
    view.attempt_started(key(0, attempt=2), began())
    view.attempt_ended(key(0, attempt=2), Outcome(True, stdout=stage.logs.keep(b"all\n")), None)
    view.task_ended(settle(0, attempts=2))
    view.run_ended(ending())
    assert stage.out.startswith("Started: big\nStarted: big\nEnded : big\nall\nok        big  250ms  2 attempts\n")
    assert "attempt 1 failed (memory); trying again in 2s with memory 40M -> 60M" in stage.err


def test_an_attempt_taken_back_before_it_began_leaves_no_line(stage: Stage) -> None:
    view = PlainView(stage.printer())
    view.run_started(opening("a"))
    view.attempt_ended(key(0), Outcome(False, "interrupted", charged=False), None)
    view.task_ended(settle(0, "cancelled", "interrupted", attempts=0))
    view.run_ended(ending("interrupted", 130))
    assert stage.out == "cancelled a  interrupted\n1 task: 0 ok, 1 cancelled, in 1.5s\n"
    assert f"continue: weft resume --state /plans/.weft {RUN[:12]}\n" in stage.err


def test_a_start_failure_is_shown_as_started_and_ended(stage: Stage) -> None:
    view = PlainView(stage.printer())
    view.run_started(opening("a"))
    view.attempt_ended(key(0), Outcome(False, "not_found", detail="no program 'foo'"), None)
    view.task_ended(settle(0, "failed", "not_found", detail="no program 'foo'"))
    view.run_ended(ending("failed", 1))
    assert stage.out.startswith("Started: a\nEnded : a\nfailed    a  not_found  250ms  (no program 'foo')\n")


def test_invalid_utf8_is_shown_with_replacement_across_pieces(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.cli.output.printer.PIECE_BYTES", 3)
    view = PlainView(stage.printer(), recorded=stage.recorded)
    view.run_started(opening("a"))
    view.attempt_started(key(0), began())
    view.attempt_ended(key(0), Outcome(True, stdout=stage.logs.keep("xxé\n".encode() + b"\xff\xfe")), None)
    view.run_ended(ending())
    assert "Ended : a\nxxé\n\ufffd\ufffd\n" in stage.out


def test_escapes_pass_a_pipe_and_are_written_out_in_a_terminal(stage: Stage, tmp_path: Path) -> None:
    text = b"\x1b[31mred\x1b[0m\r\n\x07"
    for is_terminal, shown in ((False, "\x1b[31mred\x1b[0m\r\n\x07\n"), (True, "\\x1b[31mred\\x1b[0m\n\\x07\n")):
        place = Place(is_terminal, False, False, 80)
        view = PlainView(stage.printer(is_terminal), place, stage.recorded)
        view.run_started(opening("a"))
        view.attempt_started(key(0), began())
        view.attempt_ended(key(0), Outcome(True, stdout=stage.logs.keep(text)), None)
        view.run_ended(ending())
        assert f"Ended : a\n{shown}" in stage.paths[0].read_bytes().decode()


def test_instances_are_named_by_their_item(stage: Stage) -> None:
    stage.items = {0: [("a.txt", "ok", None), ("b.txt", "ok", None)]}
    stage.rows = [TaskRow(0, "m", "ok", None, None, 2, 0.2, None, None, None, 2)]
    view = PlainView(stage.printer(), recorded=stage.recorded)
    view.run_started(opening("m", policies={"m": Policy(foreach=Foreach(files=True))}))
    for instance in (0, 1):
        view.attempt_started(key(0, instance), began())
        view.attempt_ended(key(0, instance), Outcome(True), None)
    view.task_ended(settle(0, attempts=2))
    view.run_ended(ending())
    assert "Started: m[a.txt]\nEnded : m[a.txt]\nStarted: m[b.txt]\nEnded : m[b.txt]\n" in stage.out


def test_a_heartbeat_comes_each_minute(stage: Stage) -> None:
    now = [0.0]
    view = PlainView(stage.printer(), clock=lambda: now[0])
    view.run_started(opening("a", "b"))
    view.attempt_started(key(0), began())
    view._printer.flush()
    now[0] = 61.0
    view.attempt_started(key(1), began())  # anything that wakes the printer; alone it would wake by itself in 60 s
    view.run_ended(ending())
    assert "weft: 1m 1s: 0 of 2 tasks ended, 0 failed, 2 running\n" in stage.err


def test_a_run_that_was_resumed_reports_what_was_ok_before(stage: Stage) -> None:
    stage.rows = [
        TaskRow(0, "a", "ok", None, None, 1, 3.0, 10, None, None, 0),
        TaskRow(1, "b", "ok", None, None, 1, 1.0, 10, None, None, 0),
    ]
    view = PlainView(stage.printer(), recorded=stage.recorded)
    view.run_started(opening("a", "b", resumed=1))
    view.attempt_started(key(1), began())
    view.attempt_ended(key(1), Outcome(True), None)
    view.task_ended(settle(1))
    view.run_ended(ending())
    assert stage.out.endswith("ok        a  3s\nok        b  250ms\n2 tasks: 2 ok, in 1.5s\n")


def test_follow_shows_lines_with_names_while_they_come_and_no_byte_of_another_attempt(stage: Stage) -> None:
    now = [0.0]
    view = PlainView(stage.printer(), recorded=stage.recorded, follow=True, clock=lambda: now[0])

    def look_later() -> None:
        view._printer.flush()
        now[0] += 1.0
        view._printer.call(view._tick)  # type: ignore[arg-type]
        view._printer.flush()

    view.run_started(opening("a", "b"))
    view.attempt_started(key(0), began(LogRegion("slot", 0, -1)))
    stage.logs.keep(b"one\ntw")
    look_later()
    look_later()
    assert "a | one\n" in stage.out
    stage.logs.keep(b"o\nNEXT ATTEMPT\n")
    look_later()
    view.attempt_ended(key(0), Outcome(True, stdout=LogRegion("slot", 0, 8)), None)
    view.run_ended(ending())
    assert "a | two\nEnded : a\n" in stage.out
    assert "NEXT" not in stage.out


def test_a_log_that_is_gone_is_told_and_the_rest_goes_on(stage: Stage) -> None:
    def gone(*_: object) -> bytes:
        raise OSError("gone")

    stage.logs.read = gone  # type: ignore[method-assign]
    view = PlainView(stage.printer(), recorded=stage.recorded)
    view.run_started(opening("a"))
    view.attempt_started(key(0), began())
    view.attempt_ended(key(0), Outcome(True, stdout=LogRegion("slot", 0, 5)), None)
    view.task_ended(settle(0))
    view.run_ended(ending())
    assert stage.out.endswith("1 task: 1 ok, in 1.5s\n")
    assert "output cannot be shown: gone" in stage.err


# --- JSON lines ----------------------------------------------------------------------------------------------------------


def test_json_lines_are_the_events_of_the_design(stage: Stage) -> None:
    play_tasklist(JsonView(stage.printer(), stage.recorded, clock=lambda: 1_700_000_000.25), stage)
    events = stage.events
    assert all(list(event)[:3] == ["v", "event", "time"] for event in events)
    assert {event["time"] for event in events} == {"2023-11-14T22:13:20.250Z"}
    assert [event["event"] for event in events] == [
        "run_started", "task_started", "task_started", "task_ended", "task_ended", "task_ended", "run_ended",
    ]  # fmt: skip
    assert events[0] == {**_base(events[0]), "run": RUN, "plan": "demo", "tasks": 3}
    assert events[1] == {**_base(events[1]), "task": "words", "attempt": 1, "instance": None}
    assert events[4] == {
        **_base(events[4]), "task": "broken", "attempt": 1, "instance": None, "state": "failed", "cause": "exit:7",
        "exit_code": 7, "seconds": None, "memory": None, "cpu_seconds": None, "will_retry": False,
    }  # fmt: skip
    assert events[5]["task"] == "never"
    assert (events[5]["attempt"], events[5]["state"], events[5]["cause"]) == (None, "skipped", "dependency:broken")
    last = events[6]
    assert last["counts"] == {"ok": 1, "failed": 1, "skipped": 1, "cancelled": 0, "cached": 0}
    assert (last["run"], last["state"], last["exit_code"], last["seconds"]) == (RUN, "failed", 1, 1.5)
    assert list(last["tasks"]) == ["words", "broken", "never"]
    assert last["tasks"]["broken"] == {
        "state": "failed", "cause": "exit:7", "attempts": 1, "seconds": 0.25, "memory": 4096, "instances": None,
    }  # fmt: skip


def _base(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("v", "event", "time")}


def test_each_attempt_ends_with_an_event_and_says_whether_another_follows(stage: Stage) -> None:
    view = JsonView(stage.printer())
    view.run_started(opening("a"))
    view.attempt_started(key(0), began())
    view.attempt_ended(key(0), fail(), Retry("exit", 0.0, Request(()), None))
    view.attempt_started(key(0, attempt=2), began())
    view.attempt_ended(key(0, attempt=2), Outcome(True, exit_code=0), None)
    view.task_ended(settle(0, attempts=2))
    view.run_ended(ending())
    ended = [event for event in stage.events if event["event"] == "task_ended"]
    assert [(event["attempt"], event["state"], event["will_retry"]) for event in ended] == [
        (1, "failed", True),
        (2, "ok", False),
    ]


def test_a_cached_task_ends_without_an_attempt(stage: Stage) -> None:
    view = JsonView(stage.printer())
    view.run_started(opening("a"))
    view.task_ended(settle(0, "ok", "cached"))
    view.run_ended(ending())
    assert [event["event"] for event in stage.events] == ["run_started", "task_ended", "run_ended"]
    assert (stage.events[1]["state"], stage.events[1]["cause"], stage.events[1]["seconds"]) == ("ok", "cached", None)
    assert stage.events[2]["counts"]["cached"] == stage.events[2]["counts"]["ok"] == 1


def test_any_name_and_any_output_stay_one_json_line(stage: Stage) -> None:
    name = 'a "b"\\ \u202e\U0001f600[x]'
    view = JsonView(stage.printer(), stage.recorded, follow=True)
    view.run_started(opening(name))
    view.attempt_started(key(0), began())
    view.attempt_ended(key(0), Outcome(True, stdout=stage.logs.keep(b"\x1b[2J\n\xff\x00")), None)
    view.task_ended(settle(0))
    view.run_ended(ending())
    outputs = [event for event in stage.events if event["event"] == "task_output"]
    assert "".join(event["text"] for event in outputs) == "\x1b[2J\n\ufffd\x00"
    assert {event["task"] for event in outputs} == {name}
    assert stage.out.isascii()


def test_products_are_part_of_the_end(stage: Stage) -> None:
    policies = {"j": Policy(product=Product("json")), "s": Policy(product=Product("stdout")), "n": Policy()}
    view = JsonView(stage.printer())
    view.run_started(opening("j", "s", "n", policies=policies))
    for task, product in enumerate(('{"k":\n [1, 2]}', "two\nlines", "none")):
        view.attempt_started(key(task), began())
        view.attempt_ended(key(task), Outcome(True, product=product), None)
        view.task_ended(settle(task))
    view.run_ended(ending())
    tasks = stage.events[-1]["tasks"]
    assert tasks["j"]["product"] == {"k": [1, 2]}
    assert tasks["s"]["product"] == "two\nlines"
    assert "product" not in tasks["n"]


def test_instances_have_numbers_and_the_task_has_no_event_of_its_own(stage: Stage) -> None:
    stage.rows = [TaskRow(0, "m", "failed", "exit:7", None, 2, 0.2, None, None, None, 2)]
    view = JsonView(stage.printer(), stage.recorded)
    view.run_started(opening("m", policies={"m": Policy(foreach=Foreach(values=(1, 2)))}))
    view.attempt_started(key(0, 0), began())
    view.attempt_ended(key(0, 0), Outcome(True), None)
    view.attempt_started(key(0, 1), began())
    view.attempt_ended(key(0, 1), fail(), None)
    view.task_ended(settle(0, "failed", "exit:7", attempts=2))
    view.run_ended(ending("failed", 1))
    ended = [event for event in stage.events if event["event"] == "task_ended"]
    assert [(event["instance"], event["state"]) for event in ended] == [(0, "ok"), (1, "failed")]
    assert stage.events[-1]["tasks"]["m"]["instances"] == 2


# --- errors only ---------------------------------------------------------------------------------------------------------


def test_quiet_prints_errors_only(stage: Stage) -> None:
    view = QuietView(stage.printer())
    play_tasklist(view, stage)
    assert stage.out == ""
    assert stage.err == "weft: task 'broken' failed: exit:7\n"


# --- terminal ------------------------------------------------------------------------------------------------------------


def live(stage: Stage, clock: Callable[[], float], place: Place = TERMINAL) -> LiveView:
    return LiveView(stage.printer(True), place, stage.recorded, title="plan.json", clock=clock)


def test_a_short_run_in_a_terminal_has_a_header_failures_and_a_footer(stage: Stage) -> None:
    play_tasklist(live(stage, lambda: 0.0), stage)
    log = os.path.relpath(f"/plans/.weft/logs/{RUN}/slot")
    assert stage.out == (
        f"plan.json  3 tasks, 2 cores  run {RUN[:12]}\n"
        "✗ broken: exit:7\n"
        "exit:7: 1 task\n"
        "  broken\n"
        "    | lost\n"
        f"    log:   {log} (bytes 9 to 14)\n"
        f"    see:   weft logs --state /plans/.weft {RUN[:12]} broken\n"
        f"    retry: weft retry --state /plans/.weft {RUN[:12]} broken\n"
        "failed  3 tasks: 1 ok, 1 failed, 1 skipped, in 1.5s\n"
        f"try the failed ones again: weft retry --state /plans/.weft {RUN[:12]} --failed\n"
    )


def test_the_region_shows_kinds_the_longest_a_bar_and_amounts(stage: Stage) -> None:
    now = [0.0]
    view = live(stage, lambda: now[0], Place(True, True, False, 80))
    names = [f"fetch-{number}" for number in range(4)] + ["fit"]
    view.run_started(opening(*names))
    for task in (0, 1):
        view.attempt_started(key(task), began())
    now[0] = 5.0
    view.attempt_ended(key(0), Outcome(True, usage=Usage(5.0)), None)
    view.task_ended(settle(0))
    text = _drawn(view, 80)
    assert "fetch" in text and "1/4" in text and "1 running" in text
    assert "fit" in text and "0/1" in text
    assert "fetch-1" in text and "5s" in text
    assert "20%" in text and "ETA" in text
    assert "cores 1/2" in text
    assert all(len(line) <= 40 for line in _drawn(view, 40).splitlines())
    view.close()


def test_long_names_give_way_to_figures_in_a_narrow_terminal(stage: Stage) -> None:
    view = live(stage, lambda: 0.0, Place(True, True, False, 40))
    view.run_started(opening("a name that is far too long for a terminal of forty columns", "b"))
    view.attempt_started(key(0), began())
    first, second, *_ = _drawn(view, 40).splitlines()
    assert first.startswith("a name that is") and first.endswith("… 0/1 1 running") and len(first) == 40
    assert second.split() == ["b", "0/1"]
    view.close()


def _drawn(view: LiveView, columns: int) -> str:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    Console(file=out, width=columns, no_color=True, force_terminal=False).print(view._region())
    return out.getvalue()


def test_names_and_details_cannot_act_in_a_terminal(stage: Stage) -> None:
    view = live(stage, lambda: 0.0)
    view.run_started(opening("[bold]x[/bold] \u202eevil"))
    view.attempt_started(key(0), began())
    view.attempt_ended(key(0), fail(detail="\x1b]0;title\x07", stderr=stage.logs.keep(b"\x1b[2Jgone\n")), None)
    view.task_ended(settle(0, "failed", "exit:7"))
    view.remarked("\x1b[31mremark", 0)
    view.run_ended(ending("failed", 1))
    assert "\x1b" not in stage.out and "\u202e" not in stage.out and "\x07" not in stage.out
    assert "[bold]x[/bold] \\u202eevil" in stage.out
    assert "\\x1b[2Jgone" in stage.out
    assert f"retry: weft retry --state /plans/.weft {RUN[:12]} $'[bold]x[/bold] \\u202eevil'" in stage.out


def test_the_region_is_taken_away_when_a_run_breaks_off(stage: Stage) -> None:
    now = [0.0]
    view = live(stage, lambda: now[0])
    view.run_started(opening("a", "b"))
    view.attempt_started(key(0), began())
    now[0] = 1.0
    view._printer.call(view._tick)  # type: ignore[arg-type]
    view._printer.flush()
    assert "\x1b[?25l" in stage.out  # the region hides the cursor
    view.close()
    assert stage.out.rindex("\x1b[?25h") > stage.out.rindex("\x1b[?25l")


def test_a_failure_while_the_region_is_shown_stays_above_it(stage: Stage) -> None:
    now = [0.0]
    view = live(stage, lambda: now[0])
    view.run_started(opening("a", "b"))
    view.attempt_started(key(0), began())
    now[0] = 1.0
    view._printer.call(view._tick)  # type: ignore[arg-type]
    view.attempt_ended(key(0), fail(), Retry("exit", 0.0, Request(()), "memory 1G -> 2G"))
    view._printer.flush()
    assert "↻ a: attempt 1 failed (exit:7); trying again with memory 1G -> 2G" in stage.out
    view.close()
