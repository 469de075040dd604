"""What columns a run adds: their order, their types, and what stands where something failed."""

import re

import pytest
from datasets import Dataset, Features, IterableDataset, List, Value

from distilabel.dataset import CustomDataset
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.tasks.prompt import Prompt
from distilabel.testing import Completion, Faults, SimRequest, Status
from distilabel.types import RowError

GENERATED = ["generation_model", "generation_prompt", "raw_generation_responses", "generations"]
LABELLED = [
    "labelling_model",
    "labelling_prompt",
    "raw_labelling_response",
    "rating",
    "rationale",
]
TEXT = Value("string")
CHAT = List({"role": TEXT, "content": TEXT})
TYPES = {
    "generation_model": List(TEXT),
    "generation_prompt": List(CHAT),
    "raw_generation_responses": List(TEXT),
    "generations": List(TEXT),
    "labelling_model": TEXT,
    "labelling_prompt": CHAT,
    "raw_labelling_response": TEXT,
    "rating": List(Value("float64")),
    "rationale": List(TEXT),
}
_SHOWN = re.compile(r"<text-(\d+)-[0-9a-f]+>\n(.*?)\n</text-", re.DOTALL)


def _is_judge(request: SimRequest) -> bool:
    return request.model == "judge"


def _by_content(request: SimRequest):
    """Each text ends in a digit, and the judge rates it by that digit, whatever its place."""
    if not _is_judge(request):
        subject = request.prompt.rsplit("\n", 1)[-1]
        return [f"{subject} text {k % 5 + 1}" for k in range(request.n)]
    return "\n\n".join(
        f"#### Output for Text {number}\nRating: {text[-1]}\nRationale: It says {text}"
        for number, text in _SHOWN.findall(request.prompt)
    )


def _types(dataset: Dataset) -> dict:
    return {name: dataset.features[name] for name in dataset.column_names if name in TYPES}


@pytest.fixture
def both(serve, writer, judge) -> Pipeline:
    """Both stages over an endpoint that writes digits and rates by them."""
    endpoint = serve(reply=_by_content)
    return Pipeline(writer(endpoint), judge(endpoint))


def test_columns_come_in_the_documented_order_and_types(both) -> None:
    """The user's columns, the generator's, the labeller's, each with its declared type."""
    result = both.generate(
        Dataset.from_dict({"id": [7, 8], "input": ["a", "b"], "z": [None, 1.5]}), num_generations=3
    )
    assert isinstance(result, CustomDataset)
    assert result.column_names == ["id", "input", "z", *GENERATED, *LABELLED]
    assert _types(result) == TYPES
    assert result["id"][:] == [7, 8]
    assert result["z"][:] == [None, 1.5]
    for row in result:
        assert {len(row[name]) for name in [*GENERATED, "rating", "rationale"]} == {3}
        assert row["generation_model"] == ["writer"] * 3
        assert row["labelling_model"] == "judge"
        assert row["raw_generation_responses"] == row["generations"]
        assert row["generation_prompt"][0][-1] == {"role": "user", "content": row["input"]}
        assert row["raw_labelling_response"].startswith("#### Output for Text 1")


def test_prompts_that_are_texts_have_a_text_column(serve, writer) -> None:
    """A task that renders a text itself gives columns of text, sent as one user message."""

    class Plain(TextGenerationTask):
        def generate_prompt(self, input: str) -> str:  # noqa: A002 - the column's name
            return Prompt("S", input).format_as("zephyr")

    endpoint = serve(reply=lambda request: request.prompt)
    result = Pipeline(writer(endpoint, task=Plain())).generate([{"input": "a"}])
    assert result.features["generation_prompt"] == List(TEXT)
    assert result[0]["generation_prompt"] == result[0]["generations"]


@pytest.mark.parametrize("name", ["default", "llama2", "chatml", "zephyr", "notus"])
def test_a_prompt_format_of_text_has_a_text_column(serve, writer, name) -> None:
    """`prompt_format` decides how a `Prompt` is written out, and so the column's type."""
    endpoint = serve(reply=lambda request: request.prompt)
    task = TextGenerationTask(system_prompt="S")
    pipe = Pipeline(writer(endpoint, task=task, prompt_format=name))
    result = pipe.generate([{"input": "U"}])
    assert result.features["generation_prompt"] == List(TEXT)
    assert result[0]["generations"] == [Prompt("S", "U").format_as(name)]


