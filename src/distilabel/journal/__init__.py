"""The journal: every finished call on disk before anyone sees it, and what a later run reuses.

- One run's: `journal` is what the pipeline sees; `opening` finds out which directory it goes on
  with; `lock` keeps others out of it; `writer` is the one thread that uses the file, `database`
  what it does there; `in_flight` counts the calls that a killed process may have paid for in vain.
- What is kept: `records` (calls and rows), `values` (what JSON has no word for), `keys` and
  `occurrences` (what makes two calls the same), `state` and `description` (whose run it is).
- What is found again: `key_index` (is it there?), `ancestors` (in other runs' journals).
- Runs seen from outside: `runs`, `figures` (what one took), `directory` and `files` (how they lie
  on disk), `known` (which ones this user's programs have made).
"""

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
