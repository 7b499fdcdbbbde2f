"""The file: what is written is read again after whatever may happen to it."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from rollcall.store.database import KEEP_DELETED_S, Database, TakenOverError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "volume" / "kept.db"


def test_what_was_written_is_read_by_the_next(path: Path) -> None:
    database = Database(path)
    database.write({"uid-1": {"counted": b"one", "tables": b"two"}}, 0.0)
    database.write({"uid-1": {"counted": b"three", "tables": b"two"}}, 1.0)
    next_one = Database(path)  # the first was killed: it never closed
    assert next_one.read() == {"uid-1": {"counted": b"three", "tables": b"two"}}
    assert next_one.version == 2


def test_only_what_changed_is_written(path: Path) -> None:
    database = Database(path)
    first = database.write({"uid-1": {"counted": b"one", "tables": b"two"}}, 0.0)
    assert database.write({"uid-1": {"counted": b"one", "tables": b"two"}}, 1.0) == first
    database.write({"uid-1": {"counted": b"other", "tables": b"two"}}, 2.0)
    assert [row.part for row in database.since(database.log, first).rows] == ["counted"]


def test_a_deleted_service_is_kept_for_a_day(path: Path) -> None:
    database = Database(path)
    database.write({"uid-1": {"counted": b"one"}, "uid-2": {"counted": b"two"}}, 0.0)
    database.write({"uid-2": {"counted": b"three"}}, KEEP_DELETED_S - 1)
    assert set(database.read()) == {"uid-1", "uid-2"}
    database.write({"uid-2": {"counted": b"four"}}, KEEP_DELETED_S + 1)
    assert set(database.read()) == {"uid-2"}


def test_who_began_last_writes(path: Path) -> None:
    """A process whose pod was deleted without grace lives on for a moment, and its successor has the same volume."""
    former, successor = Database(path), Database(path)
    assert former.begin() == {}
    former.write({"uid-1": {"counted": b"one"}}, 0.0)
    assert successor.begin() == {"uid-1": {"counted": b"one"}}
    with pytest.raises(TakenOverError, match=r"another process keeps .*kept\.db"):
        former.write({"uid-1": {"counted": b"two"}}, 1.0)
    assert successor.write({"uid-1": {"counted": b"three"}}, 1.0) == 2, "versions go on"
    assert Database(path).read() == {"uid-1": {"counted": b"three"}}


@pytest.mark.parametrize("what", ["damaged", "foreign", "later", "torn"])
def test_a_file_that_cannot_be_used_is_set_aside_and_another_begun(path: Path, what: str) -> None:
    path.parent.mkdir()
    if what == "damaged":
        path.write_bytes(b"no database at all" * 1000)
    elif what == "foreign":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE parts (x)")
    else:
        before = Database(path)
        before.write({f"uid-{number}": {"counted": bytes(range(256)) * 40} for number in range(50)}, 0.0)
        if what == "later":
            before._connection.execute("PRAGMA user_version = 99")
        before.close()
        if what == "torn":
            content = bytearray(path.read_bytes())
            content[4096 : len(content) // 2] = bytes(len(content) // 2 - 4096)
            path.write_bytes(content)
    database = Database(path)
    assert database.set_aside is not None
    assert database.set_aside.exists()
    assert database.read() == {}
    database.write({"uid-1": {"counted": b"one"}}, 0.0)
    assert Database(path).read() == {"uid-1": {"counted": b"one"}}


def test_a_file_of_before_tables_is_migrated(path: Path) -> None:
    path.parent.mkdir()
    sqlite3.connect(path).close()
    assert Database(path).set_aside is None


def test_the_file_is_bounded(path: Path) -> None:
    database = Database(path, most_bytes=2**18)
    noise = random.Random(1)

    def write_on() -> None:
        for number in range(100):
            database.write({"uid-1": {f"part-{number}": noise.randbytes(20_000)}}, 0.0)

    with pytest.raises(sqlite3.Error, match="full"):
        write_on()
    assert database.bytes() <= 2**18 + 2**20
    assert database.read(), "what was written before is still there"


def test_a_damaged_part_leaves_out_its_service_alone(path: Path) -> None:
    database = Database(path)
    database.write({"uid-1": {"counted": b"one"}, "uid-2": {"counted": b"two"}}, 0.0)
    database._connection.execute("UPDATE parts SET value = x'00' WHERE service = 'uid-1'")
    assert set(database.read()) == {"uid-2"}


def test_a_copy_follows_and_begins_anew_with_another_history(path: Path, tmp_path: Path) -> None:
    leader, standby = Database(path), Database(tmp_path / "copy.db")
    standby.write({"uid-old": {"counted": b"of another time"}}, 0.0)
    leader.write({"uid-1": {"counted": b"one", "tables": b"two"}}, 0.0)
    standby.take_over(leader.since(standby.log, standby.version), 0.0)
    assert standby.read() == leader.read()
    leader.write({"uid-1": {"counted": b"three", "tables": b"two"}}, 1.0)
    changes = leader.since(standby.log, standby.version)
    assert [row.part for row in changes.rows] == ["counted"]
    standby.take_over(changes, 1.0)
    assert (standby.read(), standby.version) == (leader.read(), leader.version)
    standby.begin()  # the standby leads; what the old leader wrote last never came
    leader.write({"uid-1": {"counted": b"nobody saw", "tables": b"two"}}, 2.0)
    standby.write({"uid-1": {"counted": b"four", "tables": b"two"}}, 2.0)
    leader.take_over(standby.since(leader.log, leader.version), 3.0)
    assert leader.read() == standby.read() == {"uid-1": {"counted": b"four", "tables": b"two"}}
