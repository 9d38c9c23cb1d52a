"""A short proof that the tables of a run show its facts, so that a resume need not replay them all.

Written when an engine ends a run that somebody may take up again: how many facts there are, and a digest of what the tables
show then. Whoever opens the run believes the tables when both still hold; the facts' own checksums are verified anyway. The
proof is never needed: without it, or when anything differs, the facts are replayed (`verify.py`).
"""

from __future__ import annotations

import json
import marshal
import os
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import apsw

from weft.store.folder import FILE_MODE

PROVEN_FROM: Final = 10_000
"""Tasks from which a run is worth it; fewer are replayed in a moment."""

NAME: Final = "proof.json"
TABLES: Final = ("tasks", "attempts", "items", "demands", "reasons", "offsets")
RUN_COLUMNS: Final = "run, tasks, selected, facts, state, ended, exit_code, epoch"
_MARSHALLED: Final = 2  # the format whose bytes depend on nothing but the values
_ROWS: Final = 4096


def write_proof(connection: apsw.Connection, folder: str, number: int, run: str) -> None:
    """Leave a proof in the run's folder, if it is large and has one. Nothing depends on its being there."""
    facts = connection.execute("SELECT facts FROM runs WHERE number = ?", (number,)).get
    tasks: Any = connection.execute("SELECT tasks FROM runs WHERE number = ?", (number,)).get
    place = os.path.join(folder, "runs", run)
    if tasks < PROVEN_FROM or not os.path.isdir(place):
        return
    text = json.dumps({"facts": facts, "shown": shown_digest(connection, number)})
    try:
        _write(os.path.join(place, NAME), text)
    except OSError:  # a full disk, say: then a resume takes a little longer
        return


def _write(path: str, text: str) -> None:
    opened = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with open(opened, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def is_proven(connection: apsw.Connection, folder: str, number: int, run: str) -> bool:
    """Whether the tables show now what they did when the run's last owner ended it, and no fact has come since."""
    try:
        opened = os.open(os.path.join(folder, "runs", run, NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(opened, encoding="utf-8") as file:
            proof = json.load(file)
    except (OSError, ValueError):
        return False
    facts = connection.execute("SELECT facts FROM runs WHERE number = ?", (number,)).get
    return (
        isinstance(proof, dict)
        and proof.get("facts") == facts
        and proof.get("shown") == shown_digest(connection, number)
    )


def shown_digest(connection: apsw.Connection, number: int) -> str:
    """Of all rows of a run, in the order of their keys."""
    digest = blake2b(digest_size=16)
    row = connection.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE number = ?", (number,)).fetchall()
    digest.update(marshal.dumps(row, _MARSHALLED))
    for table in TABLES:
        found = connection.execute(f"SELECT * FROM {table} WHERE run = ? ORDER BY 1, 2, 3", (number,))
        digest.update(table.encode())
        while rows := list(islice(found, _ROWS)):
            digest.update(marshal.dumps(rows, _MARSHALLED))
    return digest.hexdigest()
