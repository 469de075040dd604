"""Pairs, conversations and labelled texts: what they hold, and what is left out."""

from __future__ import annotations

import logging
import math

import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from distilabel.dataset import CustomDataset, prepare_dataset
from distilabel.errors import ColumnError, ConfigurationError
from distilabel.llm import LLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import Rating, TextGenerationTask, UltraFeedbackTask
from distilabel.types import RunSummary

TEXT = Value("string")
CHAT = List({"role": TEXT, "content": TEXT})
FEATURES = Features(
    {
        "input": TEXT,
        "generation_model": List(TEXT),
        "generation_prompt": List(CHAT),
        "generations": List(TEXT),
        "rating": List(Value("float64")),
        "rationale": List(TEXT),
    }
)


def chat(row: int, place: int = 0) -> list[dict[str, str]]:
    """The prompt of a generation."""
    return [
        {"role": "system", "content": f"You are number {place}."},
        {"role": "user", "content": f"question {row}"},
    ]


def rated(*rows: list[tuple[str | None, float | None]]) -> CustomDataset:
    """A data set of rows of texts with ratings; each has a model and rationale of its own."""
    table = [
        {
            "input": f"question {row}",
            "generation_model": [f"model {row}/{place}" for place in range(len(texts))],
            "generation_prompt": [chat(row, place) for place in range(len(texts))],
            "generations": [text for text, _ in texts],
            "rating": [rating for _, rating in texts],
            "rationale": [f"why {row}/{place}" for place in range(len(texts))],
        }
        for row, texts in enumerate(rows)
    ]
    columns = {name: [row[name] for row in table] for name in FEATURES}
    plain = Dataset.from_dict(columns, features=FEATURES)
    return CustomDataset.from_dataset(plain, run=RunSummary(rows=len(rows)))


def said(messages: list[dict[str, str]]) -> str:
    """The text of a completion, which is one message of the assistant."""
    (message,) = messages
    assert message["role"] == "assistant"
    return message["content"]


texts = st.one_of(st.none(), st.sampled_from(["", " ", "a", "b", "b ", "c", "d\ne"]), st.text())
ratings = st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]))
rows_of_texts = st.lists(st.lists(st.tuples(texts, ratings), max_size=5), max_size=6)
settings_of_pairs = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["random", "worst"]),
        "ties": st.sampled_from(["drop", "keep"]),
        "seed": st.integers(0, 5),
    }
)


few = settings(max_examples=50, deadline=None)


def is_number(rating: float | None) -> bool:
    """Whether a text so rated takes part."""
    return rating is not None and not math.isnan(rating)


def clean(rows):
    """Texts that Arrow can hold."""
    return [
        [(text and text.encode("utf-8", "replace").decode(), rating) for text, rating in row]
        for row in rows
    ]


