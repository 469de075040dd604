"""What the type checkers must see in the public API. They check it; nothing runs it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, assert_type

from distilabel.argilla import ArgillaDataset, LogStatistics, Push, log_to_argilla
from distilabel.dataset import CustomDataset, prepare_dataset
from distilabel.errors import BudgetExceededError, RunFatalError
from distilabel.events import Event, RowFinished
from distilabel.llm import LLM, Call, InferenceEndpointsLLM, LLMOutput, OpenAILLM, Price, Reply
from distilabel.pipeline import Estimate, Pipeline, Range, RowStream, pipeline
from distilabel.tasks import Task, TextGenerationTask, UltraFeedbackTask
from distilabel.tasks.prompt import Prompt
from distilabel.types import Message, Row, RowError, RunSummary, Usage


class TextsLLM(LLM):
    """A backend that returns plain texts."""

    model_name = "texts"

    async def complete(self, call: Call) -> list[str]:
        assert_type(call.prompt, str | list[Message])
        assert_type(call.num_generations, int)
        return ["text"] * call.num_generations


class ReplyLLM(LLM):
    """A backend that says more than the texts."""

    model_name = "reply"
    generations_per_call = 1

    async def complete(self, call: Call) -> Reply:
        if not call.prompt:
            raise RunFatalError("no prompt", cause="empty")
        return Reply(texts=("text",), finish_reasons=("stop",), usage=Usage(1, 2), model="reply-1")


class ChattyLLM(OpenAILLM):
    """A backend that is a variation of another."""

    async def complete(self, call: Call) -> Reply:
        return await super().complete(call)


class NotusTextGenerationTask(TextGenerationTask):
    """A task that formats its prompt itself."""

    def generate_prompt(self, input: str) -> str:  # noqa: A002
        prompt = Prompt(system_prompt=self.system_prompt, formatted_prompt=input)
        return prompt.format_as("notus")


class Summarize(Task):
    """A task with columns of its own."""

    input_columns = ("document",)
    output_columns = {"summary": str, "points": list[str]}  # noqa: RUF012

    def generate_prompt(self, document: str) -> Prompt:
        return Prompt(system_prompt="You summarize.", formatted_prompt=document)

    def parse_output(self, output: str) -> dict[str, Any]:
        return {"summary": output, "points": output.splitlines()}


def prompts(prompt: Prompt) -> None:
    """Only the chat format gives messages."""
    assert_type(prompt.format_as("openai"), list[Message])
    assert_type(prompt.format_as("default"), str)
    assert_type(prompt.format_as("llama2"), str)
    assert_type(prompt.format_as("chatml"), str)
    assert_type(prompt.format_as("zephyr"), str)
    assert_type(prompt.format_as("notus"), str)
    prompt.format_as("alpaca")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]


def tasks() -> None:
    """Tasks are made by name, and from their settings."""
    assert_type(UltraFeedbackTask.for_overall_quality(), UltraFeedbackTask)
    assert_type(UltraFeedbackTask.for_text_quality(), UltraFeedbackTask)
    assert_type(UltraFeedbackTask.for_helpfulness(), UltraFeedbackTask)
    assert_type(UltraFeedbackTask.for_truthfulness(), UltraFeedbackTask)
    assert_type(UltraFeedbackTask.for_honesty(), UltraFeedbackTask)
    assert_type(
        UltraFeedbackTask.for_instruction_following(system_prompt="You are strict."),
        UltraFeedbackTask,
    )
    task = TextGenerationTask(system_prompt="Be brief.", principles_distribution="balanced")
    assert_type(task.principle_for("Hi"), str | None)
    assert_type(task.settings(), dict[str, Any])


def backends(task: Task) -> None:
    """Arguments as the ecosystem names them; a backend of one's own is an LLM like the others."""
    llms: list[LLM] = [
        TextsLLM(task),
        ReplyLLM(task, num_threads=4, prompt_format="chatml"),
        ChattyLLM(task, model="my-model", base_url="http://127.0.0.1:8000/v1"),
        OpenAILLM(task=task, model="gpt-4", openai_api_key="sk-…", max_new_tokens=256, seed=7),
        InferenceEndpointsLLM(
            endpoint_name="notus", endpoint_namespace="argilla", task=task, do_sample=True
        ),
    ]
    assert_type(llms[0].model_name, str)
    assert_type(llms[0].max_concurrency, int)
    TextsLLM(task, prompt_format="alpaca")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def to_people(dataset: CustomDataset, pipe: Pipeline) -> None:
    """A data set goes to Argilla and comes back; a stream's rows are rows still."""
    assert_type(dataset.to_argilla(), ArgillaDataset)
    assert_type(dataset.push_to_argilla("name", workspace="admin", api_key="…"), Push)
    assert_type(CustomDataset.from_argilla("name", "admin", dataset=dataset), CustomDataset)
    async with pipe.stream([]) as rows, log_to_argilla(rows, "name", "admin") as logged:
        assert_type(logged.statistics(), LogStatistics)
        async for row in logged:
            assert_type(row, Row)
    with pipe.iterate([]) as made, log_to_argilla(made, "name", "admin") as kept:
        assert_type(kept.statistics(), LogStatistics)
        assert_type(next(kept), Row)


