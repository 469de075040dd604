"""The journal's file: opening it without trusting it, and the statements that use it.

Rules:

- A file is used by one connection, of one thread, under its directory's lock; it is never opened
  or copied by hand meanwhile (closing any descriptor of it would drop SQLite's own locks).
- Nothing that a file brings is executed: its schema must be ours to the letter before anything is
  read from it. Triggers, views and further tables are damage.
- A file that is not ours (another application's) is refused and left as it is. One that is damaged
  is moved aside and refused: what it holds may still be worth something to its owner.

How it works: the tables are made before the file is switched to WAL, so that its first page says
whose it is from the first commit on. With `locking_mode=EXCLUSIVE` set before anything is read, WAL
needs no shared memory, and no `-shm` file is there.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from distilabel import failpoints
from distilabel.errors import JournalCorruptError, JournalError
from distilabel.journal.files import APPLICATION_ID, check_files, make_file, move
from distilabel.journal.records import KEY_BYTES, decode_call, decode_row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

from distilabel.journal.records import CallRecord, RowRecord
from distilabel.naming import named

__all__ = [
    "BLOB_BYTES_MAX",
    "Database",
    "Durability",
    "open_database",
    "read_all_rows",
]

T = TypeVar("T")

Durability: TypeAlias = Literal["power", "process"]
"""What a commit survives: a power cut, or the death of the process only."""

BLOB_BYTES_MAX = 64 << 20
"""The longest record that is written or read."""

_FORMAT = 1
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_BUSY_S = 0.5
"""How long another program that has the file open is waited for; a run's own lock is not."""

_TABLES = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "call": "CREATE TABLE call (key BLOB PRIMARY KEY, row INTEGER NOT NULL, stage TEXT NOT NULL, "
    "reply BLOB NOT NULL) STRICT",
    "row": "CREATE TABLE row (idx INTEGER PRIMARY KEY, identity BLOB NOT NULL, "
    "data BLOB NOT NULL) STRICT",
}
_SCHEMA = {
    *(("table", name, name, sql) for name, sql in _TABLES.items()),
    ("index", "sqlite_autoindex_meta_1", "meta", None),
    ("index", "sqlite_autoindex_call_1", "call", None),
}
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: BLOB_BYTES_MAX + (1 << 16),
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_PUT_CALLS = (
    "INSERT INTO call (key, row, stage, reply) VALUES {values} ON CONFLICT (key) "
    "DO UPDATE SET row = excluded.row, stage = excluded.stage, reply = excluded.reply"
)
_PUT_ROWS = (  # a row that is put as it was, as most are in a resumed run, costs no write
    "INSERT INTO row (idx, identity, data) VALUES {values} ON CONFLICT (idx) "
    "DO UPDATE SET identity = excluded.identity, data = excluded.data "
    "WHERE data <> excluded.data OR identity <> excluded.identity"
)
_AT_ONCE = 64
"""Records in one statement, at most."""
_PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"


def _insert(
    connection: sqlite3.Connection, statement: str, records: Sequence[tuple[object, ...]]
) -> None:
    """Many records a statement: each statement gives the interpreter's lock away and waits for it.

    Their numbers are powers of two, so that SQLite has few statements to prepare, and keeps them.
    """
    start = 0
    while count := min(_AT_ONCE, len(records) - start):
        count = 1 << (count.bit_length() - 1)
        some = records[start : start + count]
        connection.execute(
            _statement(statement, count, len(some[0])), list(chain.from_iterable(some))
        )
        start += count


