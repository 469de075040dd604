"""Rows become records of Argilla, records become columns; without any server."""

import json
import random

import pytest
from argilla_people import labelled
from hypothesis import example, given
from hypothesis import strategies as st

from distilabel.argilla import ArgillaDataset, Pulled
from distilabel.argilla.layout import Scale, Settings, lacking, layout_of, metadata_to_add
from distilabel.argilla.records import RecordIds, record_of
from distilabel.errors import ColumnError, ConfigurationError, MissingDependencyError
from distilabel.tasks import Rating, TextGenerationTask, UltraFeedbackTask

COLUMNS = ["input", "generations", "generation_model", "labelling_model", "rating", "rationale"]
LAYOUT = layout_of(UltraFeedbackTask(), columns=COLUMNS, generations=2)
QUESTION_IDS = {question["name"]: question["name"] for question in LAYOUT.settings().questions}


def record(**row):
    """The record of a row."""
    return record_of(row, LAYOUT, RecordIds())


def test_fields_and_questions_of_preferences():
    """Each text has a field, a rating on the task's scale and a rationale."""
    settings = LAYOUT.settings()
    assert [each["name"] for each in settings.fields] == [
        "input",
        "generations-1",
        "generations-2",
    ]
    assert [each["settings"]["use_markdown"] for each in settings.fields] == [False, True, True]
    assert not any(each["required"] for each in settings.fields)
    assert [each["name"] for each in settings.questions] == [
        "generations-1-rating",
        "generations-1-rationale",
        "generations-2-rating",
        "generations-2-rationale",
    ]
    assert [each["value"] for each in settings.questions[0]["settings"]["options"]] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert UltraFeedbackTask().task_description in settings.guidelines


def test_fields_and_questions_of_texts():
    """Texts that no model rated are rated from 1 to 10, without a rationale."""
    layout = layout_of(TextGenerationTask(), columns=["input", "generations"], generations=1)
    (question,) = layout.settings().questions
    assert [each["value"] for each in question["settings"]["options"]] == list(range(1, 11))


@pytest.mark.parametrize(
    ("values", "kind", "rating", "answer"),
    [
        ((1, 2, 3), "rating", 2.0, 2),
        ((1, 2, 3), "rating", 2.5, None),
        ((1, 2, 3), "rating", 4.0, None),
        ((1, 2, 3), "rating", None, None),
        ((1, 2, 3), "rating", float("nan"), None),
        (tuple(range(11)), "rating", 10.0, 10),
        ((0, 0.5, 1), "label_selection", 0.5, "0.5"),
        ((0, 0.5, 1), "label_selection", 1.0, "1"),
        ((-1, 0, 1), "label_selection", -1.0, "-1"),
        (tuple(range(1, 101)), "label_selection", 100.0, "100"),
        ((0, 0.5), "label_selection", 0.3, None),
    ],
)
def test_a_rating_on_its_scale(values, kind, rating, answer):
    """Whole numbers to 10 are a rating, any other scale is its own numbers as labels."""
    scale = Scale(values)
    assert scale.settings()["type"] == kind
    assert scale.answer(rating) == answer


@pytest.mark.parametrize(
    ("steps", "options", "rating", "answer"),
    [
        ((0, 10), [*range(11)], 7.0, 7),
        ((10, 0), [*range(11)], 3.5, None),
        ((1, 3, 5), [1, 2, 3, 4, 5], 2.0, 2),
        ((0, 0.5, 1), ["0", "0.5", "1"], 0.5, "0.5"),
        ((-1, 1), ["-1", "1"], 1.0, "1"),
    ],
)
def test_people_may_rate_as_the_judge_does(steps, options, rating, answer):
    """Whole steps stand for every whole number between them; other steps stand for themselves."""
    task = UltraFeedbackTask(ratings=[Rating(value, "...") for value in steps])
    layout = layout_of(task, columns=COLUMNS, generations=1)
    settings = layout.settings().questions[0]["settings"]
    assert [each["value"] for each in settings["options"]] == options
    assert layout.scale.answer(rating) == answer


