"""Runs as things: list them, look into one, get what it has made, start it again, clear it away.

::

    from distilabel import runs

    for run in runs.list_runs():
        print(run.name, run.state, run.rows, run.total_rows)

    details = runs.show("writer-judge-0a1b2c3d-1")
    print(details.failed_by_cause, details.usage.completion_tokens)
    partial = runs.export(details.run.name)
    runs.clean(older_than=timedelta(days=30))

Rules:

- A run is named by its directory's name under the root (`DISTILABEL_RUNS`, else
  `./distilabel-runs`), or by a path to its directory. A name is one component; links are refused.
- Whoever looks into a run holds its lock meanwhile. Of a run that is under way nothing is read but
  who works there; whatever needs more is refused at once.
- What is in a run was written by models and servers, or by whoever had the directory: it is shown
  without control characters, and nothing in it is imported or evaluated.

All of this blocks; in async code, call it in a thread.
"""

from distilabel.journal import RunInfo
from distilabel.journal.figures import Spend
from distilabel.runs.cleaning import clean, cleanable, delete
from distilabel.runs.details import RunDetails, show
from distilabel.runs.exporting import export
from distilabel.runs.files import save
from distilabel.runs.listing import list_runs
from distilabel.runs.relaunch import Relaunch, relaunch_of, resume

__all__ = [
    "Relaunch",
    "RunDetails",
    "RunInfo",
    "Spend",
    "clean",
    "cleanable",
    "delete",
    "export",
    "list_runs",
    "relaunch_of",
    "resume",
    "save",
    "show",
]
