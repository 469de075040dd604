"""Pushes to a real Argilla server, and what comes home. `nox -s argilla` starts one."""

import re
import time
from pathlib import Path

import pytest
from argilla_people import OWNER_KEY, WORKSPACE, Road, labelled

import argilla as rg
from distilabel.argilla import log_to_argilla
from distilabel.dataset import CustomDataset
from distilabel.dataset.origin import StageOrigin
from distilabel.errors import ArgillaError, ConfigurationError
from distilabel.pipeline import Pipeline
from distilabel.tasks import Rating, UltraFeedbackTask
from distilabel.types import RunSummary

pytestmark = [pytest.mark.argilla, pytest.mark.timeout(300)]
PAGE = (Path(__file__).parents[2] / "docs" / "argilla.md").read_text()
MODELS = ("input", "generations", "labelling_model", "rating", "rationale")


@pytest.fixture
def owner(real) -> dict:
    """The owner's credentials, as arguments."""
    return {"workspace": WORKSPACE, "api_url": real.url, "api_key": OWNER_KEY}


def test_the_guides_last_step(real):
    """Log in, to_argilla, push_to_argilla: 1,000 records are read back equal, twice 1,000."""
    client = rg.Argilla(api_url=real.url, api_key=OWNER_KEY)
    pipe_dataset = labelled(1_000)
    for _ in range(2):
        rg_dataset = pipe_dataset.to_argilla()
        done = rg_dataset.push_to_argilla(name="preference-dataset", workspace="admin")
        assert done.records == 1_000
        back = CustomDataset.from_argilla("preference-dataset", "admin")
        assert len(back) == len(real.records("preference-dataset")) == 1_000
        for column in MODELS:
            assert back[column][:] == pipe_dataset[column][:], column
    client.http_client.close()


def test_what_the_server_holds(real, owner):
    """A record has fields, suggestions by the labelling model on its scale, and metadata."""
    labelled(1).push_to_argilla("one", **owner)
    (record,) = real.records("one")
    assert record["fields"] == {
        "input": "question 0",
        "generations-1": "short 0",
        "generations-2": "*long* 0",
    }
    assert real.suggestions("one")["question 0"] == {
        "generations-1-rating": (1, "gpt-4o"),
        "generations-1-rationale": ("because 0", "gpt-4o"),
        "generations-2-rating": (1, "gpt-4o"),
        "generations-2-rationale": ("and 0", "gpt-4o"),
    }
    assert record["metadata"] == {
        "input-length": 10,
        "generations-1-length": 7,
        "generations-2-length": 8,
        "generations-count": 2,
        "generation-models": ["large", "small"],
        "labelling-model": "gpt-4o",
        "rating-distance": 0.0,
    }


def test_a_changed_rating_is_updated(real, owner):
    """A second push brings a rating that changed, takes back one that is gone, and adds no row."""
    labelled(3).push_to_argilla("changing", **owner)
    changed = labelled(3, rating=[[5.0, None], [2.0, 1.0], [3.0, 1.0]])
    changed.push_to_argilla("changing", **owner)
    found = real.suggestions("changing")
    assert len(found) == 3
    assert found["question 0"]["generations-1-rating"][0] == 5
    assert "generations-2-rating" not in found["question 0"]
    assert found["question 1"]["generations-1-rating"][0] == 2


def test_peoples_responses_come_home(real, owner):
    """All responses come home beside the model's; the mean is of those that were submitted."""
    pushed = labelled(3)
    pushed.push_to_argilla("answered", **owner)
    ann, bob = real.add_person("ann"), real.add_person("bob")
    first, second, _ = real.records("answered")
    real.respond(
        ann, first, "submitted", generations_1_rating=4, generations_1_rationale="It is right."
    )
    real.respond(bob, first, "submitted", generations_1_rating=5, generations_2_rating=2)
    real.respond(ann, second, "draft", generations_1_rating=1)
    real.respond(bob, second, "discarded")
    beside = pushed.shuffle(seed=3)
    home = CustomDataset.from_argilla("answered", dataset=beside, **owner)
    home = home.select([home["input"].index(each) for each in pushed["input"]])
    assert home["rating"][:] == pushed["rating"][:]
    assert home.task == pushed.task
    assert home["human_rating"][:] == [[4.5, 2.0], None, None]
    assert home["human_rationale"][:] == [[["It is right."], []], None, None]
    assert home["argilla_status"][:] == ["completed", "pending", "pending"]
    said = [
        {(each["responder"], each["status"], *each["rating"]) for each in row}
        for row in home["human_responses"]
    ]
    assert said == [
        {("ann", "submitted", 4.0, None), ("bob", "submitted", 5.0, 2.0)},
        {("ann", "draft", 1.0, None), ("bob", "discarded", None, None)},
        set(),
    ]
    alone = CustomDataset.from_argilla("answered", **owner)
    assert alone["human_rating"][:] == home["human_rating"][:]
    home.push_to_argilla("answered", **owner)
    assert len(real.records("answered")) == 3
    assert len(real.records("answered")[0]["responses"]) == 2