@pytest.mark.parametrize("values", [(1, 2, 3), (0, 0.5, 1), (-1, 1)])
def test_a_scale_is_read_from_its_questions(values):
    """The scale that a data set in Argilla asks on is the one that it was made with."""
    questions = [{"name": "other", "settings": {"type": "text"}}]
    assert Scale.asked(questions) is None
    questions.append({"name": "generations-1-rating", "settings": Scale(values).settings()})
    assert Scale.asked(questions) == Scale(values)
    labels = {"type": "label_selection", "options": [{"value": "good", "text": "Good"}]}
    assert Scale.asked([{"name": "generations-1-rating", "settings": labels}]) is None


def test_suggestions_name_the_model():
    """Each suggestion names the labelling model, as far as Argilla takes its name."""
    suggestions = record(
        input="a",
        generations=["x", "y"],
        rating=[1.0, 9.0],
        rationale=["good", ""],
        labelling_model="org/judge@v1+β",
    ).suggestions
    assert [(s.question, s.value, s.agent) for s in suggestions] == [
        ("generations-1-rating", 1, "org/judge-v1--"),
        ("generations-1-rationale", "good", "org/judge-v1--"),
    ]
    nameless = record(input="a", generations=["x"], rating=[1.0], labelling_model="β")
    assert nameless.suggestions[0].agent is None


def test_metadata_of_a_record():
    """Lengths, models, the distance between the two best ratings, and tokens where counted."""
    layout = layout_of(UltraFeedbackTask(), columns=[*COLUMNS, "call_metadata"], generations=3)
    row = {
        "input": "abc",
        "generations": ["x", None, "xyz"],
        "generation_model": ["b", "b", "a"],
        "labelling_model": "judge",
        "rating": [2.0, None, 4.5],
        "call_metadata": [
            {"prompt_tokens": 10, "completion_tokens": 5},
            {"prompt_tokens": None, "completion_tokens": None},
            {"prompt_tokens": 7, "completion_tokens": 1},
        ],
    }
    assert record_of(row, layout, RecordIds()).metadata == {
        "input-length": 3,
        "generations-1-length": 1,
        "generations-3-length": 3,
        "generations-count": 3,
        "generation-models": ["a", "b"],
        "labelling-model": "judge",
        "rating-distance": 2.5,
        "prompt-tokens": 17,
        "completion-tokens": 6,
    }


@pytest.mark.parametrize(
    ("ratings", "distance"),
    [([5.0, 99.0], None), ([5.0, 99.0, 3.5], 1.5), ([float("nan"), 1.0, 5.0, -2.0], 4.0)],
)
def test_ratings_off_the_scale_are_no_distance(ratings, distance):
    """The distance is between ratings on the scale, whole or not, and there is none without two."""
    made = record(input="a", generations=["x", "y"], rating=ratings)
    assert made.metadata.get("rating-distance") == distance


@pytest.mark.parametrize("rationale", [" ", "\n\t ", "", None])
def test_a_blank_rationale_is_no_suggestion(rationale):
    """A rationale that says nothing is not suggested to people."""
    made = record(input="a", generations=["x", "y"], rationale=[rationale, " Why. "])
    assert [(s.question, s.value) for s in made.suggestions] == [
        ("generations-2-rationale", " Why. ")
    ]


def test_an_empty_row_is_a_record():
    """A row with nothing in it is a record with an empty input, for Argilla takes none without."""
    empty = record(input=None, generations=None, rating=None, rationale=None, labelling_model=None)
    assert empty.fields == {"input": ""}
    assert empty.suggestions == ()


def test_ids_hold_in_any_order():
    """A row has the same id in any order and selection, whatever a model said about it."""
    rows = [{"input": f"q{i}", "generations": [f"a{i}", None], "rating": [1.0]} for i in range(20)]
    ids = {row["input"]: record(**row).id for row in rows}
    assert len(set(ids.values())) == 20
    random.Random(1).shuffle(rows)
    shared = RecordIds()
    for row in rows[:10]:
        again = record_of({**row, "rating": [5.0, 2.0]}, LAYOUT, shared)
        assert again.id == ids[row["input"]]


