"""data-designer: a column for each text, and one for the judge.

It has no request with several choices: two texts are two columns and two requests, so a row of two
stages takes three calls here, and two elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from _protocol import GENERATOR, INSTRUCTION, JUDGE, TEXTS, Clock, Job, ratings, run
from _tokens import use_local_tokenizer

use_local_tokenizer()

import data_designer.config as dd  # noqa: E402
from data_designer.interface import DataDesigner  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TASKS = 1024
"""Its own default of tasks under way; raised only where it would be in the way."""


def _models(job: Job) -> list[Any]:
    parameters = dd.ChatCompletionInferenceParams(
        max_parallel_requests=job.in_flight, max_tokens=job.max_tokens, temperature=1.0
    )
    return [
        dd.ModelConfig(
            alias=model,
            model=model,
            provider="bench",
            inference_parameters=parameters,
            skip_health_check=True,
        )
        for model in (GENERATOR, JUDGE)
    ]


def _columns(job: Job) -> list[Any]:
    names = [f"text_{k}" for k in range(1, job.num_generations + 1)]
    columns = [
        dd.LLMTextColumnConfig(
            name=name,
            model_alias=GENERATOR,
            system_prompt=job.system_prompt,
            prompt="{{ instruction }}",
        )
        for name in names
    ]
    if job.stages == 2:
        prompt = job.judge_prompt.replace(INSTRUCTION, "{{ instruction }}")
        for mark, name in zip(TEXTS, names, strict=True):
            prompt = prompt.replace(mark, "{{ " + name + " }}")
        columns.append(
            dd.LLMTextColumnConfig(
                name="judgement",
                model_alias=JUDGE,
                system_prompt=job.judge_system_prompt,
                prompt=prompt,
            )
        )
    return columns


def _row(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    texts = [record[f"text_{k}"] for k in range(1, job.num_generations + 1)]
    row = {"instruction": record["instruction"], "generations": texts}
    return row | {"rating": ratings(record["judgement"])} if job.stages == 2 else row


def _work(job: Job, _clock: Clock) -> Sequence[Mapping[str, Any]]:
    builder = dd.DataDesignerConfigBuilder(model_configs=_models(job))
    seed = pd.DataFrame({"instruction": job.instructions()})
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=seed))
    for column in _columns(job):
        builder.add_column(column)
    designer = DataDesigner(
        artifact_path=job.directory,
        model_providers=[dd.ModelProvider(name="bench", endpoint=job.url, api_key="none")],
    )
    designer.set_run_config(
        dd.RunConfig(
            max_in_flight_tasks=max(_TASKS, 2 * job.stages * job.in_flight), otel_metrics_port=None
        )
    )
    frame = designer.create(builder, num_records=job.rows).load_dataset()
    return [_row(job, record) for record in frame.to_dict(orient="records")]


if __name__ == "__main__":
    run(_work)
