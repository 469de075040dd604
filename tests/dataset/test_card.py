"""The card says what is known, in words that Markdown does not take for anything else."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from distilabel.dataset.card import (
    CardSubject,
    rows_told,
    size_category,
    tags,
    with_section,
    write_section,
)
from distilabel.dataset.figures import count
from distilabel.dataset.hub import subject_of
from distilabel.dataset.markdown import block, cover, span, table
from distilabel.dataset.origin import Origin, StageOrigin
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import HubEndpoint
from distilabel.types import RunSummary, Usage

HOSTILE = (
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![](https://evil.example/pixel.png)",
    "| a | b |",
    "``` \n# Heading\n```",
    "`</code><img src=x onerror=alert(1)>`",
    "<!-- distilabel end default.train -->",
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "\u202etxt.exe",
    "---\nlicense: mit\n---",
)
markdown = MarkdownIt("commonmark").enable("table")


def leaves(text: str) -> list:
    """The tokens of a rendered text, those inside of others too."""
    tokens = markdown.parse(text)
    return tokens + [child for token in tokens for child in token.children or ()]


def card_of(dataset: Dataset, **origin) -> str:
    """The section about a data set."""
    subject = CardSubject(
        Origin(**origin), None, count(dataset), dataset.column_names, "default", "train"
    )
    return write_section(subject)


def rated(ratings: list[list[float | None]], prompt: str = "Hi") -> Dataset:
    """Rows with ratings, and the prompt that was seen."""
    text = Value("string")
    chats = List(List({"role": text, "content": text}))
    features = {"generation_model": List(text), "generation_prompt": chats}
    features |= {"rating": List(Value("float64"))}
    chat = [{"role": "system", "content": prompt}, {"role": "user", "content": prompt}]
    columns = {
        "generation_model": [[prompt] * len(each) for each in ratings],
        "generation_prompt": [[chat] * len(each) for each in ratings],
        "rating": ratings,
    }
    return Dataset.from_dict(columns, features=Features(features))


def run_script(dataset, rows: list[dict]) -> Dataset:
    """What the script on the card of a data set makes of rows."""
    subject = subject_of(dataset, dataset._origin, config_name="default", split="train")
    (fence,) = [each for each in leaves(write_section(subject)) if "Pipeline(" in each.content]
    names = {"rows": rows}
    exec(fence.content, names)  # noqa: S102
    return names["dataset"]


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_is_only_text(text):
    """Hostile models, prompts, causes and settings are code in the rendered card, and no HTML."""
    run = RunSummary(rows=1, failed_by_cause={text: 1})
    stage = StageOrigin("generator", text, text, text, {"stop": text}, {"system_prompt": text})
    dataset = rated([[1.0]], text)
    subject = CardSubject(
        Origin(run=run, stages=(stage,)),
        {"type": text, "settings": {"system_prompt": text}, "version": 1},
        count(dataset),
        dataset.column_names,
        "default",
        "train",
    )
    card = with_section("# mine\n", write_section(subject), config_name="default", split="train")
    tokens = leaves(card)
    allowed = {"<!-- distilabel begin default.train -->", "<!-- distilabel end default.train -->"}
    html = {each.content.strip() for each in tokens if each.type.startswith("html")}
    assert html == allowed
    assert card.count("<!--") == 2
    links = {each.attrGet("href") for each in tokens if each.type == "link_open"}
    assert links == {"https://github.com/argilla-io/distilabel"}
    assert not [each for each in tokens if each.type in {"image", "hr"}]
    headings = [
        after.content for before, after in pairwise(tokens) if before.type == "heading_open"
    ]
    assert "Heading" not in headings
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", card)


@given(st.text(min_size=1))
def test_a_span_is_one_code_and_a_block_one_fence(text):
    """Whatever the text, a span renders as one piece of code, and a block as one fence."""
    inline = [each for each in leaves(span(text)) if each.type not in {"inline", "text"}]
    kinds = [each.type for each in inline if not each.type.startswith("paragraph")]
    assert kinds == ["code_inline"] or span(text) == "(empty)"
    assert [each.type for each in leaves(block(text))] == ["fence"]
    cells = [
        each for each in leaves(table(["a", "b"], [[span(text), 1]])) if each.type == "td_open"
    ]
    assert len(cells) == 2


def test_ratings_and_reasons_are_counted():
    """Histogram, mean and missing ratings are those of the rows."""
    card = card_of(rated([[5.0, 1.0], [5.0, None], [2.5]]))
    assert "4 texts have a rating (mean 3.38), 1 have none." in card
    assert re.search(r"^ +5  #{30} +2 +50\.0%$", card, re.MULTILINE)
    assert re.search(r"^ +2\.5  #{15} +1 +25\.0%$", card, re.MULTILINE)


def test_the_script_on_the_card_runs(serve, monkeypatch):
    """What the card says about running it again does run, and asks for the same."""

    def answer(request):
        is_judge = "#### Output for Text" in request.prompt
        return "#### Output for Text 1\nRating: 2\nRationale: R." if is_judge else "text"

    endpoint = serve(reply=answer)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
    task = TextGenerationTask(system_prompt="Be `brief`.")
    writer = OpenAILLM(task, "gpt-4o-mini", max_new_tokens=77, temperature=0.3, seed=5, stop=["X"])
    judge = OpenAILLM(UltraFeedbackTask.for_honesty(), "gpt-4o", temperature=0.0)
    rows = [{"input": "Why?"}]
    first = Pipeline(writer, judge).generate(rows, num_generations=1, enable_checkpoints=False)
    again = run_script(first, rows)
    assert again._origin.stages == first._origin.stages
    assert again["generation_prompt"][0] == first["generation_prompt"][0]
    assert again["labelling_prompt"][0] == first["labelling_prompt"][0]


def test_the_script_sends_the_same_prompts(serve, monkeypatch):
    """A format of prompts that was chosen is on the card, so that the script sends the same."""
    endpoint = serve(reply=lambda _: "text")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
    writer = OpenAILLM(TextGenerationTask(), "writer", prompt_format="zephyr")
    rows = [{"input": "Why?"}]
    first = Pipeline(writer).generate(rows, enable_checkpoints=False, verbose=False)
    assert "<|user|>" in first["generation_prompt"][0][0]
    again = run_script(first, rows)
    assert again["generation_prompt"][0] == first["generation_prompt"][0]


@pytest.mark.parametrize("given", [("me/mine", None), ("mine", "me")])
def test_the_script_asks_the_same_endpoint(serve_hub, monkeypatch, given):
    """The namespace of an Inference Endpoint is on the card, in whichever way it was given."""
    serve_hub(endpoints=[HubEndpoint("mine", namespace="me")], reply=lambda _: "text")
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    name, namespace = given
    writer = InferenceEndpointsLLM(name, TextGenerationTask(), namespace)
    rows = [{"input": "Why?"}]
    first = Pipeline(writer).generate(rows, enable_checkpoints=False, verbose=False)
    again = run_script(first, rows)
    assert again["generations"][:] == [["text"]]
    (stage,) = again._origin.stages
    assert stage == first._origin.stages[0]
    assert stage.parameters["endpoint_namespace"] == "me"


def test_a_script_holds_no_code_from_elsewhere():
    """Names from a file of somebody else's are put into the script only if they are names."""
    stage = StageOrigin("generator", "m", "run('x')", "T", {"a=1);run('y'": 1}, {"b);run(": 2})
    card = card_of(rated([[1.0]]), stages=(stage,))
    code = card.rpartition("```python")[2]
    assert "run(" not in code
    assert "generator = unknown(\n    task=T(unknown=2),\n    model='m',\n    unknown=1,\n)" in code