def test_what_came_home_tells_how_it_was_made(real, owner):
    """With people's answers a data set has the stages and the run as before."""
    stages = [StageOrigin("generator", "small", "OpenAILLM", "TextGenerationTask", {"seed": 5})]
    pushed = CustomDataset.from_dataset(labelled(2), run=RunSummary(rows=3), stages=stages)
    pushed.push_to_argilla("told", **owner)
    home = CustomDataset.from_argilla("told", dataset=pushed, **owner)
    assert home._origin == pushed._origin
    assert home._origin.stages == tuple(stages)
    assert type(home) is CustomDataset
    assert "human_rating" in home.column_names


def test_rows_with_none_are_kept(real, owner):
    """Rows in which something failed are pushed and come home with what they have."""
    pushed = labelled(
        4,
        input=["a", None, "c", "d"],
        generations=[["x", None], ["y", "z"], [None, None], None],
        rating=[[3.0, None], [None, 7.0], [None, None], None],
        rationale=[["r", None], [None, "s"], [None, None], None],
        labelling_model=["gpt-4o", "a model (β)", None, None],
    )
    pushed.push_to_argilla("holes", **owner)
    home = CustomDataset.from_argilla("holes", **owner)
    assert home["generations"][:] == [["x", None], ["y", "z"], [None, None], []]
    assert home["rating"][:] == [[3.0, None], [None, None], [None, None], []]
    assert home["rationale"][:] == [["r", None], [None, "s"], [None, None], []]
    assert home["labelling_model"][:] == ["gpt-4o", "a model (β)", None, None]


def test_a_scale_that_argilla_has_not(real, owner):
    """A scale of half steps is a choice of labels, and comes home as numbers."""
    steps = [Rating(value, "…") for value in (-1, 0.5, 100)]
    pushed = CustomDataset.from_dataset(
        labelled(2, rating=[[0.5, 100.0], [-1.0, 3.0]]), task=UltraFeedbackTask(ratings=steps)
    )
    pushed.push_to_argilla("halves", **owner)
    home = CustomDataset.from_argilla("halves", **owner)
    assert home["rating"][:] == [[0.5, 100.0], [-1.0, None]]


@pytest.mark.parametrize("steps", [(1, 5), (0, 0.5, 1)])
def test_what_came_home_alone_can_be_pushed_again(real, owner, steps):
    """What came home without its task goes back under its name, on the scale that is there."""
    name = f"again-{len(steps)}"
    task = UltraFeedbackTask(ratings=[Rating(value, "...") for value in steps])
    ratings = [[1.0, 0.5], [1.0, None]]
    pushed = CustomDataset.from_dataset(labelled(2, rating=ratings), task=task)
    pushed.push_to_argilla(name, **owner)
    before = real.suggestions(name)
    home = CustomDataset.from_argilla(name, **owner)
    assert home.task is None
    assert home.push_to_argilla(name, **owner).records == 2
    assert len(real.records(name)) == 2
    assert real.suggestions(name) == before


def test_texts_without_ratings(real, owner):
    """Texts that no model rated are rated by people from 1 to 10."""
    pushed = labelled(2).remove_columns(["rating", "rationale", "labelling_model"])
    pushed.push_to_argilla("texts", **owner)
    path = f"datasets/{real.dataset_id('texts')}/questions"
    questions = real.ask("GET", path)["items"]
    assert [each["name"] for each in questions] == ["generations-1-rating", "generations-2-rating"]
    assert [o["value"] for o in questions[0]["settings"]["options"]] == list(range(1, 11))
    home = CustomDataset.from_argilla("texts", **owner)
    assert home["generations"][:] == pushed["generations"][:]
    assert "rating" not in home.column_names


def test_hostile_texts_are_data(real, owner):
    """Markup, control characters and what looks like a key come home as they were."""
    texts = [
        "<script>alert(1)</script>",
        "\x1b]0;owned\x07",
        "{{7*7}} %s {0}",
        "=1+1",
        "日本\u202e",
    ]
    pushed = labelled(5, generations=[[text, text] for text in texts], input=texts)
    pushed.push_to_argilla("hostile", **owner)
    home = CustomDataset.from_argilla("hostile", **owner)
    assert home["generations"][:] == pushed["generations"][:]
    assert home["input"][:] == texts


