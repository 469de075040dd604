"""What cannot work is found before any call is made."""

from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from distilabel.errors import ColumnError, ConfigurationError, MissingKeyError
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.pipeline import Pipeline, pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import SimulatedEndpoint

ROWS = [{"input": "Hi"}]
WRITE = TextGenerationTask()


@pytest.fixture
def endpoint(serve) -> SimulatedEndpoint:
    """A provider that answers well."""
    return serve()


@pytest.fixture
def pipe(endpoint, writer) -> Pipeline:
    """A pipeline with a generator."""
    return Pipeline(writer(endpoint))


@pytest.fixture
def both(endpoint, writer, judge) -> Pipeline:
    """A pipeline with both stages."""
    return Pipeline(writer(endpoint), judge(endpoint))


def _asked(endpoint: SimulatedEndpoint) -> int:
    return sum(endpoint.ledger.by_route.values())


def test_a_pipeline_needs_an_llm() -> None:
    """With neither generator nor labeller there is nothing to do."""
    with pytest.raises(ValueError, match="generator, a labeller or both"):
        Pipeline()


@pytest.mark.parametrize("place", ["generator", "labeller"])
@pytest.mark.parametrize("wrong", ["gpt-4", WRITE, OpenAILLM])
def test_a_pipeline_takes_llms_only(place, wrong) -> None:
    """A name, a task or a class in place of an LLM is refused by name."""
    with pytest.raises(ConfigurationError, match=place):
        Pipeline(**{place: wrong})


def test_an_llm_takes_a_task(endpoint) -> None:
    """A class, nothing, or the name of a model in a task's place is told when the LLM is made."""
    with pytest.raises(ConfigurationError, match=r"Call it: TextGenerationTask\(\)"):
        OpenAILLM(TextGenerationTask, base_url=endpoint.openai_url)
    for wrong in ("gpt-4o", None, int):
        with pytest.raises(ConfigurationError, match="task must be a Task") as caught:
            OpenAILLM(wrong, base_url=endpoint.openai_url)
        assert "gpt" not in str(caught.value)  # it might be a key


@pytest.mark.parametrize(
    "rows", [Dataset.from_dict({"prompt": ["Hi"], "id": [1]}), [{"prompt": 1, "id": 2}]]
)
def test_a_missing_column_is_named_with_those_there_are(pipe, endpoint, rows) -> None:
    """The error says which column is missing and what is there."""
    with pytest.raises(ColumnError, match=r"'input'.*'prompt', 'id'") as caught:
        pipe.generate(rows)
    assert caught.value.column == "input"
    assert caught.value.available == ("prompt", "id")
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("name", [7, None, ("a", "b")])
def test_the_name_of_a_column_is_a_text(pipe, endpoint, name) -> None:
    """A number or a pair, as data frames have them, is named together with the text to use."""
    with pytest.raises(ConfigurationError, match="which is a") as caught:
        pipe.generate([{"input": "Hi", name: 1}])
    assert repr(str(name)) in str(caught.value)
    assert _asked(endpoint) == 0


def test_a_labeller_alone_needs_generations(endpoint, judge) -> None:
    """A labeller without a generator finds out that there is nothing to rate."""
    with pytest.raises(ColumnError, match="'generations'"):
        Pipeline(labeller=judge(endpoint)).generate(ROWS)
    assert _asked(endpoint) == 0


@pytest.mark.parametrize(
    "column", ["generation_model", "generation_prompt", "raw_generation_responses", "generations"]
)
def test_no_column_is_overwritten_by_a_generator(pipe, endpoint, column) -> None:
    """A column of the user's with a name that the generator adds is an error."""
    with pytest.raises(ColumnError, match=f"{column!r} already") as caught:
        pipe.generate(Dataset.from_list([{"input": "Hi", column: ["mine"]}]))
    assert caught.value.column == column
    assert _asked(endpoint) == 0