async def asking(llm: LLM, inputs: Sequence[Mapping[str, Any]]) -> None:
    """A backend can be asked without a pipeline."""
    outputs = await llm.agenerate(inputs, num_generations=2)
    assert_type(outputs, list[list[LLMOutput]])
    assert_type(llm.generate(inputs), list[list[LLMOutput]])
    assert_type(outputs[0][0]["raw_output"], str | None)
    assert_type(outputs[0][0]["parsed_output"], Mapping[str, Any] | None)


def notice(event: Event) -> None:
    """Events are told apart by their types."""
    if isinstance(event, RowFinished):
        assert_type(event.row_index, int)
        assert_type(event.errors, tuple[RowError, ...])


def sync_side(pipe: Pipeline, rows: list[dict[str, str]]) -> None:
    """The sync side gives what the async side does."""
    assert_type(
        pipe.generate(rows, num_generations=2, on_error="raise", on_event=notice), CustomDataset
    )
    with pipe.iterate(rows, ordered=True) as finished:
        assert_type(finished, Iterator[Row])
        for row in finished:
            assert_type(row, Row)
    pipe.generate(rows, on_error="ignore")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def budgets(pipe: Pipeline, rows: list[dict[str, str]]) -> None:
    """What a run may cost, what it will, and what it did."""
    OpenAILLM(TextGenerationTask(), price=Price(input=0.15, output=0.60))
    OpenAILLM(TextGenerationTask(), price=(0.15, 0.60))
    OpenAILLM(TextGenerationTask(), price=0.15)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    told = pipe.estimate(rows, num_generations=2, sample=50)
    assert_type(told, Estimate)
    assert_type(told.calls, Range)
    assert_type(told.cost, Range | None)
    assert_type(told.calls.high, float)
    try:
        assert_type(pipe.generate(rows, max_cost=5).run.cost, float | None)
    except BudgetExceededError as error:
        assert_type(error.spent, float)
        assert_type(error.summary, RunSummary)


async def async_rows() -> AsyncIterator[dict[str, int]]:
    """A source that is read as it is needed."""
    yield {"input": 1}


async def async_side(pipe: Pipeline) -> None:
    """Rows come from any iterable of mappings, and go out as a data set or one at a time."""
    dataset = await pipe.agenerate(({"input": str(n)} for n in range(3)), batch_size=8, seed=1)
    assert_type(dataset, CustomDataset)
    assert_type(dataset.run, RunSummary)
    assert_type(dataset.run.failed_by_cause, Mapping[str, int])
    assert_type(dataset.task, Task | None)
    async with pipe.stream(async_rows()) as rows:
        assert_type(rows, RowStream)
        async for row in rows:
            assert_type(row.index, int)
            assert_type(row.errors, tuple[RowError, ...])
        assert_type(rows.run, RunSummary)


def presets(generator: LLM, labeller: LLM) -> None:
    """The common combinations by name."""
    assert_type(pipeline("preference", "honesty", generator=generator), Pipeline)
    assert_type(pipeline("preference", generator=generator, labeller=labeller), Pipeline)


def datasets_stay(dataset: CustomDataset) -> None:
    """A result stays one through what is done to it."""
    assert_type(dataset.select([0]), CustomDataset)
    assert_type(dataset.shuffle(seed=1).filter(bool), CustomDataset)
    assert_type(CustomDataset.load_from_disk("somewhere"), CustomDataset)


def training_and_hub(dataset: CustomDataset) -> None:
    """What is trained on is a data set of the same class, and so is what the hub brings back."""
    pairs = dataset.to_preference("worst", ties="drop", min_distance=1, seed=2, prompt="input")
    assert_type(pairs, CustomDataset)
    assert_type(pairs.left_out, Mapping[str, int])
    assert_type(dataset.to_sft(min_rating=4), CustomDataset)
    assert_type(dataset.to_kto(threshold=3), CustomDataset)
    assert_type(prepare_dataset(dataset, sft=True, keep_ties=True), CustomDataset)
    assert_type(CustomDataset.from_hub("team/rated", split="train"), CustomDataset)