@pytest.mark.parametrize("seed", range(6))
def test_ratings_are_mapped_back_from_the_judges_order(both, seed) -> None:
    """Whatever order the judge is shown, rating i belongs to generation i."""
    rows = [{"input": f"row {k}"} for k in range(4)]
    result = both.generate(rows, num_generations=5, seed=seed)
    for row in result:
        assert row["generations"] == [f"{row['input']} text {k}" for k in range(1, 6)]
        assert row["rating"] == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert row["rationale"] == [f"It says {text}" for text in row["generations"]]


def _orders(result: CustomDataset) -> list[list[str]]:
    return [
        [text for _, text in _SHOWN.findall(prompt[-1]["content"])]
        for prompt in result["labelling_prompt"]
    ]


def test_shuffling_is_drawn_per_row_from_the_seed(both) -> None:
    """The same seed shows the same order, rows differ, and without shuffling none is changed."""
    rows = [{"input": f"row {k}"} for k in range(6)]
    shown = _orders(both.generate(rows, num_generations=5, seed=1))
    assert shown == _orders(both.generate(rows, num_generations=5, seed=1))
    assert shown != _orders(both.generate(rows, num_generations=5, seed=2))
    places = [[text[-1] for text in texts] for texts in shown]
    assert len({tuple(digits) for digits in places}) > 1
    plain = both.generate(rows, num_generations=5, shuffle_before_labelling=False)
    assert _orders(plain) == plain["generations"][:]


def test_the_default_shuffles(both) -> None:
    """Without a word from the user the judge is not always shown the stored order."""
    result = both.generate([{"input": f"row {k}"} for k in range(6)], num_generations=5)
    assert _orders(result) != result["generations"][:]


def test_a_failed_generation_is_none_at_its_index_everywhere(serve_hub, quick) -> None:
    """With one request a generation, the failed one is None in each list and is not shown."""
    from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
    from distilabel.tasks import UltraFeedbackTask

    def script(request: SimRequest):
        is_second = request.route == "chat" and request.body.get("seed") == 1
        return Status(413) if is_second else None

    def reply(request: SimRequest):
        if request.endpoint:
            return f"text {int(request.body['seed']) + 1}"
        return _by_content(request)

    endpoint = serve_hub(reply=reply, script=script)
    generator = InferenceEndpointsLLM("mine", TextGenerationTask(), "me", token="hf_x", seed=0)
    generator.retry_policy = quick
    labeller = OpenAILLM(UltraFeedbackTask(), model="judge", base_url=endpoint.openai_url)
    pipe = Pipeline(generator, labeller)
    with pipe.iterate([{"input": "a"}], num_generations=3) as rows:
        row = next(rows)
        assert row["generations"] == ["text 1", None, "text 3"]
        assert row["raw_generation_responses"] == ["text 1", None, "text 3"]
        assert row["generation_model"] == ["mine"] * 3
        assert None not in row["generation_prompt"]
        assert row["rating"] == [1.0, None, 3.0]
        assert row["rationale"] == ["It says text 1", None, "It says text 3"]
        assert [(e.stage, e.cause, e.generation, e.attempts) for e in row.errors] == [
            ("generator", "context_length", 1, 1)
        ]
    result = pipe.generate([{"input": "a"}], num_generations=3)
    assert result[0]["rating"] == [1.0, None, 3.0]
    assert _types(result) == TYPES
    assert dict(result.run.failed_by_cause) == {"context_length": 1}
    assert (result.run.rows, result.run.rows_failed) == (1, 1)


def test_a_row_without_any_generation_is_not_sent_to_the_labeller(serve, writer, judge) -> None:
    """A judge is not paid for nothing: its columns are None, and the ledger shows no call."""
    script = lambda request: Status(413) if "bad" in request.prompt else None  # noqa: E731
    endpoint = serve(reply=_by_content, script=script)
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    result = pipe.generate([{"input": "bad"}, {"input": "good"}], num_generations=2)
    failed = result[0]
    assert failed["generations"] == failed["raw_generation_responses"] == [None, None]
    assert failed["rating"] == failed["rationale"] == [None, None]
    assert failed["labelling_model"] is None
    assert failed["labelling_prompt"] is None
    assert failed["raw_labelling_response"] is None
    assert result[1]["rating"] == [1.0, 2.0]
    models = [call.model for call in endpoint.ledger.calls]
    assert sorted(models) == ["judge", "writer", "writer"]
    assert _types(result) == TYPES


