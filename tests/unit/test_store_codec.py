"""Facts to text and back; texts of old versions for ever."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    Retry,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Outcome, Request, Usage
from weft.scheduling.reasons import Reason
from weft.store import codec
from weft.store.facts import ChangePlan, CountReceipts, EndRun, Fact, OwnRun

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "facts_v1.jsonl")

SMALL = Request((("cores", 1000),))
LARGE = Request((("cores", 2000), ("memory", 1 << 30)), 60.5, "long")

# One transaction of each kind of fact, as version 1 wrote it into the golden file, line by line.
VERSION_1: list[list[Fact]] = [
    [OwnRun(1, "host", 4711, 1_700_000_000.25)],
    [
        StartAttempt(AttemptKey(0, WHOLE, 1), 2**64 - 1, SMALL, 0),
        StartAttempt(AttemptKey(7, 3, 2), 0, LARGE, 0),
        StartAttempt(AttemptKey(8, WHOLE, 1), 5, SMALL, 0),
    ],
    [
        BeginAttempt(
            AttemptKey(0, WHOLE, 1), 9, 1_700_000_001.5, LogRegion("s0.out", 0, -1), LogRegion("s0.err", 4, -1)
        ),
        BeginAttempt(AttemptKey(1, WHOLE, 1), 10, 1.0),
    ],
    [
        CloseAttempt(AttemptKey(0, WHOLE, 1), 9, Outcome(True), None),
        CloseAttempt(AttemptKey(1, WHOLE, 1), 10, Outcome(True, None, 0, usage=Usage(0.25)), None),
        CloseAttempt(
            AttemptKey(2, 0, 3),
            11,
            Outcome(
                False,
                "memory",
                137,
                "killed at 60 MB",
                Usage(1.5, 0.125, 60_000_000),
                LogRegion("s1.out", 10, 20),
                NO_OUTPUT,
                "caf\udce9 ünï",
                charged=False,
                alone=True,
            ),
            Retry("memory", 2.5, LARGE, "memory 40M -> 60M"),
        ),
    ],
    [
        SettleTask(0, "ok", None, None, 1),
        SettleTask(1, "ok", "cached", None, 0, "ab" * 32),
        SettleTask(2, "failed", "exit:3", "no", 3, None, Usage(0.5, None, 1024)),
        SettleInstance(3, 0, "ok", None, None),
        SettleInstance(3, 1, "skipped", "dependency:a", "a failed"),
    ],
    [TakeItems(4, ("x", "caf\udce9")), TakeItems(5, ())],
    [AddItems(6, 0, ()), AddItems(6, 2, ("x", "caf\udce9"))],
    [ReopenTask(2), ReopenTask(3, True), ExplainTask(2, (Reason("part", "changed", "code", "1", None),))],
    [ChangePlan({0: 0, 1: 1, 3: 2, 9: 5}), CountReceipts({"w1.log": 4096})],
    [EndRun("interrupted", None, 5.0), EndRun("failed", 1, 6.0)],
]


def test_golden_facts_of_version_1_are_read_as_they_were_meant() -> None:
    with open(GOLDEN, encoding="ascii") as source:
        lines = source.read().splitlines()
    assert [codec.decode(line) for line in lines] == VERSION_1


def test_version_1_is_still_written_as_in_the_golden_file() -> None:
    with open(GOLDEN, encoding="ascii") as source:
        assert [codec.encode(facts) for facts in VERSION_1] == source.read().splitlines()


def test_a_request_with_texts_says_that_an_older_weft_cannot_read_it() -> None:
    told = Request((("cores", 1000),), None, None, (("project", "p"), ("stdout", "o/")))
    coded = codec.encode(
        [StartAttempt(AttemptKey(0, WHOLE, 1), 5, told, 0), StartAttempt(AttemptKey(1, WHOLE, 1), 6, SMALL, 0)]
    )
    assert coded == (
        '{"v":3,"n":5,"r":[[[["cores",1000]],null,null,[["project","p"],["stdout","o/"]]],[[["cores",1000]],null,null]],'
        '"f":[["s",0,-1,1,0,0],["s",1,-1,1,1,1]]}'
    )
    assert [fact.request for fact in codec.decode(coded)] == [told, SMALL]  # type: ignore[union-attr]
    assert codec.load_request(codec.dump_request(told)) == told
    again = Retry("memory", 0.0, told, None)
    assert codec.load_retry(codec.dump_retry(again) or "") == again


text = st.text(st.characters(), max_size=8)
keys = st.builds(AttemptKey, st.integers(0, 10**6), st.integers(-1, 10**6), st.integers(1, 99))
nonces = st.integers(0, 2**64 - 1)
seconds = st.integers(0, 10**12).map(lambda micro: micro / 10**6)
requests = st.builds(
    Request,
    st.lists(st.tuples(text, st.integers(0, 2**60)), max_size=3).map(tuple),
    st.none() | seconds,
    st.none() | text,
    st.lists(st.tuples(text, text), max_size=2).map(tuple),
)
regions = st.just(NO_OUTPUT) | st.builds(LogRegion, text.filter(bool), st.integers(0, 2**50), st.integers(-1, 2**50))
usages = st.builds(Usage, seconds, st.none() | seconds, st.none() | st.integers(0, 2**60))
outcomes = st.builds(
    Outcome,
    st.booleans(),
    st.none() | text,
    st.none() | st.integers(0, 255),
    st.none() | text,
    usages,
    regions,
    regions,
    st.none() | text,
    st.booleans(),
    st.booleans(),
)
retries = st.none() | st.builds(Retry, text, seconds, requests, st.none() | text)
states = st.sampled_from(["ok", "failed", "skipped", "cancelled"])
facts = st.one_of(
    st.tuples(keys, nonces, requests).map(lambda drawn: StartAttempt(*drawn, 0)),
    st.builds(BeginAttempt, keys, nonces, seconds, regions, regions),
    st.builds(CloseAttempt, keys, nonces, outcomes, retries),
    st.builds(
        SettleTask,
        st.integers(0, 10**6),
        states,
        st.none() | text,
        st.none() | text,
        st.integers(0, 9),
        st.none() | text,
        usages,
    ),
    st.builds(SettleInstance, st.integers(0, 9), st.integers(0, 9), states, st.none() | text, st.none() | text),
    st.builds(TakeItems, st.integers(0, 9), st.lists(text, max_size=4).map(tuple)),
    st.builds(AddItems, st.integers(0, 9), st.integers(0, 9), st.lists(text, max_size=4).map(tuple)),
    st.builds(ReopenTask, st.integers(0, 9), st.booleans()),
    st.builds(ChangePlan, st.dictionaries(st.integers(0, 40), st.integers(0, 40), max_size=20)),
    st.builds(CountReceipts, st.dictionaries(text, st.integers(0, 2**60), max_size=3)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(facts, max_size=8))
def test_every_fact_comes_back_as_it_was(found: list[Fact]) -> None:
    payload = codec.encode(found)
    assert payload.isascii()
    assert codec.decode(payload) == found
    assert codec.encode(codec.decode(payload)) == payload


# --- many tasks that were cached ---------------------------------------------------------------------------------------


def cached(task: int, fingerprint: str | None = None) -> SettleTask:
    return SettleTask(task, "ok", "cached", None, 0, f"{task:064x}" if fingerprint is None else fingerprint)


def test_many_cached_tasks_are_written_as_one_fact_of_version_2() -> None:
    found = [cached(task, f"{task:04x}") for task in (*range(15), 20, 21)]
    payload = codec.encode(found)
    digests = "AAAAAQACAAMABAAFAAYABwAIAAkACgALAAwADQAOABQAFQ=="
    assert payload == f'{{"v":2,"f":[["k",[[0,15],[20,2]],"{digests}"]]}}'
    assert codec.decode(payload) == found


def test_few_cached_tasks_are_written_as_version_1_wrote_them() -> None:
    assert codec.encode([cached(7, "ab")]) == '{"v":1,"f":[["t",7,"ok",0,"cached",null,"ab"]]}'


cached_facts = st.integers(0, 40).map(cached)
nearly_cached = st.sampled_from(
    [
        cached(3, "AB" * 32),
        cached(3, "ab"),
        cached(3, ""),
        cached(3, "a" * 63 + " "),
        cached(3, "caf\udce9"),
        cached(3)._replace(fingerprint=None),
        cached(3)._replace(attempts=1),
        cached(3)._replace(state="skipped"),
        cached(3)._replace(detail="why"),
        cached(3)._replace(usage=Usage(1.0)),
    ]
)
rows_of_facts = st.lists(st.lists(cached_facts, min_size=14, max_size=20) | st.lists(nearly_cached | facts, max_size=2))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows_of_facts)
def test_cached_tasks_come_back_in_their_places_among_others(found: list[list[Fact]]) -> None:
    together = [fact for row in found for fact in row]
    assert codec.decode(codec.encode(together)) == together


def test_a_payload_is_deflated_when_that_makes_it_shorter() -> None:
    same, chance = "x" * 40_000, codec.encode([cached(task, os.urandom(32).hex()) for task in range(1000)])
    assert isinstance(codec.pack(same), bytes)
    assert codec.pack(chance) == chance
    assert [codec.unpack(codec.pack(payload)) for payload in (same, chance)] == [same, chance]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"v":1}',
        '{"v":1,"f":[["?",1]]}',
        '{"v":1,"f":[["s",0,-1]]}',
        '{"v":1,"f":[["s",0,-1,1,0,7]]}',
        '{"v":1,"f":[[]]}',
        '{"v":1,"f":7}',
        '{"v":1,"r":[1],"f":[]}',
        '{"v":1,"f":[["t"',
        '{"v":2,"f":[["k",[[0,2]],"AAAA"]]}',  # three bytes of two tasks
        '{"v":2,"f":[["k",[[0,2]],"no base64"]]}',
        '{"v":2,"f":[["k",[],""]]}',
        '{"v":2,"f":[["k",[[0,16]]]]}',
    ],
)
def test_a_payload_that_makes_no_sense_is_unreadable(payload: str) -> None:
    with pytest.raises(codec.Unreadable):
        codec.decode(payload)


def test_a_payload_of_a_later_version_says_so() -> None:
    with pytest.raises(codec.Unreadable, match="format 4; this weft reads formats up to 3"):
        codec.decode('{"v":4,"f":[]}')


def test_a_checksum_covers_payload_number_and_epoch() -> None:
    payload = codec.encode(VERSION_1[0])
    right = codec.checksum(3, 1, payload)
    assert right != codec.checksum(4, 1, payload)
    assert right != codec.checksum(3, 2, payload)
    for position in range(len(payload)):
        flipped = payload[:position] + chr(ord(payload[position]) ^ 1) + payload[position + 1 :]
        assert codec.checksum(3, 1, flipped) != right


@pytest.mark.parametrize("length", [0, 10, 1023, 1024, 100_000])
def test_a_payload_is_stored_as_text_or_deflated_and_comes_back(length: int) -> None:
    payload = "x" * length
    assert codec.unpack(codec.pack(payload)) == payload
    assert isinstance(codec.pack(payload), str if length < 1024 else bytes)


def test_a_deflated_payload_that_is_damaged_is_unreadable() -> None:
    with pytest.raises(codec.Unreadable, match="unpacked"):
        codec.unpack(b"nonsense")


def test_the_usage_of_a_task_is_not_taken_from_the_end_of_another() -> None:
    usage = Usage(0.5, 0.25, 7)
    facts: list[Fact] = [
        CloseAttempt(AttemptKey(0, WHOLE, 1), 1, Outcome(True, usage=usage), None),
        SettleTask(0, "ok", None, None, 1, None, usage),
        CloseAttempt(AttemptKey(1, WHOLE, 1), 2, Outcome(True), None),
        SettleTask(1, "ok", None, None, 1),
        SettleTask(2, "ok", None, None, 1, None, usage),
    ]
    assert codec.decode(codec.encode(facts)) == facts


def test_a_plain_task_costs_few_bytes() -> None:
    task = 99_999
    start = StartAttempt(AttemptKey(task, WHOLE, 1), 2**63, SMALL, 0)
    end = CloseAttempt(AttemptKey(task, WHOLE, 1), 2**63, Outcome(True), None)
    payload = codec.encode([start, end, SettleTask(task, "ok", None, None, 1)])
    assert len(json.dumps(json.loads(payload)["f"], separators=(",", ":"))) < 80
