"""The journal as the pipeline sees it."""

import asyncio
import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import RUN, call, files, key, row, run_program, running

from distilabel.errors import JournalError, RunLockedError
from distilabel.journal import (
    CallMeta,
    CallRecord,
    RowRecord,
    open_journal,
)
from distilabel.journal.records import decode_call, decode_row, encode_call, encode_row
from distilabel.types import Reply, RowError, Usage


async def test_what_was_kept_is_found_by_a_later_run(tmp_path):
    """Calls by key, rows by place, all as they were put."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert journal.found.is_new
        for number in range(3):
            journal.sent()
            journal.put_call(call(number, f"text {number}"))
        await journal.put_row(row(2))
        assert journal.statistics().in_flight == 0
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        found = journal.found
        assert (found.calls, found.rows, found.in_flight_at_end) == (3, 1, 0)
        assert not found.was_finished
        assert [await journal.find(key(n)) for n in range(4)] == [
            call(0, "text 0"),
            call(1, "text 1"),
            call(2, "text 2"),
            None,
        ]
        assert await journal.find_row(2) == row(2)
        assert await journal.find_row(1) is None
        assert journal.statistics().found == 3


async def test_in_a_fresh_journal_nothing_is_asked_of_the_thread(tmp_path, monkeypatch):
    """Where no journal holds anything, looking a call up costs no hop."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        monkeypatch.setattr(journal._writer, "read", None)
        look_up = journal.find(key(1))
        with pytest.raises(StopIteration) as done:
            look_up.send(None)
        assert done.value.value is None
        assert await journal.find_row(0) is None


async def test_the_file_is_used_in_one_thread_that_ends(tmp_path):
    """A connection lives and dies in the writer's thread."""
    async with open_journal(tmp_path / "run", identity=RUN):
        assert [t.name for t in threading.enumerate()].count("distilabel-journal") == 1
    for thread in threading.enumerate():
        if thread.name == "distilabel-journal":
            await asyncio.to_thread(thread.join)


async def test_a_row_is_put_in_place_of_the_earlier_one(tmp_path):
    """One record for each place; the last counts."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        await journal.put_row(row(0, "first"))
        await journal.put_row(row(0, "second"))
        await journal.put_row(row(0, "second"))
        assert await journal.read_rows() == [row(0, "second")]


async def test_rows_are_read_in_input_order_while_the_run_goes_on(tmp_path):
    """A partial result can be had at any time."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        for number in (5, 1, 3):
            await journal.put_row(row(number))
        assert [r.index for r in await journal.read_rows(limit=2)] == [1, 3]
        assert [r.index for r in await journal.read_rows(after=3)] == [5]
        assert await journal.read_rows(after=5) == []


async def test_a_finished_run_is_known_as_such(tmp_path):
    """With "always" a finished run is taken up again, and is under way from then on."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        await journal.put_row(row(0))
        await journal.finish()
    for was_finished in (True, False):
        async with open_journal(tmp_path / "run", identity=RUN, resume="always") as journal:
            assert journal.found.was_finished is was_finished
            assert journal.found.rows == 1


async def test_a_second_run_of_this_process_is_refused(tmp_path):
    """The named directory is in use: an error at once, and the first run goes on."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        with pytest.raises(RunLockedError):
            async with open_journal(tmp_path / "run", identity=RUN):
                pytest.fail("it was opened")
        await journal.put_row(row(0))


HOLD = """
import asyncio, sys
from journal_kit import *
from distilabel.journal import open_journal
async def main():
    async with open_journal(sys.argv[1], identity=RUN):
        print("open", flush=True)
        sys.stdin.readline()
asyncio.run(main())
"""


async def test_a_second_process_is_refused(tmp_path):
    """The holder is named."""
    with running(HOLD, tmp_path / "run") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(RunLockedError) as refusal:
            async with open_journal(tmp_path / "run", identity=RUN):
                pytest.fail("it was opened")
        assert refusal.value.holder_pid == process.pid


