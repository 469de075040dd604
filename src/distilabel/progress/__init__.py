"""Progress: a fold over events, and two ways to show it. The pipeline knows nothing of it.

- `figures`: what the events add up to, with time as an argument. Pure.
- `wording`: numbers as people read them. Pure.
- `bar`: `ProgressBar`, which shows a run on a terminal (`live`) or as log lines (`lines`).
"""

from distilabel.progress.bar import ProgressBar
from distilabel.progress.figures import Progress, StageFigures, apply, begin, figures

__all__ = ["Progress", "ProgressBar", "StageFigures", "apply", "begin", "figures"]
