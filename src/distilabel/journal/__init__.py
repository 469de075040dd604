"""The journal: every finished call on disk before anyone sees it, and what a later run reuses."""

from distilabel.journal.database import Durability
from distilabel.journal.journal import Journal, JournalStatistics, open_journal
from distilabel.journal.keys import call_key, row_identity, settings_digest
from distilabel.journal.occurrences import Occurrences
from distilabel.journal.records import CallMeta, CallRecord, RowRecord
from distilabel.journal.state import JournalState, RunIdentity, RunInfo

__all__ = [
    "CallMeta",
    "CallRecord",
    "Durability",
    "Journal",
    "JournalState",
    "JournalStatistics",
    "Occurrences",
    "RowRecord",
    "RunIdentity",
    "RunInfo",
    "call_key",
    "open_journal",
    "row_identity",
    "settings_digest",
]