def test_vectors_of_ones_own(real, owner):
    """A function gives each record the vector of its input."""
    given = []

    def lengths(texts: list[str]) -> list[list[float]]:
        given.extend(texts)
        return [[float(len(text)), 1.0, 0.5] for text in texts]

    labelled(2).push_to_argilla("vectors", vectors=lengths, **owner)
    path = f"datasets/{real.dataset_id('vectors')}/records"
    items = real.ask("GET", path, params={"include": "vectors"})["items"]
    assert [each["vectors"]["input-vector"] for each in items] == [[10.0, 1.0, 0.5]] * 2
    assert set(given) == {"question 0", "question 1"}


def test_other_settings_are_an_error(real, owner):
    """A data set of this name with other settings stops the push before anything is written."""
    labelled(1).push_to_argilla("taken", **owner)
    before = real.records("taken")
    three = labelled(1, generations=[["a", "b", "c"]], rating=[[1.0, 2.0, 3.0]])
    with pytest.raises(ConfigurationError, match=r"'generations-3'.*Nothing was written"):
        three.push_to_argilla("taken", **owner)
    steps = [Rating(value, "…") for value in range(3)]
    other_scale = CustomDataset.from_dataset(labelled(2), task=UltraFeedbackTask(ratings=steps))
    with pytest.raises(ConfigurationError, match=r"rating \(1, 2, 3, 4, 5\), not rating \(0, 1, 2"):
        other_scale.push_to_argilla("taken", **owner)
    assert real.records("taken") == before


def test_metadata_that_is_new_is_added(real, owner):
    """A push with tokens after one without them goes through, and so does one without again."""
    tokens = [[{"prompt_tokens": 10, "completion_tokens": 5}] * 2] * 2
    labelled(2).push_to_argilla("tokens", **owner)
    assert "prompt-tokens" not in real.records("tokens")[0]["metadata"]
    for _ in range(2):
        labelled(2, call_metadata=tokens).push_to_argilla("tokens", **owner)
        found = [each["metadata"]["prompt-tokens"] for each in real.records("tokens")]
        assert found == [20, 20]
    path = f"me/datasets/{real.dataset_id('tokens')}/metadata-properties"
    names = [each["name"] for each in real.ask("GET", path)["items"]]
    assert len(set(names)) == len(names)
    assert {"prompt-tokens", "completion-tokens", "rating-distance"} <= set(names)
    assert labelled(2).push_to_argilla("tokens", **owner).records == 2


def test_a_wrong_key_is_told(real, owner, monkeypatch):
    """A wrong key, an unknown workspace, a missing data set and a missing role are told apart."""
    one = labelled(1)
    with pytest.raises(ArgillaError, match="does not take the key") as wrong:
        one.push_to_argilla("x", **{**owner, "api_key": "wrong.apikey"})
    assert wrong.value.status == 401
    with pytest.raises(ArgillaError, match=r"no workspace 'nowhere'.*yours are: .*admin"):
        one.push_to_argilla("x", **{**owner, "workspace": "nowhere"})
    with pytest.raises(ArgillaError, match="no data set 'nothing'"):
        CustomDataset.from_argilla("nothing", **owner)
    with pytest.raises(ArgillaError, match="does not let you") as forbidden:
        one.push_to_argilla("x", WORKSPACE, client=real.add_person("eve"))
    assert forbidden.value.status == 403
    rg.Argilla._set_default(None)
    monkeypatch.setenv("ARGILLA_API_URL", real.url)
    monkeypatch.setenv("ARGILLA_API_KEY", OWNER_KEY)
    assert one.push_to_argilla("by-environment", WORKSPACE).records == 1
    assert rg.Argilla._default_client is None


async def test_rows_are_pushed_while_the_run_goes_on(real, owner, serve, writer, judge):
    """Rows of a stream are in Argilla at its end, and a push of the data set adds none."""
    endpoint = serve(reply=_say)
    pipe = Pipeline(generator=writer(endpoint), labeller=judge(endpoint))
    inputs = [{"input": f"q{i}"} for i in range(100)]
    stream = pipe.stream(inputs, num_generations=2, enable_checkpoints=False)
    async with stream as rows, log_to_argilla(rows, "streamed", **owner) as logged:
        taken = [row async for row in logged]
    assert logged.statistics().rows_pushed == len(taken) == 100
    dataset = rows.to_dataset(taken)
    home = CustomDataset.from_argilla("streamed", dataset=dataset, **owner)
    assert None not in home["argilla_id"][:]
    dataset.push_to_argilla("streamed", **owner)
    assert len(real.records("streamed")) == 100