@pytest.mark.parametrize("rows", [1, 3])
def test_rows_full_of_none_do_not_change_a_type(serve, writer, judge, rows) -> None:
    """Where every value is None the features are the declared ones."""
    endpoint = serve(script=Faults.always(Status(413)))
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    result = pipe.generate([{"input": f"{k}"} for k in range(rows)], num_generations=2)
    assert _types(result) == TYPES
    assert result["generations"][:] == [[None, None]] * rows
    assert result["rating"][:] == [[None, None]] * rows


def test_a_failed_labeller_keeps_the_generations(serve, writer, judge) -> None:
    """What was generated is kept; the labeller's columns are None, the cause is in `.errors`."""
    endpoint = serve(
        reply=_by_content, script=lambda request: Status(500) if _is_judge(request) else None
    )
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    with pipe.iterate([{"input": "a"}], num_generations=2) as rows:
        row = next(rows)
    assert row["generations"] == ["a text 1", "a text 2"]
    assert row["rating"] == row["rationale"] == [None, None]
    assert row["raw_labelling_response"] is None
    assert row["labelling_model"] == "judge"
    assert row["labelling_prompt"] is not None
    (error,) = row.errors
    assert isinstance(error, RowError)
    assert (error.stage, error.cause, error.generation) == ("labeller", "http_500", None)
    assert error.attempts == 6
    assert endpoint.ledger.requests == 1 + 6


def test_a_labeller_alone_rates_what_comes_with_the_data(serve, judge) -> None:
    """Generations of the user's are rated, None among them left out, other columns kept."""
    endpoint = serve(reply=_by_content)
    dataset = Dataset.from_dict(
        {
            "input": ["a", "b", "c", "d"],
            "generations": [["t 1", "t 2"], [None, "t 4"], [None, None], []],
            "source": ["x", "y", "z", "w"],
        },
        features=Features({"input": TEXT, "generations": List(TEXT), "source": TEXT}),
    )
    with Pipeline(labeller=judge(endpoint)).iterate(dataset, ordered=True) as rows:
        errors = [[(e.stage, e.cause) for e in row.errors] for row in rows]
    assert errors == [
        [],
        [],
        [("labeller", "nothing_to_label")],
        [("labeller", "nothing_to_label")],
    ]
    result = Pipeline(labeller=judge(endpoint)).generate(dataset)
    assert result.column_names == ["input", "generations", "source", *LABELLED]
    assert result["rating"][:] == [[1.0, 2.0], [None, 4.0], [None, None], []]
    assert result["source"][:] == ["x", "y", "z", "w"]
    assert endpoint.ledger.requests == 2 * 2


@pytest.mark.parametrize("value", ["a text", 7, None, {"a": 1}])
def test_generations_that_are_no_list_fail_their_row_only(serve, judge, value) -> None:
    """A row with something else than a list of texts is not sent, and says so."""
    endpoint = serve(reply=_by_content)
    rows = [
        {"input": "a", "generations": ["t 3"]},
        {"input": "b", "generations": value},
        {"input": "c", "generations": ["t 5"]},
    ]
    with Pipeline(labeller=judge(endpoint)).iterate(rows, ordered=True) as stream:
        taken = list(stream)
    assert [row["rating"] for row in taken][::2] == [[3.0], [5.0]]
    assert [error.cause for error in taken[1].errors] == ["wrong_type"]
    assert endpoint.ledger.requests == 2


def test_a_generator_alone_adds_its_columns_only(serve, writer) -> None:
    """Without a labeller no column of a labeller is there."""
    result = Pipeline(writer(serve())).generate(Dataset.from_dict({"input": ["a"]}))
    assert result.column_names == ["input", *GENERATED]


@pytest.mark.parametrize("value", [None, 7, 1.5, True, b"bytes", ["a"], {"a": 1}])
def test_odd_inputs_fail_their_row_only(serve, writer, judge, value) -> None:
    """A row whose input is no text is not sent; its neighbours are, and the row is kept."""
    endpoint = serve(reply=_by_content)
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    rows = [{"input": "a"}, {"input": value}, {"input": "b"}]
    with pipe.iterate(rows, num_generations=2, ordered=True) as stream:
        taken = list(stream)
    assert [row.index for row in taken] == [0, 1, 2]
    assert [row["rating"] for row in taken] == [[1.0, 2.0], [None, None], [1.0, 2.0]]
    assert taken[1]["input"] == value
    assert taken[1]["generations"] == [None, None]
    assert [(e.stage, e.cause, e.attempts) for e in taken[1].errors] == [
        ("generator", "prompt_error", 0)
    ]
    assert endpoint.ledger.requests == 4