@pytest.mark.parametrize(
    "column",
    [
        "labelling_model",
        "labelling_prompt",
        "raw_labelling_response",
        "rating",
        "rationale",
        "generations",
    ],
)
def test_no_column_is_overwritten_by_both_stages(both, endpoint, column) -> None:
    """With a generator, even `generations` may not come with the data set."""
    with pytest.raises(ColumnError, match=f"{column!r} already"):
        both.generate([{"input": "Hi", column: "mine"}])
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("number", [0, -1, True, False, 1.5, 2.0, "2", None])
@pytest.mark.parametrize("name", ["num_generations", "batch_size"])
def test_counts_are_whole_numbers_of_at_least_one(pipe, endpoint, name, number) -> None:
    """Zero, negative numbers, booleans, fractions and texts count nothing."""
    with pytest.raises(ConfigurationError, match=name):
        pipe.generate(ROWS, **{name: number})
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2"])
async def test_an_llm_of_its_own_checks_the_count_too(endpoint, writer, number) -> None:
    """`LLM.agenerate` takes the same whole numbers as a pipeline."""
    with pytest.raises(ConfigurationError, match="num_generations"):
        await writer(endpoint).agenerate(ROWS, number)
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("row", [{}, {"prompt": "Hi"}])
async def test_an_llm_of_its_own_names_a_missing_column(endpoint, writer, row) -> None:
    """`LLM.agenerate` says which column its inputs lack, and asks for nothing."""
    with pytest.raises(ColumnError, match="'input'"):
        await writer(endpoint).agenerate([{"input": "Hi"}, row])
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("value", [None, 7, ["Hi"]])
async def test_an_llm_of_its_own_refuses_inputs_that_give_no_prompt(
    endpoint, writer, value
) -> None:
    """`LLM.agenerate` raises what is wrong with an input, unwrapped, and asks for nothing."""
    with pytest.raises(ConfigurationError, match="must be a str"):
        await writer(endpoint).agenerate([{"input": "Hi"}, {"input": value}])
    assert _asked(endpoint) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("on_error", "ignore"), ("resume", "yes"), ("on_error", None), ("resume", 1)],
)
def test_words_must_be_known(pipe, endpoint, name, value) -> None:
    """An unknown word is refused, with the words there are."""
    with pytest.raises(ConfigurationError, match=f"{name} must be one of"):
        pipe.generate(ROWS, **{name: value})
    assert _asked(endpoint) == 0


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("Say hello.", "must not be a text"),
        (b"Say hello.", "must not be a text"),
        ({"input": ["Hi"]}, "must not be one mapping"),
        (pd.DataFrame({"input": ["Hi"]}), "must not be a data frame"),
        (DatasetDict({"train": Dataset.from_list(ROWS)}), "choose a split: train"),
        (["Hi", "Ho"], "row 0 is a str"),
        ([["Hi"]], "row 0 is a list"),
        ([None], "row 0 is a NoneType"),
        (7, "not int"),
        (None, "not NoneType"),
        (Dataset, "not type"),
    ],
)
def test_rows_of_the_wrong_kind_are_refused(pipe, endpoint, rows: Any, says) -> None:
    """What is no data set and no iterable of mappings is refused with a hint."""
    with pytest.raises(ConfigurationError, match=says):
        pipe.generate(rows)
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("way", ["generate", "iterate", "agenerate", "stream"])
async def test_every_way_in_checks_alike(pipe, endpoint, way) -> None:
    """All four ways to run find bad input and raise it unwrapped."""
    with pytest.raises(ColumnError):  # noqa: PT012 - each way needs blocks of its own
        match way:
            case "generate":
                pipe.generate([{"x": 1}])
            case "agenerate":
                await pipe.agenerate([{"x": 1}])
            case "iterate":
                with pipe.iterate([{"x": 1}]):
                    pass
            case _:
                async with pipe.stream([{"x": 1}]):
                    pass
    assert _asked(endpoint) == 0


