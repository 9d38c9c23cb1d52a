"""Virtual environments by content: one folder per interpreter and requirements, made once by uv and shared by all runs.

A folder is built in its final place, because the programs in it hold its path, under a lock; a marker written last says that it
is whole. Without the marker it is thrown away and built again. Nothing is looked up in the network but what uv needs for the
requirements; no interpreter is downloaded.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import IO, Final, NamedTuple

from weft.environments.local_requirements import digest_local
from weft.errors import InternalError, cut
from weft.spec.environments import Environment

FORMAT: Final = b"weft installation 1"  # raise it when folders that exist must not be used any more
KEY_BYTES: Final = 16
READY: Final = "weft-ready"
BUILDERS: Final = 2  # at once: uv itself works in parallel
SHOWN_LINES: Final = 6
SHOWN_BYTES: Final = 4096
CLOSE_SECONDS: Final = 5.0

_PLEASANTRY: Final = "Using "  # how uv begins to tell which interpreter it works with
_WHO: Final = "import sys; print(sys.executable)"


class Installation(NamedTuple):
    """What attempts of an environment work with. Both None: nothing was asked for, weft's own Python serves."""

    python: str | None
    bin_folder: str | None


class InstallationFailed(NamedTuple):
    """Why there is none. text: for people, cause `setup`. log: file with the output of uv, None when it was not asked."""

    text: str
    log: str | None = None


NOTHING_ASKED: Final = Installation(None, None)


class Installations:
    """The installations of a folder. Safe for threads and for several processes over one folder.

    environ: variables that uv gets; its own settings (`UV_*`) are among them.
    """

    def __init__(self, folder: str, environ: Mapping[str, str] | None = None):
        self._folder = os.path.abspath(folder)
        self._environ = {
            **(os.environ if environ is None else environ),
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
        }
        self._environ.pop("VIRTUAL_ENV", None)
        self._lock = Lock()
        self._live: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    def prepare(self, environment: Environment, root: str) -> Installation | InstallationFailed:
        """The installation of an environment, made if need be. root: what relative paths are resolved against.

        Takes as long as the building does, here or in another process.
        """
        if environment.python is None and not environment.requirements:
            return NOTHING_ASKED
        try:
            refused: list[str] = []
            python = self.find_python(environment.python, root, refused)
            if python is None:
                return InstallationFailed(_not_found(environment.python or "", refused))
            key = self._key(python, environment.requirements, root)
            return self._make(key, python, environment.requirements, root)
        except OSError as error:
            return InstallationFailed(f"the environment cannot be prepared: {error}")

    def find_python(self, wanted: str | None, root: str, refused: list[str]) -> str | None:
        """Path of the interpreter that is meant: None is weft's own; a path, `python3.11`, `3.11`. None when there is none.

        refused: is told which programs have that name and do not start.
        """
        if wanted is None:
            return sys.executable
        if "/" in wanted:
            path = os.path.join(root, wanted)
            return self._started(path, root, refused) if os.path.isfile(path) and os.access(path, os.X_OK) else None
        name = f"python{wanted}" if wanted[:1].isdigit() else wanted
        for folder in self._environ.get("PATH", os.defpath).split(os.pathsep):
            candidate = shutil.which(name, path=folder) if folder else None
            found = self._started(candidate, root, refused) if candidate is not None else None
            if found is not None:
                return found
        return self._ask_uv(wanted, root)

    def _started(self, path: str, root: str, refused: list[str]) -> str | None:
        """The interpreter that a program is. A script that only leads to one (as of pyenv) may change its mind: it is asked."""
        with open(path, "rb") as file:
            if file.read(2) != b"#!":
                return path
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            status = self._run([path, "-I", "-c", _WHO], root, b"", output, errors)
            output.seek(0)
            errors.seek(0)
            found = os.fsdecode(output.read().strip())
            if status == 0 and os.path.isfile(found):
                return found
            words = " ".join(errors.read(SHOWN_BYTES).decode("utf-8", "replace").split())
        refused.append(f"{path} does not start: {cut(words)}")
        return None

    def stop(self) -> None:
        """End what is being built, for good."""
        with self._lock:
            self._is_stopped = True
            for process in self._live:
                _end(process)

    def _ask_uv(self, wanted: str, root: str) -> str | None:
        """An interpreter that uv knows of, outside of any project."""
        if wanted.startswith("-"):
            return None
        with tempfile.TemporaryFile() as output:
            words = [_uv(), "python", "find", "--no-project", "--system", wanted]
            if self._run(words, root, b"", output, subprocess.DEVNULL) != 0:
                return None
            output.seek(0)
            path = os.fsdecode(output.read().strip())
        return path if os.path.isfile(path) else None

    def _key(self, python: str, requirements: Sequence[str], root: str) -> str:
        real = os.path.realpath(python)
        found = os.stat(real)
        key = blake2b(FORMAT, digest_size=KEY_BYTES)
        # The path as found, too: a link of a virtual environment is another interpreter than what it leads to.
        for text in (
            python,
            real,
            str(found.st_size),
            str(found.st_mtime_ns),
            *requirements,
            digest_local(requirements, root),
        ):
            data = os.fsencode(text)
            key.update(len(data).to_bytes(8, "little") + data)
        return key.hexdigest()

    def _make(self, key: str, python: str, requirements: Sequence[str], root: str) -> Installation | InstallationFailed:
        place = os.path.join(self._folder, key)
        made = Installation(os.path.join(place, "bin", "python"), os.path.join(place, "bin"))
        if _is_ready(place):
            return made
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with _locked(f"{place}.lock"):
            if _is_ready(place):
                return made
            shutil.rmtree(place, ignore_errors=True)
            return self._build(place, python, requirements, root) or made

    def _build(self, place: str, python: str, requirements: Sequence[str], root: str) -> InstallationFailed | None:
        log = f"{place}.log"
        with open(log, "wb", opener=_private) as output:
            for arguments, given in _steps(place, python, requirements):
                before = os.fstat(output.fileno()).st_size
                status = self._run([_uv(), *arguments], root, given, output, output)
                if status != 0:
                    shutil.rmtree(place, ignore_errors=True)
                    return InstallationFailed(_failure(arguments, status, log, before), log)
        _make_durable(place)
        with open(os.path.join(place, READY), "wb", opener=_private):
            return None

    def _run(self, words: Sequence[str], root: str, given: bytes, output: IO[bytes], errors: IO[bytes] | int) -> int:
        """Exit status of a program. Raises OSError."""
        with tempfile.TemporaryFile() as source:
            source.write(given)
            source.seek(0)
            with self._lock:
                if self._is_stopped:
                    raise InterruptedError("the run is ending")
                process = subprocess.Popen(
                    words,
                    stdin=source,
                    stdout=output,
                    stderr=errors,
                    cwd=root,
                    env=self._environ,
                    start_new_session=True,
                )
                self._live.add(process)
            try:
                return process.wait()
            finally:
                with self._lock:
                    self._live.discard(process)


