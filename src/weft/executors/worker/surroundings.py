"""What a call may change of its process, and finds as it was before: folder, variables, import path, signals."""

from __future__ import annotations

import os
import shutil
import signal
import sys

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE)


class Surroundings:
    """As they are when the worker starts. `before` makes them those of one call, `after` undoes what it did."""

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._path = list(sys.path)
        # Comparing decoded variables would cost more than most calls; every Python so far keeps them encoded here.
        self._variables: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
        self._expected = dict(self._variables)
        self._handlers = [signal.getsignal(number) for number in WATCHED]
        self._extra: tuple[str, ...] = ()
        self._scratch = os.environ.get("WEFT_SCRATCH")
        self._mask = os.umask(0o022)
        os.umask(self._mask)

    def before(self, name: str, attempt: int, variables: dict[str, str] | None) -> None:
        """Variables of a call. variables: that it has beyond its name and attempt."""
        task, number = name.encode("utf-8", "surrogateescape"), b"%d" % attempt
        expected = self._expected
        if expected.get(b"WEFT_TASK") != task:
            os.putenv(b"WEFT_TASK", task)
            expected[b"WEFT_TASK"] = self._variables[b"WEFT_TASK"] = task
        if expected.get(b"WEFT_ATTEMPT") != number:
            os.putenv(b"WEFT_ATTEMPT", number)
            expected[b"WEFT_ATTEMPT"] = self._variables[b"WEFT_ATTEMPT"] = number
        if variables:
            self._extra = tuple(variables)
            for key, text in variables.items():
                os.environ[key] = text
                expected[os.fsencode(key)] = os.fsencode(text)

    def accept(self) -> None:
        """What importing a function's module has changed stays: it is imported once."""
        self._path = list(sys.path)
        self._expected = dict(self._variables)
        self._handlers = [signal.getsignal(number) for number in WATCHED]

    def add_path(self, folders: list[str]) -> None:
        """Put folders before the import path, for good."""
        for folder in reversed(folders):
            if folder not in self._path:
                self._path.insert(0, folder)
                sys.path.insert(0, folder)

    def after(self, is_long: bool) -> None:
        """Put back what the call has changed. is_long: it had time for more than Python; signals are looked at, too."""
        if self._variables != self._expected or os.environ.__dict__.get("_data") is not self._variables:
            self._restore_variables()
        if sys.path != self._path:
            sys.path[:] = self._path
        try:
            is_moved = os.getcwd() != self._folder
        except OSError:
            is_moved = True
        if is_moved:
            try:
                os.chdir(self._folder)
            except OSError:
                pass  # the folder is gone for everybody
        if self._extra:
            for name in self._extra:
                os.environ.pop(name, None)
                self._expected.pop(os.fsencode(name), None)
            self._extra = ()
        if self._scratch is not None:
            self._empty_scratch(self._scratch)
        if is_long:
            self._restore_signals()

    def _restore_variables(self) -> None:
        expected, found = self._expected, self._variables
        for name in [name for name in found if name not in expected]:
            del found[name]
            os.unsetenv(name)
        for name, value in expected.items():
            if found.get(name) != value:
                found[name] = value
                os.putenv(name, value)

    def _empty_scratch(self, folder: str) -> None:
        """As the supervisor does: any entry moves the folder's time away from zero, so one `stat` tells."""
        try:
            if os.stat(folder).st_mtime_ns == 0:
                return
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder, 0o700, exist_ok=True)
            os.utime(folder, ns=(0, 0))
        except OSError:
            pass  # the next one finds what this one left, if anything

    def _restore_signals(self) -> None:
        for number, handler in zip(WATCHED, self._handlers):  # noqa: B905 - Python 3.8
            if signal.getsignal(number) is not handler and handler is not None:
                if number == signal.SIGALRM:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(number, handler)
        os.umask(self._mask)
