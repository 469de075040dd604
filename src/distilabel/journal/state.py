"""What is known of a run beside its records: whose it is, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeAlias

from distilabel.journal.description import DESCRIPTION_KEY
from distilabel.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distilabel.journal.description import RunDescription
    from distilabel.journal.figures import Spend
    from distilabel.journal.lock import LockHolder

__all__ = [
    "FINISHED",
    "UNFINISHED",
    "JournalState",
    "RunIdentity",
    "RunInfo",
    "RunState",
    "finished",
    "is_finished",
    "read_identity",
    "read_timeline",
    "started",
    "timed",
]

RunState: TypeAlias = Literal["finished", "unfinished", "running", "damaged", "unreadable"]
"""What can be said of a run. Unreadable: it may be well, but not for us (permissions, a later
version's format)."""

_RUNNING, _FINISHED = "running", "finished"
_TIMELINE_KEY = "timeline"
FINISHED: Mapping[str, str] = {"state": _FINISHED}
"""What is noted once all rows are done."""
UNFINISHED: Mapping[str, str] = {"state": _RUNNING}
"""What takes that back."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes two runs the same run."""

    settings: bytes
    """Digest of everything that decides the result but the rows; see `keys.settings_digest`."""
    inputs: bytes
    """Digest of where the rows come from."""
    label: str
    """For people: models and tasks. Not a part of the identity; never a key or a prompt."""

    @property
    def short(self) -> str:
        """8 hexadecimal digits."""
        framed = len(self.settings).to_bytes(4) + self.settings + self.inputs
        return blake2b(framed, digest_size=4).hexdigest()

    def is_of(self, meta: Mapping[str, str]) -> bool:
        """Whether a journal's description is of this run."""
        return read_identity(meta) == (self.settings.hex(), self.inputs.hex())


@dataclass(frozen=True, slots=True)
class JournalState:
    """What an earlier run left, as far as it helps this one."""

    directory: Path
    """The run directory."""
    calls: int = 0
    """Calls that were kept."""
    rows: int = 0
    """Rows that were finished."""
    in_flight_at_end: int = 0
    """Calls that were under way when the earlier run ended or died: at most so many may have been
    paid for without a reply that was kept."""
    spent_noted: int = 0
    """What it may have spent, in picodollars, as far as it held a ceiling."""
    was_finished: bool = False
    """The earlier run had done all its rows."""
    ancestors: tuple[Path, ...] = ()
    """Journals of other runs that calls may be taken from."""
    ancestor_calls: int = 0
    """How many calls those hold."""
    same_finished: Path | None = None
    """A journal of this very run, finished, which is not reused because nobody asked for that."""
    timeline: Timeline = field(default_factory=Timeline)
    """What the run did over time in its earlier sessions."""

    @property
    def is_new(self) -> bool:
        """Nothing was there before."""
        return not (self.calls or self.rows)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run directory, for lists of them. Of one that is in use only the holder is known."""

    directory: Path
    holder: LockHolder | None = None
    """The live process that works there."""
    is_locked: bool = False
    is_finished: bool = False
    label: str = ""
    """Models and tasks."""
    version: str = ""
    """The version of this library that made it."""
    created: datetime | None = None
    updated: datetime | None = None
    """When its files were last written."""
    calls: int = 0
    rows: int = 0
    total_rows: int | None = None
    """None: the source did not know its length."""
    size_bytes: int = 0
    spend: Spend | None = None
    """What its calls took; None: it was not looked at, or cannot be read."""
    problem: str = ""
    """Why nothing could be read; empty if all is well."""
    is_damaged: bool = False
    """That is because the file is damaged, or not ours."""

    @property
    def name(self) -> str:
        """What the run is called under its root."""
        return self.directory.name

    @property
    def state(self) -> RunState:
        """What can be said of it in one word.

        >>> from pathlib import Path
        >>> RunInfo(Path("runs/writer-judge-0a1b2c3d-1")).state
        'unfinished'
        """
        if self.is_locked:
            return "running"
        if self.problem:
            return "damaged" if self.is_damaged else "unreadable"
        return "finished" if self.is_finished else "unfinished"


def started(
    identity: RunIdentity,
    *,
    total_rows: int | None,
    program: str,
    description: RunDescription | None = None,
) -> dict[str, str]:
    """What is noted when a run begins."""
    import distilabel

    described = {} if description is None else {DESCRIPTION_KEY: description.to_json()}
    return described | {
        "settings": identity.settings.hex(),
        "inputs": identity.inputs.hex(),
        "label": identity.label,
        "program": program,
        "state": _RUNNING,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "total_rows": "" if total_rows is None else str(total_rows),
        "version": distilabel.__version__,
    }


def finished(total_rows: int | None) -> dict[str, str]:
    """What is noted once all rows are done; then their number is known, whatever the source."""
    return {**FINISHED} if total_rows is None else {**FINISHED, "total_rows": str(total_rows)}


def timed(timeline: Timeline) -> dict[str, str]:
    """What is noted of when things happened."""
    return {_TIMELINE_KEY: timeline.to_json()}


def read_timeline(meta: Mapping[str, str]) -> Timeline:
    """What happened when; an empty timeline if nothing readable is noted."""
    return Timeline.from_json(meta.get(_TIMELINE_KEY, ""))


def read_identity(meta: Mapping[str, str]) -> tuple[str, str]:
    """Settings and inputs, as they are noted."""
    return meta.get("settings", ""), meta.get("inputs", "")


def is_finished(meta: Mapping[str, str]) -> bool:
    """Whether all rows were done."""
    return meta.get("state") == _FINISHED