def test_the_first_row_may_be_the_odd_one(serve, writer, judge) -> None:
    """The declared types do not hang on what the first row holds."""
    pipe = Pipeline(writer(endpoint := serve(reply=_by_content)), judge(endpoint))
    result = pipe.generate([{"input": None}, {"input": "a"}])
    assert _types(result) == TYPES
    assert result["generations"][:] == [[None], ["a text 1"]]


def test_rows_may_lack_a_column_in_the_middle(serve, writer) -> None:
    """A row without the input column fails alone, and a column that comes late is kept."""
    endpoint = serve(reply=_by_content)
    rows = [{"input": "a", "x": 1}, {"x": 2}, {"input": "c", "x": 3, "late": "yes"}]
    pipe = Pipeline(writer(endpoint))
    with pipe.iterate(rows, ordered=True) as stream:
        assert [[e.cause for e in row.errors] for row in stream] == [[], ["missing_column"], []]
    result = pipe.generate(rows)
    assert result["input"][:] == ["a", None, "c"]
    assert result["x"][:] == [1, 2, 3]
    assert result["late"][:] == [None, None, "yes"]
    assert result["generations"][:] == [["a text 1"], [None], ["c text 1"]]


def test_a_column_of_the_users_is_never_overwritten_in_the_middle(serve, writer) -> None:
    """A later row that brings a column which the run adds is an error, not a loss."""
    endpoint = serve(reply=_by_content)
    rows = [{"input": "a"}, {"input": "b", "generations": ["mine"]}, {"input": "c"}]
    with Pipeline(writer(endpoint)).iterate(rows, ordered=True) as stream:
        taken = list(stream)
    assert [[e.cause for e in row.errors] for row in taken] == [[], ["reserved_column"], []]
    assert "generations" in taken[1].errors[0].message
    assert taken[1]["generations"] == [None]
    assert endpoint.ledger.requests == 2


def _empty_async():
    async def rows():
        for row in ():
            yield row

    return rows()


@pytest.mark.parametrize(
    ("source", "own"),
    [
        (
            Dataset.from_dict(
                {"input": [], "id": []}, Features({"input": TEXT, "id": Value("int64")})
            ),
            2,
        ),
        (IterableDataset.from_generator(lambda: iter(()), features=Features({"input": TEXT})), 1),
        ([], 0),
        ((), 0),
        (iter([]), 0),
        ((row for row in ()), 0),
        (_empty_async(), 0),
    ],
    ids=["dataset", "iterable", "list", "tuple", "iterator", "generator", "async"],
)
def test_nothing_in_gives_nothing_out_with_the_right_features(both, source, own) -> None:
    """An empty source of any kind gives an empty result with all the columns."""
    result = both.generate(source, num_generations=2)
    assert isinstance(result, CustomDataset)
    assert result.num_rows == 0
    assert result.column_names == [*["input", "id"][:own], *GENERATED, *LABELLED]
    assert _types(result) == TYPES
    assert result.run.rows == 0


def test_a_selection_of_a_data_set_is_honoured(both) -> None:
    """Filtered and shuffled data sets give their own rows, in their own order."""
    dataset = Dataset.from_dict({"input": [f"r{k}" for k in range(10)], "k": list(range(10))})
    chosen = dataset.select([7, 2, 5])
    result = both.generate(chosen)
    assert result["k"][:] == [7, 2, 5]
    assert result["generations"][:] == [["r7 text 1"], ["r2 text 1"], ["r5 text 1"]]


def test_formatted_data_sets_are_read_as_plain_values(both) -> None:
    """A data set with a format of its own is read without it, and keeps its rows."""
    dataset = Dataset.from_dict({"input": ["a"], "k": [1]}).with_format("numpy")
    result = both.generate(dataset)
    assert result["generations"][:] == [["a text 1"]]


def test_choices_without_text_are_asked_for_again(serve, writer) -> None:
    """With one of two choices empty, the missing one is asked for alone."""

    def reply(request: SimRequest):
        return [Completion("first"), None] if request.n == 2 else "second"

    endpoint = serve(reply=reply)
    result = Pipeline(writer(endpoint)).generate([{"input": "a"}], num_generations=2)
    assert result["generations"][:] == [["first", "second"]]
    assert [call.n for call in endpoint.ledger.calls] == [2, 1]
    assert result.run.calls == 2


def test_the_task_of_the_result_is_the_last_stages(both) -> None:
    """The result knows its task and its summary, and so do its selections."""
    result = both.generate([{"input": "a"}, {"input": "b"}])
    assert result.task == both.labeller.task
    assert result.select([1]).run == result.run