class TestPairs:
    @few
    @given(rows_of_texts, settings_of_pairs)
    def test_each_pair_is_of_its_row(self, rows, chosen):
        """The two texts differ, are rightly ordered, and have their own model and rationale."""
        rows = clean(rows)
        made = rated(*rows).to_preference(**chosen)
        for pair in made:
            places = {}
            for side in ("chosen", "rejected"):
                row, place = map(int, pair[f"model_{side}"].removeprefix("model ").split("/"))
                assert pair[f"rationale_{side}"] == f"why {row}/{place}"
                assert (said(pair[side]), pair[f"rating_{side}"]) == rows[row][place]
                places[side] = row, place
            assert pair["prompt"] == chat(*places["chosen"])
            assert places["chosen"][0] == places["rejected"][0]
            assert said(pair["chosen"]).strip() != said(pair["rejected"]).strip()
            known = [r for t, r in rows[row] if t and t.strip() and is_number(r)]
            assert pair["rating_chosen"] == max(known)
            if chosen["ties"] == "drop":
                assert pair["rating_chosen"] > pair["rating_rejected"]
            else:
                assert pair["rating_chosen"] >= pair["rating_rejected"]

    @few
    @given(rows_of_texts, settings_of_pairs)
    def test_no_row_is_lost_unseen(self, rows, chosen):
        """Every row that can give a pair does, and the others are counted."""
        rows = clean(rows)
        made = rated(*rows).to_preference(**chosen)
        assert len(made) + sum(made.left_out.values()) == len(rows)
        could = 0
        for row in rows:
            own = [(t.strip(), r) for t, r in row if t and t.strip() and is_number(r)]
            best = max((r for _, r in own), default=None)
            could += any(
                t != u and (chosen["ties"] == "keep" or r > s)
                for t, r in own
                if r == best
                for u, s in own
            )
        assert len(made) == could

    @few
    @given(rows_of_texts, settings_of_pairs)
    def test_a_row_gives_the_same_pair_in_any_order(self, rows, chosen):
        """The same seed gives the same pairs, whatever the order of the rows."""
        dataset = rated(*clean(rows))
        first = dataset.to_preference(**chosen).to_list()
        assert dataset.to_preference(**chosen).to_list() == first
        backwards = dataset.select(range(len(dataset) - 1, -1, -1)).to_preference(**chosen)
        assert backwards.to_list()[::-1] == first

    def test_worst_is_the_worst(self):
        """The strategy "worst" takes the lowest rating; what min_distance forbids is left out."""
        dataset = rated([("a", 2.0), ("b", 5.0), ("c", 1.0), ("d", None)], [("a", 4.0), ("b", 3.0)])
        made = dataset.to_preference("worst", min_distance=2)
        (pair,) = made
        assert (said(pair["chosen"]), said(pair["rejected"])) == ("b", "c")
        assert dict(made.left_out) == {"too_close": 1}

    def test_seeds_draw_differently(self):
        """Over many rows, another seed draws other rejected texts, and each of those there are."""
        dataset = rated(*([(f"best {n}", 5.0), ("b", 1.0), ("c", 2.0)] for n in range(40)))
        drawn = [
            [said(each) for each in dataset.to_preference(seed=seed)["rejected"]] for seed in (1, 2)
        ]
        assert drawn[0] != drawn[1]
        assert set(drawn[0]) == set(drawn[1]) == {"b", "c"}

    def test_each_reason_is_told(self, caplog):
        """Rows that give no pair are counted by what is missing, and the log says it in words."""
        dataset = rated(
            [("a", 5.0), ("b", 1.0)],
            [("a", 5.0), ("b", None)],
            [("a", 5.0), ("a ", 1.0)],
            [("a", 3.0), ("b", 3.0)],
            [],
        )
        with caplog.at_level(logging.INFO, "distilabel"):
            made = dataset.to_preference()
        assert dict(made.left_out) == {"too_few_rated": 2, "equal_texts": 1, "tie": 1}
        assert "1 rows made of 5" in caplog.text
        assert "all its texts have the same rating" in caplog.text

    @pytest.mark.parametrize(
        ("chosen", "word"),
        [
            ({"strategy": "best"}, "random, worst"),
            ({"ties": "maybe"}, "drop, keep"),
            ({"ties": "keep", "min_distance": 1}, "contradict"),
            ({"min_distance": -1}, "0 or more"),
            ({"prompt": "none"}, "seen, input"),
        ],
    )
    def test_settings_that_cannot_be_meant(self, chosen, word):
        """A setting that there is not is refused with those that there are."""
        with pytest.raises(ConfigurationError, match=word):
            rated([("a", 1.0), ("b", 2.0)]).to_preference(**chosen)


class TestPrompts:
    def test_a_text_prompt_is_not_wrapped_twice(self):
        """A generator that was sent a text, in its own format, leaves the input as the prompt."""
        dataset = rated([("a", 1.0), ("b", 2.0)])
        features = Features({**FEATURES, "generation_prompt": List(TEXT)})
        (row,) = dataset.to_list()
        row["generation_prompt"] = ["<s>[INST] question 0 [/INST]"] * 2
        plain = Dataset.from_list([row], features=features)
        expected = [{"role": "user", "content": "question 0"}]
        for made in (
            CustomDataset.from_dataset(plain).to_preference(),
            dataset.remove_columns(["generation_prompt", "generation_model"]).to_preference(),
            dataset.to_preference(prompt="input"),
        ):
            assert made["prompt"][0] == expected

    def test_a_missing_prompt_leaves_the_row_out(self):
        """A row whose prompt is None gives nothing, and is counted."""
        dataset = rated([("a", 1.0), ("b", 2.0)], [("c", 1.0), ("d", 2.0)])
        rows = dataset.to_list()
        rows[0]["generation_prompt"] = [None, None]
        made = CustomDataset.from_dataset(Dataset.from_list(rows, features=FEATURES))
        for export in (made.to_preference(), made.to_sft()):
            assert len(export) == 1
            assert dict(export.left_out) == {"no_prompt": 1}


