"""To Argilla, where people rate and correct what models made, and back.

`CustomDataset.push_to_argilla`, `.to_argilla` and `.from_argilla` are the usual way here;
`log_to_argilla` pushes rows while a run goes on. The package `argilla` is imported on first use.

- There: `layout` (what a data set looks like), `records` (a row), `vectors`, `pushing`.
- While a run goes on: `streaming` pushes, `while_running` is what users call.
- Back: `pulling`.
- `server` is the one file that imports the package.
"""

from distilabel.argilla.pulling import HUMAN_COLUMNS, Pulled, pull
from distilabel.argilla.pushing import ArgillaDataset, Push
from distilabel.argilla.server import hidden
from distilabel.argilla.streaming import ArgillaLog, LogStatistics
from distilabel.argilla.vectors import Vectors
from distilabel.argilla.while_running import IteratedLog, log_to_argilla

__all__ = [
    "HUMAN_COLUMNS",
    "ArgillaDataset",
    "ArgillaLog",
    "IteratedLog",
    "LogStatistics",
    "Pulled",
    "Push",
    "Vectors",
    "hidden",
    "log_to_argilla",
    "pull",
]