def test_rows_of_iterate_are_pushed_while_the_run_goes_on(real, owner, serve, writer, judge):
    """Rows are in Argilla before the last one is made, all of them at its end, and each once."""
    endpoint = serve(reply=_say)
    pipe = Pipeline(generator=writer(endpoint), labeller=judge(endpoint))
    inputs = [{"input": f"q{i}"} for i in range(100)]
    taken, seen = [], []
    with (
        pipe.iterate(inputs, num_generations=2, enable_checkpoints=False) as rows,
        log_to_argilla(rows, "iterated", **owner) as logged,
    ):
        for row in logged:
            taken.append(row)
            if len(taken) == 50:
                while logged.statistics().rows_pushed < 50:
                    time.sleep(0.01)
                seen += real.records("iterated")
    assert len(seen) == 50
    assert logged.statistics().rows_pushed == len(taken) == 100
    dataset = rows.to_dataset(taken)
    home = CustomDataset.from_argilla("iterated", dataset=dataset, **owner)
    assert None not in home["argilla_id"][:]
    dataset.push_to_argilla("iterated", **owner)
    assert len(real.records("iterated")) == 100


def test_iterate_goes_on_while_the_server_is_away(real, owner, serve, writer, judge, caplog):
    """Rows come while nobody answers, and all are in Argilla once the server is there again."""
    endpoint, road = serve(reply=_say), Road(real.url)
    pipe = Pipeline(generator=writer(endpoint), labeller=judge(endpoint))
    inputs = [{"input": f"q{i}"} for i in range(60)]
    with (
        pipe.iterate(inputs, enable_checkpoints=False, verbose=False) as rows,
        log_to_argilla(rows, "away", **{**owner, "api_url": road.url}) as logged,
    ):
        taken = [next(logged) for _ in range(40)]
        assert logged.statistics().rows_pushed == 0
        assert "no Argilla server answers" in caplog.text
        road.open()
        while logged.statistics().rows_pushed < 40:
            time.sleep(0.01)
        taken += logged
    assert logged.statistics().rows_pushed == len(taken) == len(real.records("away")) == 60
    assert len([each for each in caplog.records if each.name == "distilabel"]) == 1


def test_what_the_page_shows_runs(real, serve, writer, judge, monkeypatch, capsys):
    """The lines of the documentation push a run, with credentials from the environment."""
    monkeypatch.setenv("ARGILLA_API_URL", real.url)
    monkeypatch.setenv("ARGILLA_API_KEY", OWNER_KEY)
    endpoint = serve(reply=_say)
    (block,) = re.findall(r"```text\n(from distilabel\.argilla import .*?)```", PAGE, re.DOTALL)
    assert len(block.splitlines()) <= 10
    names = {
        "pipe": Pipeline(generator=writer(endpoint), labeller=judge(endpoint)),
        "prompts": [{"input": f"on the page {i}"} for i in range(7)],
    }
    exec(block.replace('"preference-dataset"', '"on-the-page"'), names)  # noqa: S102
    assert len(real.records("on-the-page")) == 7
    assert "LogStatistics(rows_pushed=7, rows_waiting=0, rows_missing=0)" in capsys.readouterr().out


def test_iterate_is_told_of_a_wrong_workspace_before_the_first_row(owner):
    """The block is not entered if there is no such workspace, or the key is wrong."""
    for wrong, match in ({"workspace": "nowhere"}, "no workspace"), ({"api_key": "x"}, "the key"):
        log = log_to_argilla(iter(()), "never", **{**owner, **wrong})
        with pytest.raises(ArgillaError, match=match), log:
            pytest.fail("the block was entered")


async def test_a_wrong_workspace_is_told_before_the_first_row(real, owner):
    """A stream's log says at once that there is no such workspace, or that the key is wrong."""
    for wrong, match in ({"workspace": "nowhere"}, "no workspace"), ({"api_key": "x"}, "the key"):
        with pytest.raises(ArgillaError, match=match):
            async with log_to_argilla(_no_rows(), "never", **{**owner, **wrong}):
                pytest.fail("the block was entered")


async def _no_rows():
    return
    yield


def _say(request) -> str:
    if "#### Output for Text 1" not in request.prompt:
        return f"answer {request.index}"
    return "\n".join(f"#### Output for Text {n}\nRating: 4\nRationale: Fine." for n in (1, 2))
