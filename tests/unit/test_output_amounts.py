"""Amounts as people write them."""

from __future__ import annotations

from weft.cli.output.amounts import request_text


def test_a_request_has_its_units_and_leaves_out_what_is_not_limited() -> None:
    request = {"cores": 1.5, "memory": 67108864, "network_bandwidth": 2**20, "license": 3, "timeout": 5400.0}
    assert request_text(request) == "cores=1.5 memory=64M network_bandwidth=1M/s license=3 timeout=1h 30m"
    assert request_text({"cores": 2, "memory": None, "timeout": None}, ", ") == "cores=2"


def test_caps_of_tasks_at_a_time_are_no_part_of_a_request() -> None:
    assert request_text({"concurrency:fit": 1, "concurrency:yearly survey": 1}) == "-"
    assert request_text(None) == "-"