def test_what_is_not_known_is_said():
    """A card of rows without origin and metadata guesses nothing."""
    card = card_of(rated([[1.0]]))
    assert "Failures: not known" in card
    assert "`include_metadata=True`" in card
    assert "Parameters: not known" in card
    assert "Not known: the data set does not hold its run's summary." in card


def test_the_run_is_told():
    """Failures, tokens and cost are those of the run, and a part of a run is called one."""
    run = RunSummary(
        rows=1_000,
        rows_failed=12,
        failed_by_cause={"timeout": 7, "content_filter": 5},
        calls=990,
        usage=Usage(12_000, 34_000, 5_000),
        cost=1.25,
        cost_unsure=0.01,
    )
    card = card_of(rated([[1.0]]), run=run, left_out={"tie": 3})
    for told in (
        "1 rows, made by",
        "a run of 1,000 rows",
        "12 of 1,000 rows",
        "| `content_filter` | 5 |",
        "12,000 (5,000 from a cache)",
        "1.2500 US dollars, and up to 0.0100 more",
        "| 3 | `all its texts have the same rating` |",
    ):
        assert told in card, told


def test_pushing_again_replaces_the_section():
    """The same section stands there once, and what others wrote stays."""
    readme = with_section("# mine\n\nMy words.\n", "one", config_name="a", split="train")
    readme = with_section(readme, "other", config_name="a", split="test")
    readme = with_section(readme, r"two \1", config_name="a", split="train")
    assert "My words." in readme
    assert "one" not in readme
    assert readme.count(r"two \1") == readme.count("other") == 1


def test_keys_and_homes_are_covered():
    """What looks like a key, a login in an address or a home directory is not written."""
    text = (
        "sk-proj-abcdefghijklmnop hf_abcdefghijklmnopqr Bearer abcdefghijklmnop "
        "https://ann:secret@host/v1 /home/ann/data C:\\Users\\ann\\data"
    )
    covered = cover(text)
    for secret in ("abcdefgh", "ann", "secret"):
        assert secret not in covered
    assert "https://***@host/v1" in covered


@pytest.mark.parametrize(
    ("rows", "word"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10**12, "n>1T")]
)
def test_size_categories(rows, word):
    """The hub's words for sizes begin where the hub says."""
    assert size_category(rows) == word


@pytest.mark.parametrize("told", [None, "much", {"splits": "many"}, [3, {"splits": [None, {}]}]])
def test_sizes_that_are_not_told_count_nothing(told):
    """A front matter that is not as `datasets` writes it stops no push."""
    assert rows_told(told) == 0


def test_tags():
    """What a data set can be trained on is told by its columns."""
    assert tags(["prompt", "chosen", "rejected", "rating_chosen"])[2:] == ["dpo", "preference"]
    assert tags(["messages"])[2:] == ["sft"]
    assert tags(["prompt", "completion", "label"])[2:] == ["kto"]