@cache
def _statement(statement: str, count: int, columns: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return statement.format(values=", ".join([one] * count))


class Database:
    """A journal's open file. Made by `open_database`; used in the thread that made it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection

    def write(
        self,
        calls: Sequence[tuple[object, ...]],
        rows: Sequence[tuple[object, ...]],
        meta: Mapping[str, str],
    ) -> None:
        """All of it in one transaction, or nothing.

        Raises:
            sqlite3.Error: it was not written.
        """
        connection = self._connection
        _pass("before_begin")
        connection.execute("BEGIN IMMEDIATE")
        _pass("after_begin")
        try:
            _insert(connection, _PUT_CALLS, calls)
            _insert(connection, _PUT_ROWS, rows)
            if meta:
                connection.executemany(_PUT_META, meta.items())
            _pass("before_commit")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise
        _pass("after_commit")

    def meta(self) -> dict[str, str]:
        """What is known of the run."""
        with self._damage_named():
            pairs = self._connection.execute("SELECT key, value FROM meta LIMIT 1000").fetchall()
            if not all(isinstance(key, str) and isinstance(value, str) for key, value in pairs):
                raise ValueError("the run's description is not text")
            return dict(pairs)

    def count(self, table: Literal["call", "row"]) -> int:
        """How many calls or rows are kept."""
        with self._damage_named():
            return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608

    def key_prefixes(self) -> Iterator[bytes]:
        """The first 8 bytes of the keys of all calls, in their order."""
        with self._damage_named():
            odd = f"SELECT 1 FROM call WHERE typeof(key) <> 'blob' OR length(key) <> {KEY_BYTES}"  # noqa: S608
            if self._connection.execute(odd).fetchone():
                raise ValueError("a call's key is not a key")
            prefixes = self._connection.execute("SELECT substr(key, 1, 8) FROM call ORDER BY key")
            while some := prefixes.fetchmany(10_000):
                yield b"".join([prefix for (prefix,) in some])

    def call(self, key: bytes) -> CallRecord | None:
        """The call with this key."""
        query = "SELECT key, row, stage, reply FROM call WHERE key = ?"
        with self._damage_named():
            found = self._connection.execute(query, (key,)).fetchone()
            return None if found is None else decode_call(*found)

    def row(self, index: int) -> RowRecord | None:
        """The row at this place."""
        rows = self.rows(after=index - 1, limit=1)
        return rows[0] if rows and rows[0].index == index else None

    def rows(self, *, after: int = -1, limit: int) -> list[RowRecord]:
        """The next rows by place."""
        query = "SELECT idx, identity, data FROM row WHERE idx > ? ORDER BY idx LIMIT ?"
        with self._damage_named():
            return [decode_row(*found) for found in self._connection.execute(query, (after, limit))]

    def each_call(self, read: Callable[[object, bytes], T]) -> Iterator[T]:
        """What `read` makes of each call's stage and blob, in no order."""
        with self._damage_named():
            for stage, blob in self._connection.execute("SELECT stage, reply FROM call"):
                yield read(stage, blob)

    def each_row(self, read: Callable[[bytes], T]) -> Iterator[T]:
        """What `read` makes of each row's blob, by place."""
        with self._damage_named():
            for (blob,) in self._connection.execute("SELECT data FROM row ORDER BY idx"):
                yield read(blob)

    def close(self) -> None:
        """Close the file; what is in the WAL is moved into it."""
        _pass("close")
        self._connection.close()

    @contextmanager
    def _damage_named(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, LookupError, RecursionError) as error:
            raise JournalCorruptError(
                f"{self.path} is damaged: {error}. Nothing was changed; move it away to start "
                f"again, or restore it from a backup.",
                path=self.path,
            ) from error


def open_database(
    path: Path, durability: Durability = "power", *, reads_only: bool = False
) -> Database:
    """Open a journal, under the lock of its directory. If there is none, make it.

    Args:
        path: the file.
        durability: what a commit survives.
        reads_only: make nothing, mend nothing, move nothing, and do not read every page to see
            whether the file is sound.

    Raises:
        JournalCorruptError: the file is damaged (then it was moved aside), or not ours (then not).
        JournalError: it cannot be opened, or was written by a later version.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise JournalError(
            f"this Python has SQLite {sqlite3.sqlite_version}; checkpoints need 3.37. Use another "
            f"Python, or enable_checkpoints=False.",
            path=path,
        )
    check_files(path)
    is_new = make_file(path, create=not reads_only, is_durable=durability == "power")
    _pass("open")
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        _prepare(connection, path, makes_tables=not reads_only)
        if reads_only:
            connection.execute("PRAGMA query_only=ON")
        else:
            _check_pages(connection, is_new=is_new)
            _set_durability(connection, durability)
        return Database(connection, path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        if not _is_damage(error):
            raise _unusable(path, error) from error
        raise _damage(path, error, is_moved=not reads_only) from error
    except BaseException:
        connection.close()
        raise


class _DamageError(sqlite3.DatabaseError):
    """What we find wrong, beside what SQLite finds."""


def _pass(point: str) -> None:
    if failpoints.reached is not None:
        failpoints.reached(point)


def _prepare(connection: sqlite3.Connection, path: Path, *, makes_tables: bool) -> None:
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    if hasattr(connection, "setconfig"):  # Python 3.12
        defensive: Any = getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE")  # noqa: B009
        connection.setconfig(defensive, True)  # type: ignore[attr-defined,unused-ignore]
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "locking_mode=EXCLUSIVE"):
        connection.execute(f"PRAGMA {pragma}")
    schema = set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if makes_tables and not (schema or application_id):
        _make_tables(connection)
        return
    if application_id != APPLICATION_ID:
        raise JournalCorruptError(
            f"{path} is a database of another program. Nothing was changed; choose another "
            + named("checkpoint_dir")
            + ".",
            path=path,
        )
    _check_format(connection, path)
    if schema != _SCHEMA:
        odd = sorted(f"{kind} {name}" for kind, name, *_ in schema ^ _SCHEMA)
        raise _DamageError(f"it has not the tables of a journal ({', '.join(odd)[:200]})")


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != _FORMAT:
        raise JournalError(
            f"{path} has format {version}; this version of distilabel reads format {_FORMAT}. Use "
            "the version that wrote it, or another " + named("checkpoint_dir") + ".",
            path=path,
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={_FORMAT}")
    connection.execute("COMMIT")


def _check_pages(connection: sqlite3.Connection, *, is_new: bool) -> None:
    if is_new:
        return
    finding = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != ("ok",):
        raise _DamageError(f"SQLite's quick_check says: {finding and finding[0]}")


def _set_durability(connection: sqlite3.Connection, durability: Durability) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode == "wal":
        synchronous = "FULL" if durability == "power" else "NORMAL"
    else:  # this file system cannot: the classic way, which needs its directory synced too
        connection.execute("PRAGMA journal_mode=DELETE")
        synchronous = "EXTRA" if durability == "power" else "NORMAL"
    connection.execute(f"PRAGMA synchronous={synchronous}")


def _unusable(path: Path, error: Exception) -> JournalError:
    """The error for a file that is sound, as far as we know, and cannot be used now."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice: str = "Make room on the disk, or mend it, or choose another " + named("checkpoint_dir")
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        advice = "Another program has it open: close it there"
    return JournalError(
        f"{path} cannot be opened: {error}. Nothing was spent. " + advice + ", and run again.",
        path=path,
    )


def _is_damage(error: Exception) -> bool:
    if isinstance(error, _DamageError | UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the module's own: text that is no UTF-8, a blob that is too long
        return True
    primary = code & 0xFF
    return primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _damage(path: Path, error: Exception, *, is_moved: bool) -> JournalCorruptError:
    if not is_moved:
        return JournalCorruptError(f"{path} is damaged: {error}", path=path)
    moved_to = move(path, "journal.corrupt")
    return JournalCorruptError(
        f"{path} is damaged: {error}. It was moved to {moved_to}, and no call was made. Restore it "
        f"from a backup, or run again to start anew.",
        path=path,
        moved_to=moved_to,
    )


def read_all_rows(database: Database, rows_at_a_time: int) -> Iterator[RowRecord]:
    """All rows by place."""
    after = -1
    while rows := database.rows(after=after, limit=rows_at_a_time):
        yield from rows
        after = rows[-1].index
