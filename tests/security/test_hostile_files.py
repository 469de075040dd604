"""Run directories that somebody else has made: read through the public doors, none of it runs.

`tests/journal/test_damage.py` looks at the journal from inside. Here a directory is crafted, every
public function is called on it, and what it did is watched by an audit hook and by comparing all
files around it.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path

import pytest

from distilabel import runs
from distilabel.errors import ConfigurationError, DistilabelError, JournalError
from distilabel.journal import find_runs, read_rows
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import ScriptedLLM

ROWS = [{"input": f"row {number}"} for number in range(8)]
MARKER = "was-executed"
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
    "sqlite3.enable_load_extension",
    "sqlite3.load_extension",
    "socket.connect",
)
_watch: list[tuple[str, tuple[object, ...]]] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watch is not None and (event.startswith(FORBIDDEN) or event == "open"):
        _watch.append((event, arguments))


sys.addaudithook(_hook)


@contextmanager
def watched(allowed: Path) -> Iterator[None]:
    """Nothing is executed meanwhile, and no file is opened for writing but below `allowed`."""
    global _watch  # noqa: PLW0603 - an audit hook cannot be taken off again
    _watch = seen = []
    try:
        yield
    finally:
        _watch = None
    executed = [event for event, _ in seen if event != "open"]
    assert executed == []
    written = [
        str(arguments[0])
        for event, arguments in seen
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike)
        if int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ]
    noted = Path(os.environ["XDG_STATE_HOME"]) / "distilabel" / "known-runs"  # what a run notes
    places = (allowed, noted)
    outside = [
        path for path in written if not any(map(Path(path).absolute().is_relative_to, places))
    ]
    assert [path for path in outside if path != os.devnull] == []


def snapshot(place: Path, *, but: Path) -> dict[str, str]:
    """All files below a place, links not followed, by what they are and hold."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_relative_to(but):
            continue
        if path.is_symlink():
            found[str(path)] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path)] = blake2b(path.read_bytes()).hexdigest()
        else:
            found[str(path)] = "directory"
    return found


