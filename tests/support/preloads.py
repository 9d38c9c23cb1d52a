"""Calls of the C library that answer as a faulty system would: small shims, compiled here and preloaded."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>

#define ANSWER %(answer)s

static int is_lock(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

#if %(flock)d
int flock(int file, int operation) { (void)file; (void)operation; ANSWER; }
#endif

#if %(fcntl)d
static int answer(const char *name, int file, int command, void *argument) {
    if (is_lock(command) && (%(ofd)d || command == F_SETLK || command == F_SETLKW)) { ANSWER; }
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    return real(file, command, argument);
}
int fcntl(int file, int command, ...) {
    va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
    return answer("fcntl", file, command, argument);
}
int fcntl64(int file, int command, ...) {
    va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
    return answer("fcntl64", file, command, argument);
}
#endif
"""

_MOUNTS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>

static const char *instead(const char *path) {
    return path && !strcmp(path, "/proc/self/mountinfo") ? "%(mountinfo)s" : path;
}
#define OPEN(name) int name(const char *path, int flags, ...) { \\
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \\
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \\
    return real(instead(path), flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \\
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \\
    int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name); \\
    return real(folder, instead(path), flags, mode); }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
"""


_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long jump(void) { return access("%(gate)s", F_OK) == 0 ? %(seconds)dLL : 0; }

int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) at->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    int (*real)(struct timeval *, void *) = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(at, zone);
    if (result == 0) at->tv_sec += jump();
    return result;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


def clock(folder: Path, gate: Path, seconds: int) -> str:
    """A wall clock that is off by so many seconds while the file `gate` exists."""
    return compiled(folder, "clock", _CLOCK % {"gate": gate, "seconds": seconds})


_SHORT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t less(int file, size_t size) {
    struct stat found;
    return size > 1 && fstat(file, &found) == 0 && S_ISREG(found.st_mode) ? size / 2 : size;
}
ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return real(file, data, less(file, size));
}
#define PWRITE(name) ssize_t name(int file, const void *data, size_t size, off_t place) { \\
    ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, #name); \\
    return real(file, data, less(file, size), place); }
PWRITE(pwrite)
PWRITE(pwrite64)
"""


def short_writes(folder: Path) -> str:
    """No write to a file takes more than half of what it is given."""
    return compiled(folder, "short", _SHORT)


def compiled(folder: Path, name: str, source: str) -> str:
    """A shared object made of C; its path, for LD_PRELOAD."""
    code, made = folder / f"{name}.c", folder / f"{name}.so"
    code.write_text(source, encoding="ascii")
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(code), "-ldl"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return str(made)


def locks(folder: Path, calls: str, answer: str) -> str:
    """Locks that answer the same to everybody. calls: `flock`, `fcntl`, `posix` (those of a process alone) or `all`.

    answer: `success`, or the name of an error.
    """
    text = "return 0" if answer == "success" else f"errno = {answer}; return -1"
    which = {"flock": calls in ("flock", "all"), "fcntl": calls != "flock", "ofd": calls != "posix"}
    return compiled(folder, "locks", _LOCKS % {"answer": text, **which})


def mounts(folder: Path, kind: str, at: Path) -> str:
    """What `/proc/self/mountinfo` says: a file system of this kind lies at `at`."""
    device = at.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    said = folder / "mountinfo"
    said.write_text(f"20 1 {number} / / rw - ext4 /dev/x rw\n21 20 {number} / {at} rw - {kind} server:/x rw\n")
    return compiled(folder, "mounts", _MOUNTS % {"mountinfo": said})
