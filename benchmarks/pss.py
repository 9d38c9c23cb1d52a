"""Run one command and print the highest sum of the PSS of all its processes: `python pss.py COMMAND…`.

pss: bytes; a page that n processes share counts 1/n in each, so the sum counts it once.
"""

import ctypes
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
PAUSE_SECONDS = 0.01  # between samples; one sample of a GB takes as long


def descendants(of: int) -> list[int]:
    """Processes below one, also those of sessions of their own."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found, grown = {of}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        found |= more
        grown = bool(more)
    return sorted(found - {of})


def pss_of(pid: int) -> int:
    """Bytes; 0 of a process that has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    highest, code = 0, -1
    while True:
        try:
            reaped, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if reaped == pid:
            code = os.waitstatus_to_exitcode(status)
        if not reaped:
            highest = max(highest, sum(map(pss_of, descendants(os.getpid()))))
            time.sleep(PAUSE_SECONDS)
    print(f"pss {highest}")
    return code


sys.exit(main())
