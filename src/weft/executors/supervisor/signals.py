"""Signals as something to read: no handler interrupts a start, and none has to be run between two instructions."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SFD_NONBLOCK, SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC  # signalfd(2)
RECORD_BYTES = 128  # of struct signalfd_siginfo; the number of the signal is its first member, 4 bytes
LOW_BYTE = 0 if sys.byteorder == "little" else 3  # of that number; none is above 64
SET_BYTES = 128  # of the C library's sigset_t


def signal_file(*numbers: int) -> int:
    """A descriptor that is readable while one of these signals is pending; they are blocked from now on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    library = ctypes.CDLL(None, use_errno=True)
    chosen = ctypes.create_string_buffer(SET_BYTES)
    library.sigemptyset(chosen)
    for number in numbers:
        library.sigaddset(chosen, int(number))
    file = int(library.signalfd(-1, chosen, SFD_NONBLOCK | SFD_CLOEXEC))
    if file < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return file


def take_signals(file: int) -> bytes:
    """Numbers of the signals that came since the last call, one a byte."""
    try:
        return os.read(file, 8 * RECORD_BYTES)[LOW_BYTE::RECORD_BYTES]
    except BlockingIOError:
        return b""
