"""distilabel 1.5.3: a process for each step, in batches of as many rows as may be in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _protocol import GENERATOR, JUDGE, Clock, Job, run

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration, UltraFeedback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _llm(job: Job, model: str) -> OpenAILLM:
    return OpenAILLM(
        model=model,
        base_url=job.url,
        api_key="none",
        generation_kwargs={"max_new_tokens": job.max_tokens, "temperature": 1.0},
    )


def _work(job: Job, _clock: Clock) -> Sequence[Mapping[str, Any]]:
    with Pipeline(name="bench", cache_dir=job.directory) as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": instruction} for instruction in job.instructions()],
            batch_size=job.in_flight,
        )
        write = TextGeneration(
            llm=_llm(job, GENERATOR),
            system_prompt=job.system_prompt,
            num_generations=job.num_generations,
            group_generations=True,
            input_batch_size=job.in_flight,
            output_mappings={"generation": "generations"},
        )
        if job.stages == 1:
            load >> write
        else:
            judge = UltraFeedback(
                llm=_llm(job, JUDGE), aspect="overall-rating", input_batch_size=job.in_flight
            )
            load >> write >> judge
    return [_row(row, job) for row in pipeline.run()["default"]["train"]]


def _row(row: dict[str, Any], job: Job) -> dict[str, Any]:
    if job.stages == 1:
        return {"instruction": row["instruction"], "generations": row["generations"]}
    return {key: row[key] for key in ("instruction", "generations")} | {"rating": row["ratings"]}


if __name__ == "__main__":
    run(_work)
