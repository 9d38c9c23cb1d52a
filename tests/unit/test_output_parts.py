"""The parts of the views: the printer, the place it prints to, names of kinds, tables, the tally."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from weft.cli.output.failures import Failure, failure_lines
from weft.cli.output.printer import WAITING_LIMIT, Printer
from weft.cli.output.progress import OTHERS, Progress, kind_of_task, memory_in_use
from weft.cli.output.report import command, counted, next_steps
from weft.cli.output.tables import table
from weft.cli.output.tally import Tally
from weft.cli.output.terminal import Place, harmless, label, look
from weft.ports import Gauge, RunOpening, TaskRow
from weft.scheduling.commands import SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Usage
from weft.spec.actions import Shell
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.tasks import Policy, Task

NARROW = Place(is_terminal=True, is_live=True, has_colour=False, columns=20)
PIPE = Place(is_terminal=False, is_live=False, has_colour=False, columns=80)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe: to read from, to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:  # the test closed it
            pass


def opening(*tasks: Task, resumed: int = 0) -> RunOpening:
    plan = Plan(Graph(tasks), "/root")
    return RunOpening("0" * 32, plan, range(len(tasks)), resumed, "/s", {}, lambda: Gauge({}, {"cores": 500}, ()))


def task(name: str, **policy: object) -> Task:
    return Task(name, Shell("true"), policy=Policy(**policy))  # type: ignore[arg-type]


# --- the printer ---------------------------------------------------------------------------------------------------------


def test_a_reader_that_does_not_read_holds_up_nobody(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    printer = Printer(writing, writing)
    line = "x" * 1000 + "\n"
    for _ in range(1000):  # a million bytes: more than a pipe holds
        printer.put(line)
    received = bytearray()
    reader = threading.Thread(target=lambda: received.extend(_read_all(reading)))
    reader.start()
    printer.close()
    os.close(writing)
    reader.join()
    assert received.decode() == line * 1000


def _read_all(descriptor: int) -> bytes:
    found = b""
    while piece := os.read(descriptor, 1 << 16):
        found += piece
    return found


def test_text_regions_and_errors_keep_their_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    printer = Printer(writing, writing, read=lambda region, offset=0, limit=None: b"log")
    printer.put("one\n")
    printer.copy(LogRegion("f", 0, 3))
    printer.warn("two\n")
    printer.put("three\n")
    printer.close()
    os.close(writing)
    assert _read_all(reading) == b"one\nlog\ntwo\nthree\n"


def test_a_reader_that_went_away_ends_the_printing_silently(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    errors_read, errors_write = os.pipe()
    printer = Printer(writing, errors_write)
    for _ in range(10):
        printer.put("line\n")
    printer.close()
    os.close(errors_write)
    assert _read_all(errors_read) == b""
    os.close(errors_read)


def test_a_full_disk_is_told_once(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    full = os.open("/dev/full", os.O_WRONLY)
    printer = Printer(full, writing)
    printer.put("line\n")
    printer.put("line\n")
    printer.close()
    printer.close()
    os.close(full)
    os.close(writing)
    told = _read_all(reading).decode()
    assert told.count("standard output cannot be written") == 1 and "No space left" in told


def test_a_view_with_a_bug_costs_the_output_and_nothing_else(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    def stumble(_: Printer) -> None:
        raise ZeroDivisionError("planted")

    printer = Printer(writing, writing)
    printer.call(stumble)
    for _ in range(WAITING_LIMIT + 10):  # would wait for room for ever
        printer.put("line\n")
    printer.flush()
    printer.close()
    os.close(writing)
    assert b"a bug in weft (ZeroDivisionError: planted)" in _read_all(reading)


def test_a_printer_may_be_used_again_after_its_close(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    printer = Printer(writing, writing)
    for word in ("one", "two"):
        printer.put(word)
        printer.close()
    os.close(writing)
    assert _read_all(reading) == b"onetwo"


def test_a_log_that_became_shorter_is_told(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    pieces = iter([b"par", b""])
    printer = Printer(writing, writing, read=lambda region, offset=0, limit=None: next(pieces))
    printer.copy(LogRegion("f", 0, 10))
    printer.close()
    os.close(writing)
    assert _read_all(reading) == b"parweft: output cannot be shown: its log is shorter than it was\n\n"


# --- the place -----------------------------------------------------------------------------------------------------------


def test_a_pipe_is_no_terminal_whatever_the_environment_says(pipe: tuple[int, int]) -> None:
    place = look(pipe[1], {"TERM": "xterm"})
    assert place == Place(False, False, False, 80)
    assert look(pipe[1], {"TERM": "xterm"}, "always").has_colour


@pytest.mark.parametrize(
    ("environ", "is_live", "has_colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm", "CI": "true"}, False, True),
        ({"TERM": "xterm", "CI": "false"}, True, True),
        ({}, False, False),
    ],
)
def test_the_environment_of_a_terminal_is_honoured(
    environ: dict[str, str], is_live: bool, has_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: True)
    place = look(1, {**environ, "COLUMNS": "33"})
    assert (place.is_terminal, place.is_live, place.has_colour, place.columns) == (True, is_live, has_colour, 33)


def test_everything_a_terminal_obeys_is_written_out() -> None:
    assert harmless("a\tb\nc\r\nd\re") == "a\tb\nc\nd\\x0de"
    assert harmless("\x1b[2J\x9b\x7f\u202e\x00") == "\\x1b[2J\\x9b\\x7f\\u202e\\x00"
    assert harmless("plain ü 漢 🙂") == "plain ü 漢 🙂"
    assert label("two\nlines\t") == "two\\nlines\\t"
    assert label("\u202eevil") == "\\u202eevil"


# --- kinds, tables, counts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (task("fetch-001"), "fetch"),
        (task("fetch_12"), "fetch"),
        (task("count:asyncio"), "count"),
        (task("train[3]"), "train"),
        (task("stage/one"), "stage"),
        (task("42"), "42"),
        (task(":x"), ":x"),
        (task("any", template="tile"), "tile"),
        (task("any", attributes={"category": "blast"}), "blast"),
    ],
)
def test_a_kind_is_template_category_or_the_beginning_of_the_name(made: Task, kind: str) -> None:
    assert kind_of_task(made) == kind


def test_many_kinds_share_the_last_line_and_no_task_is_lost() -> None:
    tasks = [task(f"{letter}-{number}") for letter in "abcdefghijkl" for number in range(2 if letter == "l" else 1)]
    progress = Progress(opening(*tasks), 0.0)
    assert len(progress.kinds) == 8 and progress.kinds[-1].name == OTHERS
    assert sum(kind.total for kind in progress.kinds) == len(tasks)
    assert "l" in [kind.name for kind in progress.kinds], "the largest kinds are shown"


def test_the_estimate_uses_measured_means_and_the_parallelism_seen() -> None:
    progress = Progress(opening(*(task(f"t{number}") for number in range(10))), 0.0)
    assert progress.seconds_left(1.0) is None
    for number in range(4):
        progress.begin(AttemptKey(number, WHOLE, 1), 0.0)
    for number in range(4):
        progress.end(AttemptKey(number, WHOLE, 1), 2.0)
        progress.settle(SettleTask(number, "ok", None, None, 1, None, Usage(2.0)))
    assert progress.done == 4
    assert progress.seconds_left(2.0) == pytest.approx(6 * 2.0 / 4)


def test_the_estimate_counts_instances_of_mapped_tasks_and_bears_with_who_takes_longer() -> None:
    made = opening(task("each"), task("last"))
    progress = Progress(made._replace(gauge=lambda: Gauge({}, {}, (), parts_of=lambda _: (2, 10))), 0.0)
    for number in range(3):
        progress.begin(AttemptKey(0, number, 1), 2.0 * number)
        if number < 2:
            progress.end(AttemptKey(0, number, 1), 2.0 * number + 2.0)
    assert progress.instances() == {"each": (2, 10)}
    assert progress.seconds_left(5.0) == pytest.approx(7.5 * 2.0 + 2.0), "seven and a half of them, and the last task"
    assert progress.seconds_left(10.0) == pytest.approx(7 * 2.0 + 2.0 + 2.0), (
        "one has taken three times as long as usual"
    )
    progress.end(AttemptKey(0, 2, 1), 10.0)
    progress.settle(SettleTask(0, "ok", None, None, 3, None, Usage(2.0)))
    assert progress.instances() == {}


def test_memory_in_use_is_what_is_not_available() -> None:
    assert memory_in_use("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n") == (600 * 1024, 1000 * 1024)
    assert memory_in_use("nothing") is None


def test_a_narrow_terminal_does_without_spare_columns_and_a_pipe_keeps_all() -> None:
    head, rows = ("NAME", "MEMORY", "CAUSE"), [("a", "1234567890", "exit:3")]
    assert table(head, rows, NARROW, spare=("MEMORY",)) == "NAME  CAUSE\na     exit:3\n"
    assert "1234567890" in table(head, rows, PIPE, spare=("MEMORY",))


def test_counts_leave_out_what_is_zero_and_tell_what_has_not_ended() -> None:
    counts = {"ok": 3, "failed": 0, "skipped": 0, "cancelled": 1, "cached": 2}
    assert counted(counts, 5) == "5 tasks: 3 ok (2 cached), 1 cancelled, 1 not ended"


def test_a_command_to_type_is_quoted_for_the_shell() -> None:
    here = os.path.join(os.getcwd(), ".weft")
    assert command("retry", here, "abc", "a b'c") == "weft retry abc 'a b'\"'\"'c'"
    assert command("retry", here, "abc", "-x") == "weft retry -- abc -x"
    assert command("logs", "/else where", "abc", "t") == "weft logs --state '/else where' abc t"
    assert command("logs", here, "abc", "\u202e'\\") == "weft logs abc $'\\u202e\\'\\\\'"


def test_the_tally_fills_in_only_what_no_event_told() -> None:
    tally = Tally(opening(task("a"), task("b"), resumed=1))
    tally.settle(SettleTask(1, "failed", "exit:1", None, 1, None, Usage(1.0)))
    rows = [TaskRow(0, "a", "ok", "cached", None, 0, None, None, None, None, 0)]
    rows.append(TaskRow(1, "b", "ok", None, None, 9, None, None, None, None, 0))
    tally.complete(rows)
    assert [(ended.state, ended.cause, ended.attempts) for ended in tally] == [
        ("ok", "cached", 0),
        ("failed", "exit:1", 1),
    ]
    assert tally.counts() == {"ok": 1, "failed": 1, "skipped": 0, "cancelled": 0, "cached": 1}


def test_a_task_that_settles_twice_is_counted_once() -> None:
    tally = Tally(opening(task("a")))
    tally.settle(SettleTask(0, "failed", "exit:1", None, 1))
    tally.settle(SettleTask(0, "ok", None, None, 2))
    assert tally.done == 1 and tally.counts()["failed"] == 0
    assert next(iter(tally)).cause is None


def test_the_log_of_a_failed_instance_is_named_as_weft_logs_takes_it() -> None:
    tally = Tally(opening(task("map")))
    tally.settle(SettleTask(0, "failed", "exit:1", None, 1))
    failure = Failure(0, "map[a b]", "exit:1", None, LogRegion("slot", 0, 0))
    lines = failure_lines([failure], tally, "R", PIPE, None)
    assert lines[2] == "    see:   weft logs --state /s R 'map[a b]'"
    assert lines[3] == "    retry: weft retry --state /s R map"


@pytest.mark.parametrize(
    ("counts", "given_up", "verbs"),
    [
        ({}, 0, []),
        ({"failed": 1, "skipped": 2}, 0, ["retry R --failed"]),
        ({"cancelled": 1, "skipped": 1}, 1, ["retry R"]),
        ({"failed": 1, "cancelled": 1}, 1, ["retry R --failed", "retry R"]),
        ({"cancelled": 2}, 0, ["resume R"]),
        ({"failed": 1, "cancelled": 2}, 1, ["retry R --failed", "retry R", "resume R"]),
        ({"skipped": 1}, 0, ["resume R"]),
    ],
)
def test_what_can_be_done_next_is_what_takes_up_what_was_left(
    counts: dict[str, int], given_up: int, verbs: list[str]
) -> None:
    lines = next_steps({"failed": 0, "skipped": 0, "cancelled": 0, **counts}, given_up, os.path.abspath(".weft"), "R")
    assert [line.partition(": weft ")[2] for line in lines] == verbs