class TestOthers:
    @few
    @given(rows_of_texts, st.one_of(st.none(), st.integers(1, 5)))
    def test_sft_takes_the_best(self, rows, min_rating):
        """A conversation ends with a text of the highest rating, which is no lower than asked."""
        rows = clean(rows)
        made = rated(*rows).to_sft(min_rating=min_rating)
        assert len(made) + sum(made.left_out.values()) == len(rows)
        for each in made:
            row, place = map(int, each["model"].removeprefix("model ").split("/"))
            assert each["messages"][:-1] == chat(row, place)
            assert (said(each["messages"][-1:]), each["rating"]) == rows[row][place]
            known = [r for t, r in rows[row] if t and t.strip() and is_number(r)]
            assert each["rating"] == max(known)
            assert min_rating is None or each["rating"] >= min_rating

    @few
    @given(rows_of_texts, st.integers(1, 5))
    def test_kto_labels_each_text_once(self, rows, threshold):
        """Labels say whether a rating reaches the threshold, and no row teaches a text twice."""
        rows = clean(rows)
        made = rated(*rows).to_kto(threshold)
        assert len(made) + sum(made.left_out.values()) == sum(map(len, rows))
        seen = set()
        for each in made:
            row, place = map(int, each["model"].removeprefix("model ").split("/"))
            text = said(each["completion"])
            assert (text, each["rating"]) == rows[row][place]
            assert each["label"] is (each["rating"] >= threshold)
            assert each["prompt"] == chat(row, place)
            assert (row, text.strip()) not in seen
            seen.add((row, text.strip()))

    @pytest.mark.parametrize(("steps", "good"), [((1, 5), 3.0), ((0, 10), 5.0), ((0, 1), 0.5)])
    def test_kto_splits_the_scale_in_the_middle(self, steps, good):
        """Without a threshold the middle of the task's scale is the lowest rating that is good."""
        task = UltraFeedbackTask(ratings=[Rating(value, "...") for value in steps])
        rows = rated([("a", good - 0.25), ("b", good), ("c", good + 0.25)])
        made = CustomDataset.from_dataset(rows, task=task).to_kto()
        assert made["label"][:] == [False, True, True]
        assert made["label"][:] == rows.to_kto(good)["label"][:]

    @pytest.mark.parametrize("task", [None, TextGenerationTask()])
    def test_kto_without_a_scale_asks_for_a_threshold(self, task):
        """Where no task tells the scale, the error says to give a threshold."""
        dataset = CustomDataset.from_dataset(rated([("a", 1.0)]), task=task)
        with pytest.raises(ConfigurationError, match=r"to_kto\(threshold=\.\.\.\)"):
            dataset.to_kto()
        with pytest.raises(ColumnError, match="labeller"):
            dataset.remove_columns("rating").to_kto()

    @pytest.mark.parametrize("threshold", [math.nan, math.inf, "3", True, [3]])
    def test_kto_refuses_what_is_no_number(self, threshold):
        """A threshold that no rating can be compared to is an error, rather than all False."""
        with pytest.raises(ConfigurationError, match="threshold must be a finite number"):
            rated([("a", 1.0)]).to_kto(threshold)

    def test_sft_without_ratings(self):
        """Without ratings the only text of a row is taken, and of several none."""
        dataset = rated([("a", None)], [("a", None), ("b", None)]).remove_columns("rating")
        made = dataset.to_sft()
        assert [said(each[-1:]) for each in made["messages"]] == ["a"]
        assert dict(made.left_out) == {"several_unrated": 1}

    def test_prepare_dataset(self):
        """The name of release 0.x gives the pairs, and conversations on demand."""
        dataset = rated([("a", 1.0), ("b", 2.0)], [("a", 1.0), ("b", 1.0)])
        made = prepare_dataset(dataset, strategy="worst", sft=True, keep_ties=True)
        assert (
            made.remove_columns("messages").to_list()
            == dataset.to_preference("worst", ties="keep").to_list()
        )
        assert made["messages"][0] == [*chat(0, 1), {"role": "assistant", "content": "b"}]
        assert len(prepare_dataset(Dataset.from_list(dataset.to_list()))) == 1


