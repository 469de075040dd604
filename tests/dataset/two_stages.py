"""The columns of a run with a generator and a labeller."""

from distilabel.dataset.schema import ResultSchema, StageColumns

GENERATOR = StageColumns("generator", prompt_is_chat=False, outputs={"generations": str})
LABELLER = StageColumns(
    "labeller", prompt_is_chat=True, outputs={"rating": list[float], "rationale": list[str]}
)
SCHEMA = ResultSchema((GENERATOR, LABELLER))
