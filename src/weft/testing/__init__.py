"""Public fakes for tests of plans and adapters."""

from __future__ import annotations

from weft.testing.fake_executor import FakeExecutor
from weft.testing.fake_inspector import FakeInspector
from weft.testing.manual_clock import ManualClock
from weft.testing.memory_store import MemoryStore
from weft.testing.pipelines import ProductTypeError, Results, run_here
from weft.testing.scenario import Scenario, task

__all__ = [
    "FakeExecutor",
    "FakeInspector",
    "ManualClock",
    "MemoryStore",
    "ProductTypeError",
    "Results",
    "Scenario",
    "run_here",
    "task",
]
