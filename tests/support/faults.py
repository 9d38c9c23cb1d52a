"""Faults as the system makes them: mounts of our own, processes that are stopped or killed, and what a command says meanwhile."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from support.waiting import wait_for_ends
from support.weft_process import LIMIT_SECONDS, Weft, clean_environment


class Heard:
    """A command that runs beside the test and is listened to; killed with the block."""

    def __init__(self, folder: Path, words: Sequence[str], **environment: str):
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.text = ""

    def __enter__(self) -> Heard:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for(self, part: str) -> None:
        """Until it has said this on standard error."""
        while part not in self.text:
            assert self._read(), f"{part!r} was not said, but: {self.text}"

    def end(self) -> int:
        """Its exit code; `text` is then all that it said."""
        while self._read():
            pass
        return self.process.wait(LIMIT_SECONDS)

    def _read(self) -> bool:
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], LIMIT_SECONDS)
        assert ready, f"it says nothing more; so far: {self.text}"
        data = os.read(self.process.stderr.fileno(), 65536)
        self.text += data.decode(errors="replace")
        return bool(data)


def with_mounts(mounts: str, words: Sequence[str]) -> list[str]:
    """argv of a command in a mount namespace of its own, behind the shell text `mounts`."""
    return ["unshare", "-m", "/bin/sh", "-ec", f'{mounts}; exec "$@"', "sh", *words]


def without_access_to_all(command: Sequence[str]) -> list[str]:
    """As a user whom permissions bind, who may be root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all", *command]


def run_in(weft: Weft, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run argv in the test's folder to its end."""
    return subprocess.run(
        words,
        cwd=weft.folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=LIMIT_SECONDS,
        check=False,
    )


def end_all(pids: Sequence[int]) -> None:
    """kill -9 and wait until they are gone; they are not our children."""
    for pid in pids:
        try:
            watch = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(watch, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(watch)
    wait_for_ends(pids, LIMIT_SECONDS)


def wait_until_stopped(pid: int) -> None:
    """Until every thread of it has obeyed a SIGSTOP."""
    limit = time.monotonic() + LIMIT_SECONDS
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < limit, f"{pid} does not stop"