def pipe() -> Pipeline:
    """A generator and a judge."""
    judged = "#### Output for Text 1\nRating: 4\nRationale: fine"
    return Pipeline(
        ScriptedLLM(TextGenerationTask(), lambda call: "a text", model_name="writer"),
        ScriptedLLM(UltraFeedbackTask.for_honesty(), lambda call: judged, model_name="judge"),
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """A root with one run in it."""
    root = tmp_path_factory.mktemp("honest") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILABEL_RUNS", str(root))
        stream = pipe().iterate(ROWS, durability="process", verbose=False, ordered=True)
        with stream as rows:
            for _ in range(6):
                next(rows)
        runs.export(the_run(root))  # which imports much, on first use
    return root


@pytest.fixture
def place(tmp_path, honest, monkeypatch) -> Path:
    """A copy of that root, to be crafted, beside a file that is nobody's business."""
    root = tmp_path / "runs"
    shutil.copytree(honest, root)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("DISTILABEL_RUNS", str(root))
    return root


def the_run(root: Path) -> Path:
    """The one run directory."""
    (directory,) = [path for path in root.iterdir() if path.is_dir()]
    return directory


def tamper(root: Path, *statements: str) -> None:
    """Change the journal as somebody else would."""
    journal = the_run(root) / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as db, db:
        db.create_function("marker", 0, lambda: MARKER)
        for statement in statements:
            db.execute(statement)


DOORS = {
    "find_runs": lambda root, run: find_runs(root),
    "read_rows": lambda root, run: list(read_rows(run)),
    "list_runs": lambda root, run: repr(runs.list_runs(root)),
    "show": lambda root, run: repr(runs.show(run.name)),
    "export": lambda root, run: runs.export(run.name)[:],
    "relaunch_of": lambda root, run: runs.relaunch_of(run.name),
    "clean": lambda root, run: runs.clean(root, only_finished=False),
    "resume": lambda root, run: pipe().generate(ROWS, durability="process", verbose=False)[:],
    "resume named": lambda root, run: pipe().generate(
        ROWS, checkpoint_dir=run, resume="always", durability="process", verbose=True
    )[:],
    "resume another": lambda root, run: pipe().generate(
        ROWS[:3], resume="always", durability="process", verbose=False
    )[:],
}


def knock(root: Path, run: Path) -> list[str]:
    """Try every door on a copy of its own; which of them refused."""
    refused = []
    original = root.with_name("as it was")
    root.rename(original)
    before = None
    for name, door in DOORS.items():
        shutil.copytree(original, root, symlinks=True)
        before = snapshot(root.parent, but=root)
        with watched(root):
            try:
                door(root, run)
            except DistilabelError as error:
                is_told = MARKER in str(error)
                refused.append(f"{name} tells what is in it" if is_told else name)
        assert snapshot(root.parent, but=root) == before, name
        shutil.rmtree(root)
    original.rename(root)
    return refused


def deep(levels: int) -> str:
    """JSON that nests."""
    return "[" * levels + "]" * levels


# ruff: noqa: S608 - the statements are those of an attacker
CRAFTED = {
    "honest": [],
    "trigger": [
        "CREATE TRIGGER t AFTER INSERT ON row BEGIN DELETE FROM call; END",
        "CREATE TRIGGER u AFTER INSERT ON meta BEGIN DELETE FROM row; END",
    ],
    "view": ["ALTER TABLE row RENAME TO old", "CREATE VIEW row AS SELECT * FROM old"],
    "generated column": ["ALTER TABLE row ADD COLUMN more TEXT AS (hex(data)) VIRTUAL"],
    "an index with an expression": ["CREATE INDEX i ON row (lower(data))"],
    "further table": ["CREATE TABLE extra (a)"],
    "other types": ["PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET sql = 'x' WHERE 0"],
    "no description": ["DELETE FROM meta"],
    "odd description": ["UPDATE meta SET value = '{\"a\":' || value"],
    "deep description": [f"UPDATE meta SET value = '{deep(60_000)}'"],
    "long description": ["UPDATE meta SET value = printf('%.*c', 1000000, 'x')"],
    "escapes in it": ["UPDATE meta SET value = char(27) || '[2J' || value WHERE key = 'label'"],
    "huge records": [
        "UPDATE row SET data = zeroblob(70000000) WHERE idx = 1",
        "UPDATE call SET reply = zeroblob(70000000) WHERE row = 1 AND stage = 'labeller'",
    ],
    "recursive row": [f"UPDATE row SET data = CAST('{deep(100_000)}' AS BLOB)"],
    "recursive reply": [f"UPDATE call SET reply = CAST('{deep(100_000)}' AS BLOB)"],
    "recursive in a field that nobody knows": [
        f"""UPDATE row SET data = CAST('{{"values":{{}},"errors":[],"x":{deep(100_000)}}}' AS BLOB),
        idx = idx""",
        f"""UPDATE call SET reply = CAST('{{"x":{deep(100_000)},"reply":{{"texts":[]}},
        "meta":{{}}}}' AS BLOB)""",
    ],
    "long number": [f"UPDATE row SET data = CAST('{{\"values\":{'9' * 6000}}}' AS BLOB)"],
    "not utf-8": ["UPDATE row SET data = x'ff00ff'", "UPDATE call SET reply = x'ff00ff'"],
    "tagged nonsense": [
        """UPDATE row SET data = CAST('{"tagged":{"input":{"__distilabel__":"os.system",
        "value":"touch was-executed"}},"errors":[]}' AS BLOB)"""
    ],
    "an array of objects": [
        """UPDATE row SET data = CAST('{"tagged":{"input":{"__distilabel__":"array","dtype":"O",
        "shape":[1],"value":"AAAAAAAAAAA="}},"errors":[]}' AS BLOB)"""
    ],
    "an array without end": [
        """UPDATE row SET data = CAST('{"tagged":{"input":{"__distilabel__":"array",
        "dtype":"i8","shape":[99999999999],"value":""}},"errors":[]}' AS BLOB)"""
    ],
    "rows far away": ["UPDATE row SET idx = idx + 9223372036854770000"],
    "other columns": [
        """UPDATE row SET data = CAST('{"values":{"__class__":"x","../../x":1},"errors":[]}'
        AS BLOB)"""
    ],
    "short keys": ["UPDATE call SET key = x'00' WHERE rowid = 1"],
    "another stage": ["UPDATE call SET stage = '../../x'"],
    "another version": ["PRAGMA user_version=99"],
    "another program": ["PRAGMA application_id=7"],
    "as finished": ["UPDATE meta SET value = 'finished' WHERE key = 'state'"],
    "a program to start": [
        """UPDATE meta SET value = replace(value, '"launch":', '"launch":{"directory":"/",
        "script":"/bin/sh","module":"os","has_arguments":false,"is_directory_named":true},"x":')"""
    ],
}
MAY_PASS = {"honest", "as finished", "a program to start", "other types", "escapes in it"}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_journal_is_read_and_never_obeyed(place, name):
    """Every public door ends in a result or an error of ours, and nothing outside is touched."""
    try:
        tamper(place, *CRAFTED[name])
    except sqlite3.Error as error:
        pytest.skip(f"this SQLite cannot make it: {error}")
    refused = knock(place, the_run(place))
    assert refused == [] or name not in MAY_PASS
    assert not list(place.parent.rglob(f"*{MARKER}*"))


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [(b"", False), (b"x" * 5_000, True), (b"SQLite format 3\0" + bytes(5_000), True)],
    ids=["empty", "no database", "a header alone"],
)
def test_a_file_that_is_no_journal_is_refused(place, content, is_refused):
    """It is moved aside or left, and never taken for a run of ours."""
    run = the_run(place)
    (run / "journal.sqlite").write_bytes(content)
    refused = knock(place, run)
    assert ("read_rows" in refused) or not is_refused
    assert ("resume named" in refused) is is_refused