def test_other_texts_are_another_record():
    """A row whose texts were made anew is another record, and equal rows are told apart."""
    one = record(input="q", generations=["a", "b"]).id
    assert record(input="q", generations=["a", "c"]).id != one
    assert record(input="q", generations=["a", "b", None]).id != one
    assert record(input="qa", generations=["", "b"]).id != record(input="q", generations=["a", "b"])
    same = RecordIds()
    rows = [{"input": "q", "generations": ["a"]}] * 3
    assert len({record_of(row, LAYOUT, same).id for row in rows}) == 3


anything = st.text(st.characters(codec=None))  # lone surrogates and NUL, too


@example(text="a\0b\ud800", ratings=[float("nan")])
@given(text=anything, ratings=st.lists(st.none() | st.floats(), max_size=3))
def test_any_text_can_be_sent(text, ratings):
    """Whatever a model wrote is a value that JSON and a database can hold."""
    made = record(input=text, generations=[text, None], rating=ratings, rationale=[text])
    data = made.to_dict(QUESTION_IDS)
    sent = json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    assert "\0" not in data["fields"]["input"]
    assert json.loads(sent)["fields"]["generations-1"] == data["fields"]["input"]
    assert len(data["fields"]["input"]) == len(text)


def test_inputs_that_are_no_text():
    """An input that is no text is shown as JSON."""

    class FromTable(TextGenerationTask):
        input_columns = ("table", "question")

    layout = layout_of(FromTable(), columns=["table", "question", "generations"], generations=1)
    row = {"table": {"a": [1, 2]}, "question": None, "generations": ["x"]}
    made = record_of(row, layout, RecordIds())
    assert made.fields == {"table": '{"a": [1, 2]}', "question": "", "generations-1": "x"}


def test_columns_that_are_no_lists():
    """A rating that is one number for the row is no suggestion, and one text is not its letters."""
    made = record(input="q", generations=["a"], rating=4.0, rationale="because")
    assert made.suggestions == ()
    with pytest.raises(ConfigurationError, match="no row with a generation"):
        labelled(1, generations=["a text"]).to_argilla()


def test_columns_that_are_needed():
    """A data set without texts, without inputs or without rows says what it lacks."""
    with pytest.raises(ColumnError, match="'generations'") as missing:
        layout_of(None, columns=["input", "summary"], generations=0)
    assert missing.value.available == ("input", "summary")
    with pytest.raises(ColumnError, match="'input'"):
        layout_of(None, columns=["prompt", "generations"], generations=2)
    with pytest.raises(ConfigurationError, match="nothing to push"):
        labelled(0).to_argilla()


def test_what_a_data_set_lacks():
    """A data set that exists needs what the records need, and may have more."""
    wanted = LAYOUT.settings()
    assert lacking(wanted, wanted) == []
    three = layout_of(UltraFeedbackTask(), columns=COLUMNS, generations=3).settings()
    assert lacking(wanted, three) == []
    assert "it has no field 'generations-3'" in lacking(three, wanted)
    steps = [Rating(value, "…") for value in (0, 1)]
    other = layout_of(UltraFeedbackTask(ratings=steps), columns=COLUMNS, generations=2).settings()
    (first, _) = lacking(wanted, other)
    assert "'generations-1-rating' is rating (0, 1), not rating (1, 2, 3, 4, 5)" in first
    required = {"name": "more", "required": True, "settings": {"type": "text"}}
    stricter = Settings([*wanted.fields, required], wanted.questions, wanted.metadata, ())
    assert lacking(wanted, stricter) == ["its field 'more' is required, and the rows have none"]


def test_metadata_that_a_data_set_lacks_is_added():
    """Properties that are new are to be added; one of another type is in the way."""
    counted = layout_of(UltraFeedbackTask(), columns=[*COLUMNS, "call_metadata"], generations=2)
    wanted, found = counted.settings(), LAYOUT.settings()
    assert lacking(wanted, found) == []
    added = [each["name"] for each in metadata_to_add(wanted, found)]
    assert added == ["prompt-tokens", "completion-tokens"]
    assert metadata_to_add(found, wanted) == []
    other = {"name": "prompt-tokens", "settings": {"type": "terms"}}
    there = Settings(found.fields, found.questions, [*found.metadata, other], ())
    assert lacking(wanted, there) == ["its metadata property 'prompt-tokens' is terms, not integer"]


