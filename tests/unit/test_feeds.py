"""Who reads whose output while it is written: `runtime.feeds`."""

from __future__ import annotations

from weft.ports import Stdin
from weft.runtime.feeds import EndInput, Feeds, Stop
from weft.scheduling.commands import CloseAttempt, Retry, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome, Request
from weft.spec.actions import Shell
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Policy, Task

MADE = Outcome(True, stdout=LogRegion("0000000000000007.out", 0, 12))
FAILED = Outcome(False, "exit:1")
AGAIN = Retry("exit:1", 0.0, Request(()), None)


def key(task: int, attempt: int = 1) -> AttemptKey:
    return AttemptKey(task, WHOLE, attempt)


def feeds(*, stream: bool = True) -> Feeds:
    maker = Task("a", Shell("echo x"), policy=Policy(product=Product("stdout", "any", stream)))
    reader = Task("b", Shell("cat"), dependencies=(Dependency("a", "stdin"),))
    plan = Plan(Graph((maker, reader)), "/plan")
    return Feeds(plan, (0, 1), "/logs", lambda task: f"/written/{task}")


def settle(state: str, cause: str | None = None) -> SettleTask:
    return SettleTask(0, state, cause, None, 1)  # type: ignore[arg-type]


def test_a_reader_of_a_live_maker_reads_the_log_of_its_attempt_and_is_told_its_length() -> None:
    found = feeds()
    assert not found.submitted(key(0), 7)
    assert found.stdin(1) == Stdin("/logs/0000000000000007.out", grows=True)
    assert found.submitted(key(1), 8)
    found.noted(CloseAttempt(key(0), 7, MADE, None))
    assert found.orders() == []
    found.noted(settle("ok"))
    assert found.orders() == [EndInput(1, 8, 12)]
    assert found.is_whole(1)


def test_a_reader_that_starts_later_reads_what_is_whole() -> None:
    for found in (feeds(), feeds(stream=False)):
        found.submitted(key(0), 7)
        found.noted(CloseAttempt(key(0), 7, MADE, None))
        found.noted(settle("ok"))
        assert found.stdin(1) == Stdin("/logs/0000000000000007.out", 0, 12)
        assert not found.submitted(key(1), 8)
        assert found.orders() == []


def test_nothing_written_is_the_null_device() -> None:
    found = feeds()
    found.submitted(key(0), 7)
    found.noted(CloseAttempt(key(0), 7, Outcome(True), None))
    found.noted(settle("ok"))
    assert found.stdin(1) is None


def test_a_product_without_a_log_of_this_run_is_written_to_a_file() -> None:
    found = feeds()
    found.noted(settle("ok", "cached"))
    assert found.stdin(1) == Stdin("/written/0")


def test_a_reader_is_ended_uncharged_when_its_maker_is_tried_again() -> None:
    found = feeds()
    found.submitted(key(0), 7)
    found.submitted(key(1), 8)
    found.noted(CloseAttempt(key(0), 7, FAILED, AGAIN))
    assert found.orders() == [Stop(key(1), "lost")]
    ended = found.ended(key(1), 8, Outcome(False, "lost"))
    assert (ended.cause, ended.charged) == ("lost", False)
    assert ended.detail == "its input began again: an attempt of 'a' failed"
    found.submitted(key(0, 2), 9)
    assert found.stdin(1) == Stdin("/logs/0000000000000009.out", grows=True)


def test_a_reader_is_told_the_root_when_its_maker_has_failed() -> None:
    found = feeds()
    found.submitted(key(0), 7)
    found.submitted(key(1), 8)
    found.noted(CloseAttempt(key(0), 7, FAILED, None))
    found.noted(settle("failed", "exit:1"))
    assert found.orders() == [Stop(key(1), "lost")]
    assert found.ended(key(1), 8, Outcome(False, "lost")).cause == "dependency:a"


def test_a_reader_that_had_all_it_wanted_stays_ok() -> None:
    found = feeds()
    found.submitted(key(0), 7)
    found.submitted(key(1), 8)
    found.noted(CloseAttempt(key(0), 7, FAILED, AGAIN))
    assert found.ended(key(1), 8, Outcome(True)).ok


def test_an_adopted_reader_is_told_what_was_missed() -> None:
    found = feeds()
    found.adopt(key(1), 8)
    found.adopt(key(0), 7)
    assert found.orders() == []
    found.noted(CloseAttempt(key(0), 7, MADE, None))
    found.noted(settle("ok"))
    assert found.orders() == [EndInput(1, 8, 12)]


def test_an_adopted_reader_whose_maker_is_gone_is_ended() -> None:
    found = feeds()
    found.adopt(key(1), 8)
    assert found.orders() == [Stop(key(1), "lost")]
