"""Damaged and hostile files: a typed error, nothing executed, nothing outside touched."""

import random
import sqlite3
from contextlib import closing, suppress

import pytest
from journal_kit import OTHER_RUN, RUN, call, files, key, row

from distilabel.errors import JournalCorruptError, JournalError
from distilabel.journal import describe_run, open_journal, read_rows
from distilabel.journal.database import open_database
from distilabel.journal.files import has_our_header
from distilabel.journal.records import decode_call, decode_row


@pytest.fixture
async def run(tmp_path):
    """A run directory with 50 calls and rows."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        for number in range(50):
            journal.put_call(call(number, "x" * 500))
            await journal.put_row(row(number))
    return tmp_path / "run"


def tamper(run, *statements: str, **connection) -> None:
    """Change the file as somebody else would."""
    with closing(sqlite3.connect(run / "journal.sqlite", **connection)) as db, db:
        for statement in statements:
            db.execute(statement)


async def refused(run, *, match: str) -> JournalCorruptError:
    """Opening the run is refused as damaged; the error."""
    with pytest.raises(JournalCorruptError, match=match) as refusal:
        async with open_journal(run, identity=RUN):
            pytest.fail("it was opened")
    return refusal.value


async def test_a_damaged_file_is_moved_aside_and_named(run):
    """The error says from where to where; nothing is deleted; the next run starts anew."""
    path = run / "journal.sqlite"
    content = bytearray(path.read_bytes())
    content[5000:9000] = random.Random(1).randbytes(4000)
    path.write_bytes(content)
    (run / "journal.sqlite-wal").write_bytes(b"")
    error = await refused(run, match="is damaged")
    assert (error.path, error.moved_to) == (path, run / "journal.corrupt-1.sqlite")
    assert str(error.moved_to) in str(error)
    assert error.moved_to.read_bytes() == content
    async with open_journal(run, identity=RUN) as journal:
        assert journal.found.is_new
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    assert (await refused(run, match="is damaged")).moved_to == run / "journal.corrupt-2.sqlite"


@pytest.mark.parametrize("seed", range(10))
async def test_random_damage_is_found_or_harmless(run, seed):
    """Whatever bytes are changed: the journal opens and reads, or is refused with a typed error."""
    path, chance = run / "journal.sqlite", random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 40)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    with suppress(JournalError):
        async with open_journal(run, identity=RUN) as journal:
            for number in range(50):
                await journal.find(key(number))
            await journal.read_rows()


@pytest.mark.parametrize("length", [100, 4096, 5000, 20_000])
async def test_a_file_cut_short_is_refused(run, length):
    """A copy that was broken off is no journal."""
    path = run / "journal.sqlite"
    path.write_bytes(path.read_bytes()[:length])
    await refused(run, match="is damaged")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON row BEGIN DELETE FROM call; END",
        "CREATE VIEW v AS SELECT * FROM call",
        "CREATE TABLE extra (a)",
        "CREATE INDEX i ON call (stage)",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "DROP TABLE row",
        "ALTER TABLE row ADD COLUMN more TEXT",
        "ALTER TABLE row ADD COLUMN more TEXT AS (hex(idx)) VIRTUAL",
    ],
)
async def test_a_schema_that_is_not_ours_is_refused_unexecuted(run, statement):
    """Triggers, views, indices and further tables are damage, found before anything is read."""
    try:
        tamper(run, statement)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this SQLite cannot make it: {error}")
    error = await refused(run, match="has not the tables of a journal")
    assert error.moved_to is not None


async def test_a_view_in_the_place_of_a_table_is_refused(run):
    """A view that calls a function for each row that is read never runs."""
    tamper(run, "DROP TABLE row", "CREATE VIEW row AS SELECT 1 AS idx, load_extension('x') AS data")
    await refused(run, match="has not the tables")


async def test_another_program_s_database_is_left_alone(tmp_path):
    """A file that is not ours is refused, and stays where and as it is."""
    run = tmp_path / "run"
    run.mkdir()
    tamper(run, "CREATE TABLE precious (a)", "PRAGMA application_id=7")
    (run / "journal.sqlite").chmod(0o644)
    before = (run / "journal.sqlite").read_bytes()
    error = await refused(run, match="another program")
    assert error.moved_to is None
    assert (run / "journal.sqlite").read_bytes() == before
    assert (run / "journal.sqlite").stat().st_mode & 0o777 == 0o644
    assert not has_our_header(run / "journal.sqlite")
    tamper(run, "PRAGMA application_id=0")
    assert (await refused(run, match="another program")).moved_to is None


async def test_a_later_format_is_refused_and_left_alone(run):
    """A file of a later version is not damage: the error says which version is needed."""
    tamper(run, "PRAGMA user_version=2")
    with pytest.raises(JournalError, match=r"format 2.*reads format 1") as refusal:
        async with open_journal(run, identity=RUN):
            pytest.fail("it was opened")
    assert not isinstance(refusal.value, JournalCorruptError)
    assert files(run) == ["journal.sqlite", "run.lock"]


CRAFTED = [
    "UPDATE call SET reply = x'7b7d'",
    "UPDATE call SET reply = x'ff'",
    'UPDATE call SET reply = CAST(\'{"reply":{"texts":[1]},"meta":{}}\' AS BLOB)',
    "UPDATE call SET reply = CAST('" + "[" * 50_000 + "' AS BLOB)",
    "UPDATE call SET stage = 'somewhere'",
    "UPDATE call SET stage = CAST(x'ff' AS TEXT)",
    "UPDATE call SET row = 9223372036854775807, reply = zeroblob(100)",
]


@pytest.mark.parametrize("statement", CRAFTED)
async def test_a_crafted_call_is_an_error_where_it_is_found(run, statement):
    """What is read is checked field by field."""
    tamper(run, statement)
    async with open_journal(run, identity=RUN) as journal:
        with pytest.raises(JournalCorruptError, match="is damaged"):
            await journal.find(key(3))
        await journal.put_row(row(60))


CRAFTED_ROWS = [
    "UPDATE row SET data = x'7b7d'",
    "UPDATE row SET data = CAST('[]' AS BLOB)",
    'UPDATE row SET data = CAST(\'{"values":[],"errors":[]}\' AS BLOB)',
    'UPDATE row SET data = CAST(\'{"values":{},"errors":[{"stage":1}]}\' AS BLOB)',
    'UPDATE row SET data = CAST(\'{"values":{},"errors":7}\' AS BLOB)',
    "UPDATE row SET data = CAST('" + "[" * 50_000 + "' AS BLOB)",
    'UPDATE row SET data = CAST(\'{"errors":[],"values":' + "9" * 5_000 + "}' AS BLOB)",
    "UPDATE row SET data = zeroblob(70000000) WHERE idx = 3",
    "UPDATE row SET identity = x'00'",
]
TAGGED = [
    '{"__distilabel__":"eval","value":"1"}',
    '{"__distilabel__":["bytes"],"value":"1"}',
    '{"__distilabel__":"bytes"}',
    '{"__distilabel__":"bytes","value":"ü"}',
    '{"__distilabel__":"set","value":[[1]]}',
    '{"__distilabel__":"mapping","value":[[1,2,3]]}',
    '{"__distilabel__":"datetime","value":"now"}',
    '{"__distilabel__":"timedelta","value":[99999999999,0,0]}',
    '{"__distilabel__":"Decimal","value":"x"}',
    '{"__distilabel__":"array","dtype":"O","shape":[1],"value":"AAAAAAAAAAA="}',
    '{"__distilabel__":"array","dtype":"i8","shape":[1000000000000],"value":""}',
    '{"__distilabel__":"array","dtype":"i8, O","shape":[1],"value":""}',
    '{"__distilabel__":"array","dtype":"nothing","shape":[1],"value":""}',
    "[" * 900 + '{"__distilabel__":"no"}' + "]" * 900,
]
CRAFTED_ROWS += [
    f"""UPDATE row SET data = CAST('{{"tagged":{{"a":{tag}}},"errors":[]}}' AS BLOB)"""  # noqa: S608
    for tag in TAGGED
]


@pytest.mark.parametrize("statement", CRAFTED_ROWS)
async def test_a_crafted_row_is_an_error_where_it_is_read(run, statement):
    """Of whatever JSON, length or tag: never a crash, never an object that we did not write."""
    tamper(run, statement)
    with pytest.raises(JournalCorruptError, match="is damaged"):
        list(read_rows(run))
    async with open_journal(run, identity=RUN) as journal:
        with pytest.raises(JournalCorruptError, match="is damaged"):
            await journal.read_rows()
        await journal.put_row(row(60))


async def test_a_crafted_key_is_refused(run):
    """Keys are of 16 bytes."""
    tamper(run, "UPDATE call SET key = x'00' WHERE row = 1")
    assert (await refused(run, match="key is not a key")).moved_to is None


async def test_values_of_other_types_than_the_tables_are_found(run):
    """A file that was written by something that ignores STRICT."""
    tamper(
        run,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')",
    )
    tamper(run, "UPDATE row SET data = 'text'", "UPDATE call SET reply = 1.5")
    tamper(
        run,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE sql IS NOT NULL",
    )
    await refused(run, match="is damaged")


def test_columns_are_checked_whatever_sqlite_says():
    """The last line of defence: what is decoded must be of its type."""
    for columns in [
        (b"k", 1, "generator", b""),
        (key(1), "1", "generator", b""),
        (key(1), 1, 2, b""),
    ]:
        with pytest.raises(ValueError, match=r"not of|truncated"):
            decode_call(*columns)
    with pytest.raises(ValueError, match="not of"):
        decode_row(None, key(1), b"{}")
    with pytest.raises(ValueError, match="not of"):
        decode_row(True, key(1), b"{}")


@pytest.mark.parametrize(
    "name", ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.sqlite-journal"]
)
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
async def test_links_are_refused_and_not_followed(tmp_path, name, link):
    """Nothing outside of the run directory is read, written or moved."""
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    run.mkdir()
    getattr(run / name, link)(victim)
    with pytest.raises(JournalError, match="link") as refusal:
        async with open_journal(run, identity=RUN):
            pytest.fail("it was opened")
    assert refusal.value.path == run / name
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("is_dangling", [True, False])
async def test_a_run_directory_that_is_a_link_is_refused(tmp_path, is_dangling):
    """Nothing is made at the other end."""
    target = tmp_path / "elsewhere"
    if not is_dangling:
        target.mkdir()
    (tmp_path / "run").symlink_to(target)
    with pytest.raises(JournalError, match=r"is a link or no directory|cannot be made"):
        async with open_journal(tmp_path / "run", identity=RUN):
            pytest.fail("it was opened")
    assert is_dangling or not list(target.iterdir())


async def test_a_rollback_journal_that_names_another_file_deletes_nothing(run, tmp_path):
    """SQLite would delete the file that a crafted rollback journal names."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = str(victim).encode()
    magic = bytes.fromhex("d9d505f920a163d7")
    crafted = magic + bytes(504) + (0).to_bytes(4) + name
    crafted += len(name).to_bytes(4) + sum(name).to_bytes(4) + magic
    (run / "journal.sqlite-journal").write_bytes(crafted)
    await refused(run, match="names further files")
    assert victim.read_text() == "precious"


