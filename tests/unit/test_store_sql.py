"""The named statements, and steps from one schema to the next."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from weft import failpoints
from weft.errors import InternalError
from weft.store import database, migrations
from weft.store.sql import statements


@pytest.mark.parametrize("file", ["ledger", "archive", "mailbox", "keeping"])
def test_every_statement_fits_the_schema(file: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute(statements("schema")["schema"]).fetchall()
    for name, statement in statements(file).items():
        assert statement.endswith(";"), name
        slots = {int(number) for number in re.findall(r"\?(\d)", statement)}
        bindings = [None] * (max(slots) if slots else statement.count("?"))
        connection.execute(f"EXPLAIN {statement}", bindings).fetchall()
    connection.close()


@pytest.fixture
def steps(tmp_path: Path) -> str:
    (tmp_path / "0002.sql").write_text("-- why\nALTER TABLE t ADD COLUMN b;\nUPDATE t SET b = a;\n", encoding="utf-8")
    (tmp_path / "0003.sql").write_text("CREATE TABLE u (c);\n", encoding="utf-8")
    return str(tmp_path)


@pytest.fixture
def old() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (7); PRAGMA user_version = 1").fetchall()
    return connection


def test_all_steps_lead_to_the_present_schema(old: apsw.Connection, steps: str) -> None:
    assert migrations.migrate(old, 3, steps)
    assert old.execute("SELECT a, b FROM t").fetchall() == [(7, 7)]
    assert old.execute("SELECT count(*) FROM u").get == 0
    assert old.execute("PRAGMA user_version").get == 3
    assert not migrations.migrate(old, 3, steps)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_step_that_breaks_off_leaves_the_old_schema(old: apsw.Connection, steps: str, nth: int) -> None:
    failpoints.arm(f"store.migrate.statement:EIO:{nth}")
    try:
        with pytest.raises(OSError, match="Input/output"):
            migrations.migrate(old, 3, steps)
    finally:
        failpoints.arm(None)
    assert old.execute("SELECT * FROM t").fetchall() == [(7,)]
    assert old.execute("PRAGMA user_version").get == 1
    assert migrations.migrate(old, 3, steps)


def test_the_steps_that_there_are_lead_from_the_first_schema_to_the_one_of_new_databases() -> None:
    first, new = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for connection in (first, new):
        connection.execute(statements("schema")["schema"]).fetchall()
    first.execute("DROP TABLE begun; PRAGMA user_version = 1").fetchall()  # all that later schemas have added
    assert migrations.migrate(first, database.VERSION)
    assert _columns(first) == _columns(new)


def _columns(connection: apsw.Connection) -> dict[str, list[object]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        str(name): list(connection.execute(f"SELECT name, type, [notnull], pk FROM pragma_table_info('{name}')"))
        for name in sorted(map(str, tables))
    }


def test_a_missing_step_is_our_bug(old: apsw.Connection, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="no step to schema 2"):
        migrations.migrate(old, 2, str(tmp_path))
    assert not old.in_transaction