async def test_nothing_is_readable_by_others(tmp_path):
    """Directories 0700, files 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        async with open_journal(tmp_path / "a" / "run", identity=RUN) as journal:
            await journal.put_row(row(0))
            assert files(journal.directory) == ["journal.sqlite", "journal.sqlite-wal", "run.lock"]
            for path in journal.directory.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            for path in (tmp_path / "a", journal.directory):
                assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    finally:
        os.umask(before)
    assert files(journal.directory) == ["journal.sqlite", "run.lock"]


@pytest.mark.parametrize("durability", ["power", "process"])
async def test_both_durabilities_keep_what_was_acknowledged(tmp_path, durability):
    """FULL syncs each commit, NORMAL does not; both are WAL."""
    async with open_journal(tmp_path / "run", identity=RUN, durability=durability) as journal:
        await journal.put_row(row(0))
        modes = await journal._writer.read(
            lambda opened: [
                opened.database._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "locking_mode", "trusted_schema")
            ]
        )
    assert modes == ["wal", 2 if durability == "power" else 1, "exclusive", 0]


async def test_a_record_that_is_too_long_is_refused(tmp_path, monkeypatch):
    """Before it is queued: the journal goes on."""
    monkeypatch.setattr("distilabel.journal.journal.BLOB_BYTES_MAX", 1000)
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        with pytest.raises(JournalError, match="record of row 3 has"):
            journal.put_call(call(3, "x" * 1000))
        with pytest.raises(JournalError, match="record of row 4 has"):
            await journal.put_row(row(4, "x" * 1000))
        await journal.put_row(row(5))


async def test_a_value_that_cannot_be_kept_is_named(tmp_path):
    """The error names row, column and type; the journal goes on."""
    circle: list[object] = []
    circle.append(circle)
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        with pytest.raises(JournalError, match=r"row 7 .* 'a' .* builtins.object"):
            await journal.put_row(RowRecord(7, key(7), {"a": [object()]}))
        with pytest.raises(JournalError, match="row 7"):
            await journal.put_row(RowRecord(7, key(7), {"a": circle}))
        await journal.put_row(row(5))


texts = st.text()
any_texts = st.text(st.characters(exclude_categories=()))  # lone surrogates too
replies = st.builds(
    Reply,
    st.lists(any_texts).map(tuple),
    st.lists(st.none() | any_texts).map(tuple),
    st.none() | st.builds(Usage, *[st.integers(0, 2**40)] * 3),
    st.none() | any_texts,
    st.none() | any_texts,
)


def clean(text: str | None) -> str | None:
    """The text without lone surrogates."""
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(replies, st.builds(CallMeta, *[st.integers(0, 99)] * 2, st.floats(0, 1e6)))
def test_a_reply_comes_back_as_it_was(reply, meta):
    """Every field; only lone surrogates, which no file can hold, become U+FFFD."""
    record = CallRecord(key(1), 5, "labeller", reply, meta)
    back = decode_call(key(1), 5, "labeller", encode_call(record))
    assert back.meta == meta
    assert back.reply == Reply(
        tuple(clean(text) or "" for text in reply.texts),
        tuple(clean(reason) for reason in reply.finish_reasons),
        reply.usage,
        clean(reply.model),
        clean(reply.request_id),
    )


def test_a_row_keeps_lone_surrogates():
    """JSON can write them, as escapes."""
    record = RowRecord(3, key(3), {"a": ["\ud800", "\udfff é"]})
    assert decode_row(3, key(3), encode_row(record)) == record


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
odd_values = st.recursive(
    json_values
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones().map(lambda _: __import__("datetime").UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.frozensets(st.integers() | st.binary()).map(set),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(texts, inner)
        | st.dictionaries(st.binary() | st.dates(), inner)
        | st.fixed_dictionaries({"__distilabel__": inner})
    ),
    max_leaves=10,
)


@given(st.dictionaries(texts | st.just("__distilabel__"), json_values | odd_values))
def test_a_row_comes_back_as_it_was(values):
    """JSON's own values and those it has no word for, in any mixture."""
    error = RowError("labeller", "timeout", "\ud800 gave up", generation=1, attempts=5)
    record = RowRecord(3, key(3), values, (error,))
    assert decode_row(3, key(3), encode_row(record)) == record


@pytest.mark.parametrize("dtype", ["i8", "f4", "?", "U3", "M8[s]"])
def test_arrays_come_back_with_type_and_shape(dtype):
    """A column of numpy arrays is not turned into lists."""
    import numpy as np

    array = np.array([[1, 0], [0, 1]]).astype(dtype)
    values = {"a": array, "b": array[0, 0], "c": b"tags the row"}
    back = decode_row(0, key(0), encode_row(RowRecord(0, key(0), values))).values
    assert (back["a"] == array).all()
    assert (back["a"].dtype, back["a"].shape) == (array.dtype, (2, 2))
    assert back["b"] == array[0, 0]


def test_infinities_and_nans_come_back():
    """They are no JSON, and they are what a task of the user's may rate with."""
    record = RowRecord(0, key(0), {"a": [float("inf"), float("nan")]})
    infinity, nan = decode_row(0, key(0), encode_row(record)).values["a"]
    assert infinity == float("inf")
    assert nan != nan  # noqa: PLR0124 - that is how a nan is known


def test_an_array_of_objects_is_refused():
    """It could only be kept by pickling it."""
    import numpy as np

    with pytest.raises(TypeError, match="'a' holds an array of object"):
        encode_row(RowRecord(0, key(0), {"a": np.array([{}], object)}))


FORGET = """
import asyncio, os, sys, threading
from journal_kit import *
from distilabel.journal import open_journal
async def main():
    opened = open_journal(sys.argv[1], identity=RUN)
    await (await opened.__aenter__()).put_row(row(0))
    globals()["kept"] = opened
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
print(threading.active_count())
"""


def test_a_process_that_forgets_to_close_ends(tmp_path):
    """The writer's thread keeps no interpreter alive."""
    ended = run_program(FORGET, tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "2\n"
