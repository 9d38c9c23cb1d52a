"""Whatever the parts are: fresh means equal, and every difference has a reason."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.scheduling.freshness import MISSING, Recorded, decide

NAMES = st.sampled_from(["kind", "code", "parameters:k", "inputs:a", "dependencies:b", "item"])
PARTS = st.dictionaries(NAMES, st.sampled_from(["1", "2", "1|x", "2|y", "2|x"]))
PATHS = st.sampled_from(["a", "b", "c"])


@given(PARTS, PARTS, st.dictionaries(PATHS, st.sampled_from(["1", "2"])), st.data())
def test_a_task_is_fresh_exactly_when_all_parts_and_declared_outputs_are_as_recorded(
    before: dict[str, str], after: dict[str, str], made: dict[str, str], data: st.DataObject
) -> None:
    now = data.draw(st.dictionaries(PATHS, st.sampled_from(["1", "2", MISSING])))
    decision = decide(after, Recorded(before, made), now)
    assert decision.fresh == (before == after and all(digest == made.get(path) for path, digest in now.items()))
    named = {reason.part for reason in decision.reasons if reason.code != "cached"}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert named == changed | {f"outputs:{path}" for path, digest in now.items() if digest != made.get(path)}


@given(PARTS, PARTS)
def test_reasons_do_not_depend_on_the_order_in_which_parts_were_recorded(
    before: dict[str, str], after: dict[str, str]
) -> None:
    turned = dict(reversed(before.items()))
    assert decide(after, Recorded(before, {}), {}) == decide(after, Recorded(turned, {}), {})


@given(PARTS, st.booleans())
def test_forcing_never_finds_anything_fresh(parts: dict[str, str], is_known: bool) -> None:
    assert not decide(parts, Recorded(parts, {}) if is_known else None, {}, force=True).fresh
