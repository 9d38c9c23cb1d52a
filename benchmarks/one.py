"""Run one command as a whole and print what it took, as JSON: `python one.py LIMIT COMMAND…`.

wall: seconds until the command itself was reaped. cpu: user and system seconds of all its processes, also of those that
left it and outlived it (this process adopts orphans). peak: largest resident set of the command itself, bytes; resident:
largest that was seen in the second half of its time, when what it reads has been read.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
ORPHANS_LIMIT = 20.0  # seconds that processes which outlive the command are waited for
SAMPLE_SECONDS = 0.05
PAGE = os.sysconf("SC_PAGESIZE")


def watch(pid: int, started: float, samples: list[tuple[float, int]]) -> None:
    """Note (seconds since the start, resident bytes) until the process is gone."""
    while True:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                resident = int(file.read().split()[1]) * PAGE
        except (OSError, IndexError):
            return
        if not resident:  # ended, not yet reaped
            return
        samples.append((time.monotonic() - started, resident))
        time.sleep(SAMPLE_SECONDS)


def main() -> None:
    limit, command = float(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)
    samples: list[tuple[float, int]] = []
    threading.Thread(target=watch, args=(pid, started, samples), daemon=True).start()
    signal.setitimer(signal.ITIMER_REAL, limit)
    cpu, wall, peak, code = 0.0, 0.0, 0, -1
    while True:
        try:
            reaped, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += usage.ru_utime + usage.ru_stime
        if reaped == pid:
            wall = time.monotonic() - started
            peak = usage.ru_maxrss * 1024
            code = os.waitstatus_to_exitcode(status)
            signal.signal(signal.SIGALRM, lambda *_: sys.exit("processes outlive the command"))
            signal.setitimer(signal.ITIMER_REAL, ORPHANS_LIMIT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    resident = max((seen for seconds, seen in samples if seconds > wall / 2), default=peak)
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "resident": resident, "code": code}))


main()