class TestWhereItComesFrom:
    @pytest.mark.parametrize("verb", ["to_preference", "to_kto", "to_sft"])
    def test_missing_columns_are_named(self, verb):
        """The error names the column that is missing, who makes it, and what is there."""
        arguments = {"to_kto": {"threshold": 3}, "to_sft": {"min_rating": 1}}.get(verb, {})
        dataset = rated([("a", 1.0), ("b", 2.0)])
        for column, word in (
            ("rating", "labeller"),
            ("generations", "generator"),
            ("input", "rename"),
        ):
            without = dataset.remove_columns([column, "generation_prompt"])
            with pytest.raises(ColumnError, match=word) as caught:
                getattr(without, verb)(**arguments)
            assert caught.value.column == column
            assert caught.value.available == tuple(without.column_names)

    def test_a_rating_for_the_whole_row_is_refused(self):
        """A column of that name which is no list is refused."""
        plain = Dataset.from_dict({"input": ["q"], "generations": [["a"]], "rating": [1.0]})
        with pytest.raises(ColumnError, match="one entry for each text"):
            CustomDataset.from_dataset(plain).to_preference()

    def test_after_select_map_shuffle_and_disk(self, tmp_path):
        """Whatever was done to the data set before, pairs are made of its rows as they are now."""
        dataset = rated(*([(f"a{n}", 5.0), (f"b{n}", 1.0)] for n in range(9)))
        other = dataset.shuffle(seed=3).select(range(1, 8)).map(lambda row: {"more": row["input"]})
        other.with_format("numpy").save_to_disk(tmp_path / "saved")
        made = CustomDataset.load_from_disk(tmp_path / "saved").to_preference()
        assert [each[-1]["content"] for each in made["prompt"]] == list(other["input"])
        assert made.run == dataset.run

    def test_what_was_left_out_is_kept(self, tmp_path):
        """The count stays with the data set through map, and on disk."""
        made = rated([("a", 1.0)], [("a", 1.0), ("b", 2.0)]).to_preference().map(lambda row: row)
        made.save_to_disk(tmp_path / "pairs")
        loaded = CustomDataset.load_from_disk(tmp_path / "pairs")
        assert dict(loaded.left_out) == dict(made.left_out) == {"too_few_rated": 1}
        assert loaded.to_list() == made.to_list()

    def test_what_was_made_the_same_way_has_the_same_fingerprint(self):
        """Caches of trainers find equal exports again, and never those of other settings."""
        dataset = rated([("a", 1.0), ("b", 2.0)])
        first, again = dataset.to_preference(seed=1), dataset.to_preference(seed=1)
        assert first._fingerprint == again._fingerprint
        assert first._fingerprint != dataset.to_preference(seed=2)._fingerprint

    async def test_of_a_run(self):
        """The rows of a run become pairs with the system prompt that was seen."""

        class Writer(LLM):
            model_name = "writer"

            async def complete(self, call):
                return [f"text {n + call.first_generation}" for n in range(call.num_generations)]

        class Judge(LLM):
            model_name = "judge"

            async def complete(self, call):
                del call
                rates = ((1, 2), (2, 5), (3, 1))
                sections = (
                    f"#### Output for Text {k}\nRating: {r}\nRationale: R." for k, r in rates
                )
                return ["\n\n".join(sections)]

        task = TextGenerationTask(system_prompt="Be brief.")
        pipe = Pipeline(
            generator=Writer(task, prompt_format="openai"),
            labeller=Judge(UltraFeedbackTask.for_honesty()),
        )
        dataset = await pipe.agenerate([{"input": "Hi"}], num_generations=3)
        (pair,) = dataset.to_preference("worst")
        assert pair["prompt"] == task.generate_prompt("Hi").format_as("openai")
        assert (pair["rating_chosen"], pair["rating_rejected"]) == (5.0, 1.0)
        assert pair["model_chosen"] == "writer"
