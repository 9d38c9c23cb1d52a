"""The observer that sends notes: what it waits for at the end, what it gives up, whom it tells."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from weft.assemble.notifying import INSTANCES_SHOWN, Limits, Notifying
from weft.assemble.noting import ReadyNote, prepare_notes
from weft.assemble.run_settings import RunSettings
from weft.errors import PlanError
from weft.notes.printing import begin_routing, end_routing, enter_note
from weft.ports import Gauge, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Outcome, Request, Usage
from weft.spec.actions import Command, Expand
from weft.spec.environments import Environment, ShellValue
from weft.spec.graph import Graph
from weft.spec.notes import Note
from weft.spec.plan import Plan
from weft.spec.tasks import Policy, Task
from weft.testing.scenario import task

RUN = "ab" * 16
LIMIT = 20.0


class View:
    """An observer that remembers. echoes: whether it can print."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.endings: list[RunEnding] = []
        self.ticks = 0

    def run_started(self, opening: RunOpening) -> None: ...
    def attempt_started(self, *_: Any) -> None: ...
    def attempt_ended(self, *_: Any) -> None: ...
    def task_ended(self, settled: SettleTask) -> None: ...

    def remarked(self, text: str, task: int | None) -> None:
        self.remarks.append(text)

    def run_ended(self, ending: RunEnding) -> None:
        self.endings.append(ending)

    def tick(self, idle: bool) -> float | None:
        self.ticks += 1
        return 7.0


class Printing(View):
    def __init__(self) -> None:
        super().__init__()
        self.echoes: list[str] = []

    def echoed(self, text: str) -> None:
        self.echoes.append(text)


class Sink:
    """A class of the user's that the test holds by the door."""

    gate = threading.Event()
    entered = threading.Semaphore(0)
    records: Sequence[dict[str, Any]] = ()

    def __init__(self, **keywords: Any):
        self.keywords = keywords

    def send(self, record: dict[str, Any]) -> None:
        Sink.entered.release()
        assert Sink.gate.wait(LIMIT)
        Sink.records = [*Sink.records, {**record, **self.keywords}]


@pytest.fixture(autouse=True)
def door() -> Iterator[None]:
    Sink.gate, Sink.entered, Sink.records = threading.Event(), threading.Semaphore(0), ()
    yield
    Sink.gate.set()


def plan(folder: Path, note: Note, *tasks: Task, environments: dict[str, Environment] | None = None) -> Plan:
    given = tasks or tuple(task(name, notes=("n",)) for name in "abc")
    return Plan(Graph(given), root=str(folder), notes={"n": note}, environments=environments or {})


def notifying(
    folder: Path, made: Plan, observers: Sequence[View], limits: Limits, interrupts: Any = lambda: 0
) -> Notifying:
    ready = prepare_notes(made, range(len(made.graph)), RunSettings())
    sends = Notifying(made, ready, observers, interrupts, limits)
    (folder / "logs" / RUN).mkdir(parents=True, exist_ok=True)
    gauge = Gauge({}, {}, ())
    sends.run_started(RunOpening(RUN, made, range(len(made.graph)), 0, str(folder), {}, lambda: gauge))
    return sends


def settle(index: int, state: Any = "ok", cause: str | None = None) -> SettleTask:
    return SettleTask(index, state, cause, None, 1, None, Usage(0.5))


QUICK = Limits(each=0.2, backlog=0.4, stop=0.1)
ENDING = RunEnding(RUN, "ok", 0, 1.0)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Note:
    monkeypatch.setitem(sys.modules, "sinks_of_tests", sys.modules[__name__])
    return Note("sinks_of_tests:Sink", {"word": "$WORD $WEFT_TASK"})


def test_a_sink_that_hangs_is_given_up_and_told_and_the_engine_never_waits_for_it(own: Note, tmp_path: Path) -> None:
    view = View()
    with notifying(tmp_path, plan(tmp_path, own), [view], QUICK) as sends:
        for index in range(3):
            sends.task_ended(settle(index))  # returns at once
        assert Sink.entered.acquire(timeout=LIMIT)
        assert sends.tick(True) is not None
        sends.run_ended(ENDING)
    (ending,) = view.endings
    assert (ending.notes["n"].sent, ending.notes["n"].unsent) == (0, 3)
    assert view.remarks == ["note 'n' could not be sent: not done within 0.2 s"]
    assert (ending.state, ending.exit_code) == ("ok", 0)


def test_the_end_waits_for_what_is_under_way(own: Note, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "hello")
    view = View()
    with notifying(tmp_path, plan(tmp_path, own), [view], Limits()) as sends:
        for index in range(3):
            sends.task_ended(settle(index))
        assert Sink.entered.acquire(timeout=LIMIT)
        threading.Timer(0.05, Sink.gate.set).start()
        sends.run_ended(ENDING)
    assert [record["word"] for record in Sink.records] == ["hello a", "hello b", "hello c"]
    assert view.endings[0].notes["n"].sent == 3 and view.remarks == []


def test_an_interrupt_at_the_end_ends_the_waiting(own: Note, tmp_path: Path) -> None:
    view, level = View(), iter([1, 1])
    with notifying(tmp_path, plan(tmp_path, own), [view], Limits(), lambda: next(level, 2)) as sends:
        sends.task_ended(settle(0))
        assert Sink.entered.acquire(timeout=LIMIT)
        sends.run_ended(ENDING)
    assert view.endings[0].notes["n"].unsent == 1


