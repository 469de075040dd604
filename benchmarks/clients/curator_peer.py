"""bespokelabs-curator: an `LLM` for each stage, the second over the data set of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _protocol import GENERATOR, JUDGE, Clock, Job, ratings, run
from _tokens import use_local_tokenizer

use_local_tokenizer()

from bespokelabs import curator  # noqa: E402
from datasets import Dataset  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Texts(curator.LLM):
    """As the documentation has it: `prompt` writes the request, `parse` makes the row."""

    return_completions_object = True  # the one way to get more than the first choice
    job: Job

    def prompt(self, row: Any) -> Any:
        return self.job.messages(row["instruction"])

    def parse(self, row: Any, response: Any) -> Any:
        texts = [choice["message"]["content"] for choice in response["choices"]]
        return {"instruction": row["instruction"], "generations": texts}


class _Ratings(curator.LLM):
    job: Job

    def prompt(self, row: Any) -> Any:
        return self.job.judge_messages(row["instruction"], row["generations"])

    def parse(self, row: Any, response: Any) -> Any:
        return {**row, "rating": ratings(response)}


def _ask(kind: Any, model: str, job: Job, rows: Any, **more: Any) -> Any:
    kind.job = job
    llm = kind(
        model_name=model,
        backend="openai",
        generation_params={"max_tokens": job.max_tokens, "temperature": 1.0, **more},
        backend_params={
            "base_url": job.url,
            "api_key": "none",
            "max_concurrent_requests": job.in_flight,
            "max_requests_per_minute": 100_000_000,
            "max_tokens_per_minute": 100_000_000_000,
        },
    )
    return llm(rows, working_dir=job.directory).dataset


def _work(job: Job, _clock: Clock) -> Sequence[Mapping[str, Any]]:
    rows = Dataset.from_dict({"instruction": job.instructions()})
    rows = _ask(_Texts, GENERATOR, job, rows, n=job.num_generations)
    if job.stages == 2:
        rows = _ask(_Ratings, JUDGE, job, rows)
    return rows


if __name__ == "__main__":
    run(_work)
