"""The journal: every finished call on disk before anyone sees it, and what a later run reuses."""

from distilabel.journal.database import Durability
from distilabel.journal.description import Launch, RunDescription, StageDescription
from distilabel.journal.journal import Journal, JournalStatistics, open_journal
from distilabel.journal.keys import call_key, row_identity, settings_digest
from distilabel.journal.occurrences import Occurrences
from distilabel.journal.records import CallMeta, CallRecord, RowRecord
from distilabel.journal.runs import clean, delete_run, describe_run, find_runs, read_rows
from distilabel.journal.state import JournalState, RunIdentity, RunInfo, RunState

__all__ = [
    "CallMeta",
    "CallRecord",
    "Durability",
    "Journal",
    "JournalState",
    "JournalStatistics",
    "Launch",
    "Occurrences",
    "RowRecord",
    "RunDescription",
    "RunIdentity",
    "RunInfo",
    "RunState",
    "StageDescription",
    "call_key",
    "clean",
    "delete_run",
    "describe_run",
    "find_runs",
    "open_journal",
    "read_rows",
    "row_identity",
    "settings_digest",
]
