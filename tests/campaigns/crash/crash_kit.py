"""What the crash campaigns share: a child to be killed, its journal afterwards, and the ledger.

A *round* is one life of the child, from its start to its end. A *chain* is rounds in one run
directory until the run is done. What is checked:

- After each round the journal, looked at in a copy, is sound, holds every row that was ever
  acknowledged, as it was acknowledged, and the calls of each.
- A call that was paid for and had to be bought again is a *wasted* one. It counts against the round
  in which it was paid. There may be no more of them in a round than the journal says were in
  flight at its end, and none may be older than a commit takes.
- At the end the data set is that of a run that nobody disturbed, and reading it buys nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crash_child import LINE_BYTES, Job, digest_of, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from distilabel.testing import EndpointProcess, LedgerReport

__all__ = [
    "Chain",
    "Child",
    "Look",
    "Round",
    "end_all",
    "look_at",
    "progress",
    "publish",
    "settled",
    "table",
    "undisturbed",
]

HERE = Path(__file__).parent
PATIENCE_S = 120.0
RESULTS = os.environ.get("DISTILABEL_CAMPAIGN_RESULTS")
"""A directory to write the tables to, beside printing them."""


class Child:
    """The program under way.

    Args:
        job: what it is to do.
        failpoint: where it is to die by itself.
        in_shell: start it through `sh`, whose exit status is then the child's as a shell shows it.
        runs: where default run directories are made.
        program: the child program.
    """

    def __init__(
        self,
        job: Job,
        *,
        failpoint: str = "",
        in_shell: bool = False,
        runs: Path | None = None,
        program: Path = HERE / "crash_child.py",
    ) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "DISTILABEL_FAILPOINT"}
        environment |= {"PYTHONUNBUFFERED": "1"}
        if failpoint:
            environment["DISTILABEL_FAILPOINT"] = failpoint
        if runs is not None:
            environment["DISTILABEL_RUNS"] = str(runs)
        command = [sys.executable, str(program), job.to_argument()]
        if in_shell:  # two commands, so that no shell replaces itself by the first
            command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.spawned_s = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        self._content = bytearray()
        self._news = threading.Condition()
        self._is_read = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        _living.add(self)

    def _read(self) -> None:
        assert self.process.stdout is not None
        while some := os.read(self.process.stdout.fileno(), 1 << 16):
            with self._news:
                self._content += some
                self._news.notify_all()
        with self._news:
            self._is_read = True
            self._news.notify_all()

    @property
    def lines(self) -> int:
        """How many lines it has written."""
        return len(self._content) // LINE_BYTES

    @property
    def is_over(self) -> bool:
        """It writes no more."""
        return self._is_read

    def wait_for(self, number: int) -> bool:
        """Wait until it has written so many lines; False: it is over before that."""
        with self._news:
            self._news.wait_for(lambda: self.lines >= number or self._is_read, PATIENCE_S)
        return self.lines >= number

    def wait_over(self, for_s: float) -> bool:
        """Whether it is over within that time."""
        with self._news:
            return self._news.wait_for(lambda: self._is_read, for_s)

    def wait_said(self, text: str) -> None:
        """Wait until this is in what it has said on standard error."""
        deadline_s = time.monotonic() + PATIENCE_S
        while text.encode() not in os.pread(self._errors.fileno(), 1 << 20, 0):
            assert not self.is_over, self.end().said
            assert time.monotonic() < deadline_s, text
            time.sleep(0.005)

    def first_line(self) -> str:
        """Its first line, which it writes before it calls the library, if it has written that."""
        return self._content[:LINE_BYTES].decode()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)

    def end(self, patience_s: float = PATIENCE_S) -> Ended:
        """Wait for its end."""
        _living.discard(self)
        try:
            status = self.process.wait(patience_s)
            ended_s = time.monotonic()
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(5.0)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")
            self._errors.close()
        return Ended(status, bytes(self._content), said, self.spawned_s, ended_s)


_living: set[Child] = set()


def end_all() -> None:
    """End what a failed test has left under way."""
    for child in list(_living):
        child.kill()
        child.end()


@dataclass(frozen=True, slots=True)
class Ended:
    """What a child left."""

    status: int
    content: bytes
    said: str
    """On standard error."""
    spawned_s: float
    ended_s: float

    def rows(self, *, skipping: int = 0) -> list[tuple[int, str]]:
        """Index and digest of each row that it acknowledged."""
        return list(lines(self.content[skipping * LINE_BYTES :]))


@dataclass(frozen=True, slots=True)
class Look:
    """A journal that nobody has open."""

    rows: Mapping[int, str] = field(default_factory=dict[int, str])
    """The digest of each row that it holds."""
    calls_of_row: Mapping[int, int] = field(default_factory=dict[int, int])
    in_flight: int = 0
    is_finished: bool = False


def look_at(directory: Path) -> Look:
    """Read a journal in a copy, so that what a crash left stays as it is; it must be sound."""
    journal = directory / "journal.sqlite"
    if not journal.exists():
        return Look()
    counters = (directory / "run.lock").read_bytes()[:24]
    sent, failed, committed = struct.unpack("<3Q", counters)
    with tempfile.TemporaryDirectory() as copy:
        for file in directory.glob("journal.sqlite*"):
            shutil.copy(file, copy)
        with closing(sqlite3.connect(Path(copy) / journal.name)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
                return Look()
            rows = {
                index: digest_of(json.loads(data)["values"])
                for index, data in database.execute("SELECT idx, data FROM row")
            }
            calls = dict(database.execute("SELECT row, count(*) FROM call GROUP BY row"))
            meta = dict(database.execute("SELECT key, value FROM meta"))
    return Look(rows, calls, sent - failed - committed, meta.get("state") == "finished")


@dataclass(slots=True)
class Round:
    """One life of the child."""

    phase: str
    """What it was doing when it was ended."""
    spawned_s: float
    ended_s: float
    rows: int
    """Rows that it acknowledged."""
    in_flight: int
    """Calls in flight when it ended, as the journal says."""
    paid: int = 0
    wasted: int = 0
    oldest_ms: float = 0.0
    """How long before the end the oldest wasted call was answered."""


class Chain:
    """Rounds in one run directory, and what holds after each.

    Args:
        job: what each round is to do.
        endpoint: whom it asks; it has the ledger of this chain alone.
        reference: the digests of a run that nobody disturbed.
    """

    def __init__(self, job: Job, endpoint: EndpointProcess, reference: Sequence[str]) -> None:
        assert job.directory is not None
        self.job = job
        self.directory = Path(job.directory)
        self.endpoint = endpoint
        self.reference = reference
        self.acknowledged: dict[int, str] = {}
        self.rounds: list[Round] = []
        self.is_finished = False

    def note(self, phase: str, ended: Ended, *, skipping: int = 0) -> Look:
        """Check what a round has left."""
        rows = ended.rows(skipping=skipping)
        assert len({index for index, _ in rows}) == len(rows), "a row was handed out twice"
        for index, digest in rows:
            assert self.reference[index] == digest, f"row {index} is not what it should be"
        self.acknowledged.update(rows)
        look = look_at(self.directory)
        lost = {index for index in self.acknowledged if index not in look.rows}
        assert not lost, f"acknowledged rows are lost: {sorted(lost)}"
        for index, digest in look.rows.items():
            assert self.reference[index] == digest
            assert look.calls_of_row[index] == 2, "a row is kept without its calls"
        self.is_finished = look.is_finished
        progress(f"{phase}: {len(rows)} rows, {len(look.rows)} kept, {look.in_flight} in flight")
        self.rounds.append(Round(phase, ended.spawned_s, ended.ended_s, len(rows), look.in_flight))
        return look

    def finish(self, *, reads_again: bool = True) -> None:
        """Resume to the end, undisturbed; then read the data set without buying anything.

        Args:
            reads_again: False: the rows that the last round hands out are the data set.
        """
        if not self.is_finished:
            ended = Child(replace(self.job, mode="stream")).end()
            assert ended.status == 0, ended.said
            assert len(ended.rows()) == self.job.rows
            self.note("end", ended)
            assert self.is_finished
        assert look_at(self.directory).rows == dict(enumerate(self.reference))
        before = settled(self.endpoint)
        if reads_again:
            ended = Child(replace(self.job, mode="generate", resume="always")).end()
            assert ended.status == 0, ended.said
            assert [digest for _, digest in ended.rows(skipping=1)] == list(self.reference)
            assert settled(self.endpoint).paid == before.paid, "a finished run was bought again"
        self._attribute(before)

    def _attribute(self, report: LedgerReport) -> None:
        """Each call to the round in which it was paid; nothing may be wasted but by a crash."""
        times: dict[str, list[tuple[int, float]]] = defaultdict(list)
        starts = [r.spawned_s for r in self.rounds[1:]]
        for call in report.calls:
            if call.status == 200:
                place = sum(call.arrived_s >= start for start in starts)
                times[call.body_hash].append((place, call.finished_s))
                self.rounds[place].paid += 1
        assert len(times) == 2 * self.job.rows, "the calls are not those of the undisturbed run"
        for paid in times.values():
            places = [place for place, _ in paid]
            assert len(set(places)) == len(places), "a call was bought twice in one round"
            for place, finished_s in sorted(paid)[:-1]:
                told = self.rounds[place]
                told.wasted += 1
                age_ms = (told.ended_s - finished_s) * 1e3
                told.oldest_ms = max(told.oldest_ms, age_ms)
        for told in self.rounds:
            assert told.wasted <= told.in_flight, "more was wasted than the journal says"
        assert self.rounds[-1].wasted == 0


def settled(endpoint: EndpointProcess) -> LedgerReport:
    """The ledger once the endpoint is done with all that a dead client has sent."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (report := endpoint.ledger).in_flight:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return report