def _steps(place: str, python: str, requirements: Sequence[str]) -> Iterator[tuple[list[str], bytes]]:
    """(arguments of uv, its input) of each step."""
    yield ["venv", "--no-project", "--python", python, place], b""
    if requirements:
        text = "".join(f"{line}\n" for line in requirements)
        yield ["pip", "install", "--python", os.path.join(place, "bin", "python"), "-r", "-"], os.fsencode(text)


def _uv() -> str:
    """Path of uv. Raises FileNotFoundError."""
    try:
        import uv
    except ImportError as error:
        raise FileNotFoundError(
            "the package 'uv' is missing, which prepares environments: install weft again"
        ) from error
    return os.fspath(uv.find_uv_bin())


def _make_durable(place: str) -> None:
    """Everything before the sign that vouches for it: else a power cut may leave that, and modules without content.

    By file system, not by file: an environment has thousands. Raises OSError.
    """
    import ctypes  # only who builds one needs it

    system = ctypes.CDLL(None, use_errno=True)
    opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if system.syncfs(opened) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), place)
    finally:
        os.close(opened)


def _is_ready(place: str) -> bool:
    """Whether the folder is whole and its interpreter is still there."""
    return os.path.exists(os.path.join(place, READY)) and os.path.exists(os.path.join(place, "bin", "python"))


@contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:  # it has just ended
            pass


def _not_found(wanted: str, refused: Sequence[str]) -> str:
    why = "".join(f"; {each}" for each in refused)
    return f"no Python interpreter {wanted!r} was found (in PATH, and by uv); weft downloads none{why}"


def _failure(arguments: Sequence[str], status: int, log: str, start: int) -> str:
    """What uv said last, and where all of it is. start: bytes of the log that earlier steps wrote."""
    with open(log, "rb") as file:
        file.seek(max(start, os.path.getsize(log) - SHOWN_BYTES))
        said = file.read().decode("utf-8", "replace").splitlines()
    lines = [line for line in said if line.strip() and not line.startswith(_PLEASANTRY)][-SHOWN_LINES:]
    what = "installing the requirements" if arguments[0] == "pip" else "making the virtual environment"
    words = " ".join(" ".join(lines).split())
    return f"{what} failed: {words} (uv exited with {status}; all of it is in {log})"


# --- beside the loop -------------------------------------------------------------------------------------------------------


class Prepared(NamedTuple):
    """Answer to `Installer.ask`."""

    name: str
    result: Installation | InstallationFailed


class Installer:
    """Prepares the environments of a plan beside the loop: each at most once, failures are remembered."""

    def __init__(self, environments: Mapping[str, Environment], root: str, installations: Installations):
        self._environments = environments
        self._root = root
        self._installations = installations
        self._asked: set[str] = set()
        self._names: SimpleQueue[str | None] = SimpleQueue()
        self._answers: deque[Prepared] = deque()
        self._threads: list[Thread] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._failure: BaseException | None = None
        self._is_closed = Event()

    def ask(self, name: str) -> None:
        """Begin to prepare an environment; asking again for the same one does nothing."""
        if name in self._asked:
            return
        self._asked.add(name)
        if len(self._threads) < BUILDERS:
            thread = Thread(target=self._work, name="weft-installer", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._names.put(name)

    def answers(self) -> Sequence[Prepared]:
        """What is prepared or has failed since; never waits."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        if self._failure is not None:
            raise InternalError(f"the installer has failed: {self._failure!r}") from self._failure
        found = []
        while self._answers:
            found.append(self._answers.popleft())
        return found

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return (self._bell,)

    def close(self) -> None:
        """End what is being built. Safe to call twice."""
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._installations.stop()
        for _ in self._threads:
            self._names.put(None)
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)
        # A thread that waits for another process's lock may still ring: then the bell stays open until the process ends.
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._bell)

    def _work(self) -> None:
        while (name := self._names.get()) is not None and not self._is_closed.is_set():
            try:
                result = self._installations.prepare(self._environments[name], self._root)
            except BaseException as error:  # noqa: BLE001 - handed to the loop, which ends the run with it
                self._failure = error
            else:
                self._answers.append(Prepared(name, result))
            os.eventfd_write(self._bell, 1)