async def test_a_damaged_ancestor_is_passed_over(run, tmp_path, caplog):
    """It might have saved calls; the run goes on without it, and the log says so."""
    root = tmp_path / "root"
    async with open_journal(identity=OTHER_RUN, root=root) as journal:
        journal.put_call(call(0))
        directory = journal.directory
    tamper(directory, "UPDATE call SET reply = x'00'")
    async with open_journal(identity=RUN, root=root) as journal:
        assert journal.found.ancestor_calls == 1
        assert await journal.find(key(0)) is None
        assert await journal.find(key(0)) is None
    assert caplog.text.count("no more calls are reused") == 1
    (directory / "journal.sqlite").write_bytes(b"x" * 5000)
    async with open_journal(identity=RUN, root=root) as journal:
        assert not journal.found.ancestors
    assert "no calls are reused" in caplog.text
    assert files(directory) == ["journal.sqlite", "run.lock"], "it is not ours to move"
    assert "is damaged" in describe_run(directory).problem


async def test_a_damaged_run_under_a_root_is_refused_not_bought_again(tmp_path):
    """The run that would have been continued is damaged: its owner decides, not we."""
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        journal.put_call(call(0))
        directory = journal.directory
    (directory / "journal.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(JournalCorruptError, match="is damaged") as refusal:
        async with open_journal(identity=RUN, root=tmp_path):
            pytest.fail("it was opened")
    assert refusal.value.moved_to == directory / "journal.corrupt-1.sqlite"


async def test_a_file_that_another_program_has_open_is_refused_soon(run):
    """Somebody looks into the journal with the sqlite3 shell: an error that says so, no damage."""
    with closing(sqlite3.connect(run / "journal.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked") as refusal:
            async with open_journal(run, identity=RUN):
                pytest.fail("it was opened")
    assert not isinstance(refusal.value, JournalCorruptError)
    async with open_journal(run, identity=RUN) as journal:
        assert journal.found.calls == 50


def test_an_old_sqlite_is_named(tmp_path, monkeypatch):
    """Where tables cannot be STRICT, the error says what is needed."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(JournalError, match=r"need 3\.37"):
        open_database(tmp_path / "journal.sqlite")


def test_a_file_system_without_wal_is_used_the_classic_way(tmp_path, monkeypatch):
    """The mode is read back; the classic one syncs the directory too."""
    from distilabel.journal import database as module

    class NoWal(sqlite3.Connection):
        def execute(self, sql, *parameters):
            return super().execute(sql.replace("journal_mode=WAL", "journal_mode"), *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda *a, **k: connect(*a, factory=NoWal, **k))
    for durability, expected in (("power", 3), ("process", 1)):
        with closing(open_database(tmp_path / "journal.sqlite", durability)) as database:
            mode = database._connection.execute("PRAGMA synchronous").fetchone()
            assert mode == (expected,)
            database.write((), [(0, key(0), b"{}")], {})
            assert not (tmp_path / "journal.sqlite-wal").exists()


def test_no_extension_can_be_loaded(tmp_path):
    """SQL that loads code is refused by the connection."""
    with (
        closing(open_database(tmp_path / "journal.sqlite")) as database,
        pytest.raises(sqlite3.OperationalError, match="not authorized"),
    ):
        database._connection.execute("SELECT load_extension('x')")
