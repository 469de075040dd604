"""The pipeline: rows in, finished rows out, as they complete.

`plan` decides what will be done and checks it before anything is spent; `run` joins every part;
`core` is what users call.
"""

from distilabel.pipeline.core import Pipeline
from distilabel.pipeline.estimate import Estimate, Range
from distilabel.pipeline.presets import pipeline
from distilabel.pipeline.stream import RowStream

__all__ = ["Estimate", "Pipeline", "Range", "RowStream", "pipeline"]