def test_vectors_are_checked():
    """Vectors that are missing, uneven or not finite are an error that says so."""
    for vectors in ([], [[1.0], [1.0, 2.0]], [[]], [[float("inf")]]):
        with pytest.raises(ConfigurationError, match="vectors="):
            labelled(1).to_argilla(vectors=lambda _, given=vectors: given)


def test_a_model_of_vectors_needs_its_package(monkeypatch):
    """A model named for vectors says which extra brings the package."""
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[vectors\]'"):
        labelled(1).to_argilla(vectors="all-MiniLM-L6-v2")


def test_what_is_pushed_can_be_looked_at():
    """The object says what it holds, and gives its records, without any server."""
    rows = labelled(300)
    made = rows.to_argilla(vectors=lambda texts: [[float(len(t)), 0.0] for t in texts])
    assert isinstance(made, ArgillaDataset)
    assert repr(made) == (
        "ArgillaDataset(300 records, fields: input, generations-1, generations-2)"
    )
    records = list(made.records())
    assert [each.fields["input"] for each in records] == rows["input"][:]
    assert records[299].vector == [12.0, 0.0]
    assert made.layout.settings().vectors[0]["dimensions"] == 2


def pulled(records: list[dict], **people: str) -> Pulled:
    """Records as a server gives them, with who answered."""
    questions = [{**each, "id": each["name"]} for each in LAYOUT.settings().questions]
    settings = Settings(LAYOUT.settings().fields, questions, (), ())
    return Pulled(records, settings, people)


def on_server(row: dict, *responses: dict) -> dict:
    """A record as a server gives it."""
    made = record(**row).to_dict(QUESTION_IDS)
    return {**made, "status": "pending", "responses": list(responses)}


def test_what_people_said_comes_home():
    """Means are of submitted answers alone; drafts and what was discarded are kept apart."""
    row = {"input": "q", "generations": ["a", "b"], "rating": [1.0, 2.0], "labelling_model": "m"}
    answers = [
        {
            "user_id": "1",
            "status": "submitted",
            "values": {
                "generations-1-rating": {"value": 5},
                "generations-1-rationale": {"value": "Yes."},
                "a-question-of-their-own": {"value": ["x"]},
            },
        },
        {"user_id": "2", "status": "draft", "values": {"generations-1-rating": {"value": 1}}},
        {"user_id": "2", "status": "discarded", "values": None},
        {"user_id": "3", "status": "submitted", "values": {"generations-1-rating": {"value": "4"}}},
    ]
    columns = pulled([on_server(row, *answers)], **{"1": "ann"}).columns()
    assert columns["human_rating"] == [[4.5, None]]
    assert columns["human_rationale"] == [[["Yes."], []]]
    assert [(a["responder"], a["status"], a["rating"]) for a in columns["human_responses"][0]] == [
        ("ann", "submitted", [5.0, None]),
        ("2", "draft", [1.0, None]),
        ("2", "discarded", [None, None]),
        ("3", "submitted", [4.0, None]),
    ]
    assert columns["generations"] == [["a", "b"]]
    assert columns["rating"] == [[1.0, 2.0]]
    assert columns["labelling_model"] == ["m"]


def test_answers_find_their_rows():
    """Answers are put beside the rows that were pushed; rows that were not have none."""
    rows = labelled(4)
    row = rows[2]
    answer = {"user_id": "1", "status": "submitted", "values": {}}
    beside = pulled([on_server(row, answer)]).beside(rows, rows.task)
    assert [each is None for each in beside["argilla_id"]] == [True, True, False, True]
    assert beside["human_rating"][2] == [None, None]
    assert beside["human_responses"][0] == []
    again = pulled([on_server(row)]).beside(beside, rows.task)
    assert again.column_names == beside.column_names
    assert again["human_responses"][2] == []
    with pytest.raises(ConfigurationError, match="no record in Argilla is one of"):
        pulled([on_server({"input": "other", "generations": ["x"]})]).beside(rows, rows.task)