def undisturbed(job: Job) -> list[str]:
    """The digests of a run of the same that nobody disturbs."""
    with tempfile.TemporaryDirectory() as directory:
        ended = Child(replace(job, mode="stream", directory=f"{directory}/run")).end()
    assert ended.status == 0, ended.said
    rows = sorted(ended.rows())
    assert [index for index, _ in rows] == list(range(job.rows))
    return [digest for _, digest in rows]


@contextmanager
def run_directory() -> Iterator[Path]:
    """A place for a run, on the disk that temporary files are on; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="distilabel-crash-") as directory:
        yield Path(directory) / "run"


def table(title: str, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    cells = [[_cell(value) for value in line] for line in lines]
    rule = ["---" if k == 0 else "---:" for k in range(len(heads))]
    body = "\n".join("| " + " | ".join(line) + " |" for line in (list(heads), rule, *cells))
    return f"{title}\n\n{body}\n"


def _cell(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def progress(text: str) -> None:
    """A word about how far a campaign is, where the environment says."""
    if RESULTS:
        with (Path(RESULTS) / "progress.log").open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def publish(name: str, text: str) -> None:
    """Print a table, and keep it where the environment says."""
    sys.stdout.write(f"\n{text}\n")
    if RESULTS:
        Path(RESULTS).mkdir(parents=True, exist_ok=True)
        (Path(RESULTS) / f"{name}.md").write_text(text)
