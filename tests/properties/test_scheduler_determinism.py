"""Same events, same commands, byte for byte, whatever the hash seed; and batching does not decide outcomes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib
from properties.scheduler_world import World
from weft.scheduling import invariants
digest = hashlib.blake2b()
for seed in range(40):
    world = World(seed)
    world.run()
    digest.update(repr(world.history).encode())
    digest.update(invariants.fingerprint(world.scheduler).encode())
print(digest.hexdigest())
"""


def history_under(hash_seed: str) -> str:
    tests = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tests)}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def test_commands_and_state_are_the_same_under_two_hash_seeds() -> None:
    first = history_under("1")
    assert len(first) == 129
    assert first == history_under("2")
