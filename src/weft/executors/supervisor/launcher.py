"""Evaluate an attempt's variables where it runs, then become its program: role `launcher`, request on descriptor 3.

Only attempts with backticked variables pay for this process. Descriptor 3 is a memory file: it holds the request, and
takes the failure, if there is one, back to the supervisor.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

from .secrets import keep
from .spawning import StartError, find_program, start_problem
from .substitution import substitute

REQUEST = 3  # descriptor
OUTPUT_LIMIT = 1 << 20  # bytes of a variable's value; dialects.md 5.2
FAILURE_STATUS = 127


def evaluate(variables: list[list[str]], environment: dict[str, str]) -> dict[str, str]:
    """`environment` with the variables laid over it, in order. Raises StartError (`setup`)."""
    known = dict(environment)
    for name, kind, text in variables:
        if kind == "expand":
            known[name] = substitute(text, known)
        elif kind == "shell":
            known[name] = shell_output(name, text, known)
        else:
            known[name] = text
    return known


def shell_output(name: str, command: str, environment: dict[str, str]) -> str:
    """What `command` prints, without white space around it. Its stderr is the attempt's. Raises StartError."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        restore_signals=True,
    )
    assert process.stdout is not None
    data = process.stdout.read(OUTPUT_LIMIT + 1)
    if len(data) > OUTPUT_LIMIT:
        process.kill()
        process.wait()
        raise StartError("setup", f"variable {name!r}: its command printed more than {OUTPUT_LIMIT} bytes")
    status = process.wait()
    if status:
        how = f"exited with {status}" if status > 0 else f"was ended by signal {-status}"
        raise StartError("setup", f"variable {name!r}: its command {how}")
    if b"\0" in data:
        raise StartError("setup", f"variable {name!r}: its command printed a NUL byte")
    return data.decode("utf-8", "surrogateescape").strip()


def become(request: dict[str, Any]) -> None:
    """Replace this process by the program of `request`. Raises StartError."""
    environment = evaluate(request["variables"], request["environment"])
    try:
        keep(
            request["log_folder"],
            ((name, environment[name]) for name, kind, _ in request["variables"] if kind != "text"),
        )
    except OSError as problem:  # else its output would be shown with them
        raise StartError("setup", f"digests of secrets cannot be kept: {problem.strerror}") from problem
    words = list(request["words"])
    written = words[0]
    for index in request["expand"]:
        words[index] = substitute(words[index], environment)
    encoded = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    try:
        program = find_program(words[0], environment.get("PATH"))
    except StartError as problem:
        raise problem.as_written(words[0], written).covered(encoded) from problem
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execve(program, words, encoded)
    except OSError as problem:
        told = start_problem(program, words, encoded, problem).as_written(words[0], written)
        raise told.covered(encoded) from problem


def main() -> int:
    """Run the request; comes back only with a failure."""
    os.set_inheritable(REQUEST, False)
    request = json.loads(os.pread(REQUEST, os.fstat(REQUEST).st_size, 0))
    try:
        become(request)
    except StartError as problem:
        os.ftruncate(REQUEST, 0)
        os.pwrite(REQUEST, json.dumps([problem.cause, problem.detail]).encode("ascii"), 0)
    return FAILURE_STATUS