@pytest.mark.parametrize("name", ["num_threads", "max_concurrency"])
@pytest.mark.parametrize("number", [0, -3, 1.5, True, "8"])
def test_concurrency_is_a_whole_number_of_at_least_one(endpoint, name, number) -> None:
    """Neither zero nor a fraction nor a text is a number of threads."""
    with pytest.raises(ConfigurationError, match=name):
        OpenAILLM(WRITE, base_url=endpoint.openai_url, **{name: number})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_threads": 2, "max_concurrency": 3}, "mean the same"),
        ({"openai_api_key": "sk-a", "api_key": "sk-b"}, "mean the same"),
        ({"prompt_format": "llama3"}, "there are default, openai, llama2"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"base_url": "localhost:8000/v1"}, "base_url"),
        ({"base_url": "ftp://localhost/v1"}, "base_url"),
        ({"base_url": "http://me:secret@localhost/v1"}, "must hold no key"),
        ({"openai_api_key": "sk-with\na-line"}, "key"),
        ({"openai_api_key": "sk-with-an-umlaut-ü"}, "key"),
    ],
)
def test_arguments_of_openai_that_cannot_work(arguments, says) -> None:
    """Contradictions and unknown words are found when the LLM is made; no key is repeated."""
    settings = {"base_url": "http://127.0.0.1:9/v1", **arguments}
    with pytest.raises(ConfigurationError, match=says) as caught:
        OpenAILLM(WRITE, **settings)
    assert "secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "endpoint_name"),
        ({"endpoint_name": ""}, "endpoint_name"),
        ({"endpoint_name": "me/mine", "endpoint_namespace": "you"}, "namespace"),
        ({"endpoint_name": "a", "endpoint_name_or_model_id": "b"}, "mean the same"),
        ({"endpoint_name": "a", "task": None}, "task"),
        ({"endpoint_name": "a", "prompt_format": "gpt"}, "prompt_format"),
        ({"endpoint_name": "a", "num_threads": 0}, "num_threads"),
        ({"endpoint_name": "a", "token": "hf_with\na-line"}, "token"),
    ],
)
def test_arguments_of_inference_endpoints_that_cannot_work(arguments, says) -> None:
    """Contradictions and missing names are found when the LLM is made."""
    with pytest.raises(ConfigurationError, match=says):
        InferenceEndpointsLLM(**{"task": WRITE, "token": "hf_x", **arguments})


def test_openai_itself_needs_a_key(monkeypatch) -> None:
    """Without a key nothing is asked of OpenAI; the error says where keys come from."""
    for base_url in (None, "https://api.openai.com/v1", "https://api.openai.com/v1/"):
        with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
            OpenAILLM(WRITE, base_url=base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        pipeline("preference", generator=OpenAILLM(WRITE, base_url="http://127.0.0.1:9/v1"))


def test_unknown_prompt_formats_are_refused() -> None:
    """`format_as` and `prompt_format` name the formats that there are."""
    with pytest.raises(ValueError, match="notus"):
        OpenAILLM(WRITE, base_url="http://127.0.0.1:9/v1", prompt_format="alpaca")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("x",), "preference"),
        (("preference", "x"), "text-quality, helpfulness, truthfulness, honesty"),
        (("preference", None), "text-quality"),
        (("preference", "text_quality"), "text-quality"),
        ((None,), "preference"),
    ],
)
def test_the_shortcut_names_what_exists(endpoint, writer, arguments, says) -> None:
    """Anything but a known task and subtask is a ValueError that names them."""
    with pytest.raises(ValueError, match=says):
        pipeline(*arguments, generator=writer(endpoint))


def test_the_shortcut_says_what_is_wrong_before_it_misses_a_generator() -> None:
    """`pipeline("x")` names what exists, and `pipeline("preference")` asks for a generator."""
    with pytest.raises(ValueError, match="there is: preference"):
        pipeline("x")
    with pytest.raises(ValueError, match="generator"):
        pipeline("preference")


def test_the_shortcut_takes_openai_arguments_or_a_labeller(endpoint, writer, judge) -> None:
    """Arguments for the default labeller beside a labeller of one's own contradict each other."""
    with pytest.raises(ConfigurationError, match="temperature"):
        pipeline("preference", generator=writer(endpoint), labeller=judge(endpoint), temperature=0)


@pytest.mark.parametrize(
    "subtask", ["text-quality", "helpfulness", "truthfulness", "honesty", "instruction-following"]
)
def test_the_shortcut_knows_five_subtasks(endpoint, writer, subtask, monkeypatch) -> None:
    """Each subtask gives a labeller with gpt-3.5-turbo, 256 tokens, 4 threads, temperature 0."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    pipe = pipeline("preference", subtask, generator=writer(endpoint))
    assert pipe.labeller is not None
    assert pipe.labeller.task == UltraFeedbackTask.for_subtask(subtask)
    assert pipe.labeller.max_concurrency == 4
    settings = pipe.labeller.settings()
    assert (settings["model"], settings["temperature"]) == ("gpt-3.5-turbo", 0.0)
    assert settings["max_completion_tokens"] == 256


def test_constructors_make_no_call(serve, monkeypatch) -> None:
    """LLMs and pipelines are made without a word to any server."""
    endpoint = serve()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
    pipe = pipeline("preference", generator=InferenceEndpointsLLM("a", WRITE, token="hf_x"))
    repr(pipe)
    assert _asked(endpoint) == 0