def test_a_run_that_breaks_off_waits_for_nothing(own: Note, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), notifying(tmp_path, plan(tmp_path, own), [View()], Limits()) as sends:
        sends.task_ended(settle(0))
        assert Sink.entered.acquire(timeout=LIMIT)
        raise RuntimeError


def test_cached_tasks_and_those_of_the_noop_executor_are_not_sent(own: Note, tmp_path: Path) -> None:
    Sink.gate.set()
    tasks = (task("a", notes=("n",)), task("b", notes=("n",), executor="noop"), task("c"))
    view = View()
    with notifying(tmp_path, plan(tmp_path, own, *tasks), [view], Limits()) as sends:
        sends.task_ended(settle(0, cause="cached"))
        sends.task_ended(settle(1))
        sends.task_ended(settle(2))
        sends.run_ended(ENDING)
    assert view.endings[0].notes["n"] == (0, 0, None)


def test_other_observers_hear_everything_and_tickers_keep_their_time(own: Note, tmp_path: Path) -> None:
    view = View()
    with notifying(tmp_path, plan(tmp_path, own), [view], Limits()) as sends:
        assert sends.tick(True) == 7.0
        sends.task_ended(settle(0))
        assert Sink.entered.acquire(timeout=LIMIT)
        wish = sends.tick(False)
        assert wish is not None and wish < 1.0
        Sink.gate.set()
        sends.run_ended(ENDING)
    assert view.ticks == 2


def test_an_echo_is_printed_by_the_view_or_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(tmp_path, Note("echo", {"max_lines": 1}))
    view = Printing()
    for observers in ([view], [View()]):
        with notifying(tmp_path, made, observers, Limits()) as sends:
            sends.task_ended(settle(1))
            sends.run_ended(ENDING)
    assert view.echoes == ["b: ok, 500ms\n"]
    assert capsys.readouterr().out == "b: ok, 500ms\n"


def test_of_a_retried_task_the_last_attempt_counts_and_of_many_instances_the_failed_ones_first(
    own: Note, tmp_path: Path
) -> None:
    Sink.gate.set()
    log = tmp_path / "logs" / RUN / "f"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"{number:03d}\n" for number in range(300)))
    retry = Retry("exit:1", 0.0, Request(()), None)

    def outcome(number: int, ok: bool) -> Outcome:
        return Outcome(ok, None if ok else "exit:1", 0 if ok else 1, None, stdout=LogRegion("f", 4 * number, 4))

    with notifying(tmp_path, plan(tmp_path, own), [View()], Limits()) as sends:
        sends.attempt_ended(AttemptKey(0, WHOLE, 1), outcome(1, False), retry)
        sends.attempt_ended(AttemptKey(0, WHOLE, 2), outcome(2, True), None)
        sends.task_ended(settle(0))
        for instance in reversed(range(200)):
            sends.attempt_ended(AttemptKey(1, instance, 1), outcome(instance, instance != 150), None)
        sends.attempt_ended(AttemptKey(1, 250, 1), Outcome(True, None, 0, stdout=NO_OUTPUT), None)
        sends.task_ended(settle(1, "failed", "exit:1"))
        sends.run_ended(ENDING)
    first, second = Sink.records
    assert (first["output"], first["exit_code"]) == ("002\n", 0)
    assert second["output"].split() == ["150", *(f"{number:03d}" for number in range(INSTANCES_SHOWN - 1))]
    assert second["exit_code"] == 1


def test_variables_of_the_tasks_environment_count_but_not_what_a_shell_made(
    own: Note, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sink.gate.set()
    monkeypatch.setenv("NOW", "outside")
    variables = (("PLACE", "lab"), ("WORD", Expand("in $PLACE")), ("NOW", ShellValue("date")))
    note = Note(own.kind, {"word": "$WORD", "now": "$NOW"})
    made = plan(
        tmp_path,
        note,
        Task("a", Command(("true",)), policy=Policy(notes=("n",), environment="e")),
        environments={"e": Environment(variables=variables)},
    )
    with notifying(tmp_path, made, [View()], Limits()) as sends:
        sends.task_ended(settle(0))
        sends.run_ended(ENDING)
    assert (Sink.records[0]["word"], Sink.records[0]["now"]) == ("in lab", "$NOW")


def test_a_plan_that_was_made_in_python_is_checked_when_it_runs(tmp_path: Path) -> None:
    made = plan(tmp_path, Note("telegram", {"chat_id": 1, "tokn": "canary"}))
    with pytest.raises(PlanError) as refused:
        prepare_notes(made, range(3), RunSettings())
    assert {problem.code for problem in refused.value.problems()} == {"shape.unknown_key", "shape.missing"}
    assert "canary" not in str(refused.value)
    ready = prepare_notes(made, range(3), RunSettings(), is_lenient=True)
    assert isinstance(ready["n"], ReadyNote) and ready["n"].broken is not None
    assert prepare_notes(made, range(3), RunSettings(executor="noop")) == {}
    assert prepare_notes(made, (), RunSettings()) == {}


def test_prints_of_notes_go_to_standard_error_and_the_last_run_puts_back_what_was_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout
    begin_routing()
    begin_routing()

    def work() -> None:
        enter_note()
        print("of a note")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    print("of the run")
    end_routing()
    assert sys.stdout is not before
    end_routing()
    assert sys.stdout is before
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("of the run\n", "of a note\n")
