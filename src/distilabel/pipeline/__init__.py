"""The pipeline: rows in, finished rows out, as they complete.

`plan` decides what will be done and checks it before anything is spent; `run` joins every part;
`core` is what users call. Where the rest is:

- Asked for: `core`, `presets` (`pipeline(...)`), `settings` (the arguments, checked), `stream`
  (opens a run and hands out its rows), `stopping` (signals), `loading` (imports `datasets`
  meanwhile).
- Before the first call: `plan`; `money` (can the ceiling be held?), `forecast` (what will be bought
  and what reused), `keeping` (the journal, opened for the plan), `describing` (what it is told
  about the run).
- Where rows come from: `source`; `reading` (those that block), `sampling` (a few of them),
  `looking_ahead` and `nearness` (rows with a common beginning near each other).
- What is done to a row: `run` says when, `places` how many at once, `rowwork` what, `stages` how;
  `sharing` makes equal calls once, `recording` finds and keeps replies, `provenance` notes them.
- What comes out: `output` (finished rows, in order if asked), `tally` (the summary), `timekeeping`
  (what happened when), `telling` (what is said to the user), `estimate` and `intervals` (what a
  sample tells about all rows).
"""

from distilabel.pipeline.core import Pipeline
from distilabel.pipeline.estimate import Estimate, Range
from distilabel.pipeline.presets import pipeline
from distilabel.pipeline.stream import RowStream

__all__ = ["Estimate", "Pipeline", "Range", "RowStream", "pipeline"]