@pytest.mark.parametrize("what", ["journal.sqlite", "journal.sqlite-wal", "run.lock"])
@pytest.mark.parametrize("how", ["symlink", "hard link", "fifo", "directory", "device"])
def test_what_is_no_plain_file_is_refused_and_not_followed(place, what, how):
    """A link's other end is as it was, and nobody waits for a pipe."""
    run, victim = the_run(place), place.parent / "precious"
    (run / what).unlink(missing_ok=True)
    match how:
        case "symlink":
            (run / what).symlink_to(victim)
        case "hard link":
            (run / what).hardlink_to(victim)
        case "fifo":
            os.mkfifo(run / what)
        case "directory":
            (run / what).mkdir()
        case _:
            (run / what).symlink_to("/dev/zero")
    for door in (
        lambda: list(read_rows(run)),
        lambda: pipe().generate(ROWS, checkpoint_dir=run, verbose=False),
    ):
        with watched(place), pytest.raises(JournalError):
            door()
    for door in (find_runs, runs.list_runs, lambda root: runs.clean(root, only_finished=False)):
        with watched(place):
            door(place)
    assert victim.read_text() == "precious"


NAMES = ["..", ".", "../precious", "../elsewhere", "/etc", "a/../../b", "", "x\0y", "~", "$HOME"]
NAMES += ["\x1b[2J", "-rf", "*", "journal.sqlite", "x" * 5_000, "\udc80", "con", "run.lock"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_nowhere_else(place, name):
    """Whatever is given as a run's name: an error of ours without control characters."""
    before = snapshot(place.parent, but=place)
    for door in (runs.show, runs.export, runs.relaunch_of):
        with watched(place), pytest.raises((ConfigurationError, JournalError)) as refused:
            door(name, place)
        assert "\x1b" not in str(refused.value)
    assert snapshot(place.parent, but=place) == before


def test_a_link_to_a_run_is_no_run(place):
    """A link in the root, or in the place of a checkpoint directory, is not followed."""
    run = the_run(place)
    target = place.parent / "elsewhere" / "run"
    shutil.copytree(run, target)
    link = place / "linked"
    link.symlink_to(target)
    before = snapshot(place.parent / "elsewhere", but=place)
    assert [found.directory for found in find_runs(place)] == [run]
    assert runs.clean(place, only_finished=False)[0].directory == run
    for door in (runs.show, runs.export, runs.relaunch_of):
        with pytest.raises(ConfigurationError, match="link"):
            door("linked", place)
    with pytest.raises(JournalError, match="link"):
        pipe().generate(ROWS, checkpoint_dir=link, verbose=False)
    assert snapshot(place.parent / "elsewhere", but=place) == before


@pytest.mark.parametrize("model", ["../../x", "/etc/passwd", "..", "a\0b", "\x1b[2J", "x" * 999])
def test_a_model_s_name_makes_no_path(place, model):
    """The directory that is named after models lies in the root and has a harmless name."""
    llm = ScriptedLLM(TextGenerationTask(), lambda call: "a text", model_name=model)
    before = snapshot(place.parent, but=place)
    with watched(place):
        Pipeline(llm).generate(ROWS, durability="process", verbose=False)
    assert snapshot(place.parent, but=place) == before
    assert all(
        set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for path in place.iterdir()
    )


def test_the_rig_sees_what_is_executed_and_written(tmp_path):
    """The audit hook bites."""
    with pytest.raises(AssertionError, match="subprocess"), watched(tmp_path):
        subprocess.run(["true"], check=True)
    with pytest.raises(AssertionError), watched(tmp_path / "a"):
        (tmp_path / "b").write_text("x")
