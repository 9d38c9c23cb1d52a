"""Steps from each released schema to the next: `0002.sql` leads from 1 to 2. One transaction takes them all, or none."""

from __future__ import annotations

import os

import apsw

from weft.errors import InternalError
from weft.failpoints import declare, hit

STATEMENT = declare(
    "store.migrate.statement", "one statement of a migration is done, in a transaction that is still open"
)


def migrate(connection: apsw.Connection, target: int, folder: str | None = None) -> bool:
    """Bring the database to schema `target`; whether anything had to be done. folder: where the steps are."""
    if connection.execute("PRAGMA user_version").get == target:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").get  # another process may have been faster
        for step in range(int(version) + 1, target + 1):
            for statement in _statements(folder or os.path.dirname(__file__), step):
                connection.execute(statement).fetchall()
                hit(STATEMENT)
        connection.execute(f"PRAGMA user_version = {target}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def _statements(folder: str, step: int) -> list[str]:
    path = os.path.join(folder, f"{step:04d}.sql")
    try:
        with open(path, encoding="utf-8") as source:
            lines = [line for line in source if not line.lstrip().startswith("--")]
    except FileNotFoundError as error:
        raise InternalError(f"there is no step to schema {step} ({path})") from error
    return [statement.strip() for statement in "".join(lines).split(";\n") if statement.strip()]
