"""Stage results fold into rows, and rows into a data set."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Features, List, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from two_stages import GENERATOR, LABELLER, SCHEMA

from distilabel.dataset import CustomDataset, columns
from distilabel.dataset.assembler import (
    DatasetAssembler,
    Generation,
    Label,
    fold_generations,
    fold_label,
)
from distilabel.dataset.schema import ResultSchema, StageColumns
from distilabel.errors import ColumnError, ConfigurationError, DistilabelError
from distilabel.types import Row, RunSummary

CHAT = [{"role": "system", "content": "Rate."}, {"role": "user", "content": "0"}]
CHAT_GENERATOR = StageColumns("generator", prompt_is_chat=True, outputs={"generations": str})


class TestFold:
    def test_generations_stay_aligned(self):
        """A failed call is None in raw and outputs, a bad reply in outputs, each at its index."""
        assert fold_generations(
            GENERATOR,
            [
                Generation("m", "p", "raw a", {"generations": "a"}),
                Generation("m", "p", None, None),
                Generation("m", "p", "raw c", None),
            ],
        ) == {
            "generation_model": ["m", "m", "m"],
            "generation_prompt": ["p", "p", "p"],
            "raw_generation_responses": ["raw a", None, "raw c"],
            "generations": ["a", None, None],
        }

    def test_label_fills_in_what_is_missing(self):
        """An output that the labeller did not give is None."""
        assert fold_label(LABELLER, Label("j", CHAT, "raw", {"rating": [1.0, None]})) == {
            "labelling_model": "j",
            "labelling_prompt": CHAT,
            "raw_labelling_response": "raw",
            "rating": [1.0, None],
            "rationale": None,
        }

    def test_a_row_that_was_not_labelled_has_none_throughout(self):
        """A row whose generations all failed has the labeller's columns, all None."""
        folded = fold_label(LABELLER, Label(None, None, None, {}))
        assert tuple(folded) == LABELLER.names
        assert set(folded.values()) == {None}

    def test_a_text_in_a_chat_column_is_what_the_user_says(self):
        """A task that writes a text for one row and chats for others does not fail the run."""
        folded = fold_generations(CHAT_GENERATOR, [Generation("m", "Hi", "r", None)])
        assert folded["generation_prompt"] == [[{"role": "user", "content": "Hi"}]]

    def test_a_chat_in_a_text_column_is_its_json(self):
        """A chat where texts were announced is kept as JSON."""
        folded = fold_generations(
            GENERATOR, [Generation("m", [{"role": "user", "content": "é"}], "r", None)]
        )
        assert folded["generation_prompt"] == ['[{"role": "user", "content": "é"}]']

    def test_content_in_parts_is_its_json(self):
        """A message of several parts, such as text with an image, is kept whole."""
        parts = [{"type": "text", "text": "Hi"}]
        folded = fold_label(LABELLER, Label("j", [{"role": "user", "content": parts}], "r", {}))  # type: ignore[typeddict-item]
        assert folded["labelling_prompt"][0]["content"] == '[{"type": "text", "text": "Hi"}]'

    def test_values_off_their_type_are_refused_at_once(self):
        """A task that does not keep to its declared types is told at its first row."""
        with pytest.raises(ConfigurationError, match="'generations'"):
            fold_generations(GENERATOR, [Generation("m", "p", "r", {"generations": 1})])
        with pytest.raises(ConfigurationError, match="'rating'"):
            fold_label(LABELLER, Label("j", None, None, {"rating": 1.0}))


class TestBuild:
    def test_users_columns_come_first(self, assemble, make_row):
        """The result has the user's columns, then the added ones, with the declared features."""
        result = assemble([make_row(0, input="a", n=1)])
        assert type(result) is CustomDataset
        assert result.column_names == ["input", "n", *SCHEMA.names]
        assert result.features == Features(
            {"input": Value("string"), "n": Value("int64"), **SCHEMA.features()}
        )
        assert result[0] == dict(make_row(0, input="a", n=1))

    def test_it_reads_as_in_the_guide(self, assemble, make_row):
        """Rows, columns and negative indices give what the guide prints."""
        result = assemble([make_row(index, input=f"in {index}") for index in range(3)])
        assert result["input"][-1] == "in 2"
        assert result["generations"][-1][-1] == "2b"
        assert result[0]["generations"][0] == "0a"
        assert result.select_columns(["input", "rating"])[1] == {
            "input": "in 1",
            "rating": [1.0, None],
        }
        assert repr(assemble([])).startswith("Dataset({\n    features: ['generation_model'")
        assert repr(result).endswith("num_rows: 3\n})")

    def test_messages_come_back_as_messages(self, assemble, make_row):
        """A chat reads back as the list of messages that was sent, for both stages."""
        row = Row(
            {
                **fold_generations(CHAT_GENERATOR, [Generation("m", CHAT, "r", None)] * 2),  # type: ignore[arg-type]
                **fold_label(LABELLER, Label("j", CHAT, "r", {})),  # type: ignore[arg-type]
            },
            index=0,
        )
        result = assemble([row], schema=ResultSchema((CHAT_GENERATOR, LABELLER)))
        assert result[0]["generation_prompt"] == [CHAT, CHAT]
        assert result["labelling_prompt"][0] == CHAT

    @pytest.mark.parametrize("rows_before", [1, columns._CHUNK_ROWS + 1])
    def test_none_first_changes_no_type(self, assemble, make_row, rows_before):
        """Rows full of None at the start, even whole chunks of them, change no type."""
        nothing = {**dict.fromkeys(SCHEMA.names), "input": None, "extra": None}
        rows = [Row(nothing, index=index) for index in range(rows_before)]
        result = assemble([*rows, make_row(rows_before, input="a", extra=[1.5])])
        assert result.features["input"] == Value("string")
        assert result.features["extra"] == List(Value("float64"))
        assert Features({name: result.features[name] for name in SCHEMA.names}) == (
            SCHEMA.features()
        )
        assert result[0] == nothing
        assert result[-1]["rating"] == [float(rows_before), None]

    def test_all_none_is_still_typed(self, assemble):
        """Added columns without a single value have their declared types."""
        result = assemble([Row(dict.fromkeys(SCHEMA.names), index=0)])
        assert result.features == SCHEMA.features()

    def test_empty_results_have_their_features(self, assemble):
        """Without rows there are the source's columns, if it has any, and all the added ones."""
        source = datasets.Dataset.from_dict(
            {"input": []}, features=Features({"input": Value("string")})
        )
        assert assemble([]).features == SCHEMA.features()
        result = assemble([], source)
        assert result.features == Features({"input": Value("string"), **SCHEMA.features()})
        assert len(result) == 0

    def test_a_column_missing_in_some_rows_is_none_there(self, assemble, make_row, monkeypatch):
        """Columns come in the order in which rows first have them; the others have None."""
        monkeypatch.setattr(columns, "_CHUNK_ROWS", 1)
        rows = [make_row(2, c=3), make_row(1, b="x"), make_row(0, a=1.5)]
        result = assemble(rows)
        assert result.column_names[:3] == ["a", "b", "c"]
        assert result.select_columns(["a", "b", "c"]).to_list() == [
            {"a": 1.5, "b": None, "c": None},
            {"a": None, "b": "x", "c": None},
            {"a": None, "b": None, "c": 3},
        ]

    @pytest.mark.parametrize("chunk_rows", [1, 1000])
    def test_types_are_inferred_over_the_whole_column(
        self, assemble, make_row, monkeypatch, chunk_rows
    ):
        """Ints among floats, empty lists and structs with other fields all find their type."""
        monkeypatch.setattr(columns, "_CHUNK_ROWS", chunk_rows)
        result = assemble(
            [
                make_row(0, n=1, tags=[], meta={"a": 1}),
                make_row(2, n=None, tags=["x"], meta={"b": "y"}),
                make_row(1, n=2.5, tags=None, meta={"a": 2, "b": None}),
            ]
        )
        assert result.features["n"] == Value("float64")
        assert result.features["tags"] == List(Value("string"))
        assert result.features["meta"] == {"a": Value("int64"), "b": Value("string")}
        assert result["n"][:] == [1.0, 2.5, None]
        assert result["tags"][:] == [[], None, ["x"]]
        assert result["meta"][2] == {"a": None, "b": "y"}

    @pytest.mark.parametrize("chunk_rows", [1, 1000])
    @pytest.mark.parametrize("values", [(1, "a"), (object(), None), (2**80, 1), ([1], 2)])
    def test_a_column_without_a_type_is_named(
        self, assemble, make_row, monkeypatch, values, chunk_rows
    ):
        """Values that no type holds are an error that names the column, after the calls."""
        monkeypatch.setattr(columns, "_CHUNK_ROWS", chunk_rows)
        with pytest.raises(DistilabelError, match=r"'odd'.*Make them alike") as caught:
            assemble([make_row(index, odd=value) for index, value in enumerate(values)])
        assert not isinstance(caught.value, ConfigurationError)  # which says: no call was made

    def test_a_value_off_its_declared_type_is_named(self, assemble, make_row):
        """A value that cannot be stored is an error with its row and its column."""
        bad = Row({**make_row(1), "rating": ["four"]}, index=1)
        with pytest.raises(
            ConfigurationError, match=r"row 1 has \['four'\] in the column 'rating'"
        ):
            assemble([make_row(0), bad])

    def test_rows_may_be_added_once_only(self, assemble, make_row):
        """A row added twice is an error, for there is one final record a row."""
        with pytest.raises(ValueError, match="row 3 "):
            assemble([make_row(3), make_row(3)])

    def test_a_partial_data_set_can_be_had_at_any_time(self, make_row):
        """Building twice, with rows added in between, gives what was added by then."""
        assembler = DatasetAssembler(SCHEMA, keeps_user_columns=True)
        sizes = []
        for index in (4, 2, 9):
            assembler.add(make_row(index, input=index))
            sizes.append(len(assembler.build(None, task=None, run=RunSummary())))
            assert len(assembler) == sizes[-1]
        assert sizes == [1, 2, 3]
        result = assembler.build(None, task=None, run=RunSummary(rows=3))
        assert result["input"][:] == [2, 4, 9]
        assert result.run == RunSummary(rows=3)

    def test_user_columns_are_left_out_unless_asked_for(self, make_row):
        """An assembler that does not keep the user's columns gives the added ones alone."""
        assembler = DatasetAssembler(SCHEMA, keeps_user_columns=False)
        assembler.add(make_row(0, input="a"))
        result = assembler.build(None, task=None, run=RunSummary())
        assert tuple(result.column_names) == SCHEMA.names


class TestSurrogates:
    @pytest.mark.parametrize(
        ("written", "stored"),
        [
            ("a\ud800b", "a\ufffdb"),
            ("\udfff", "\ufffd"),
            ("\ud83d\ude00", "😀"),
            ("nul \0 stays", "nul \0 stays"),
            ("\ufeffmark", "\ufeffmark"),
        ],
    )
    def test_text_that_is_no_unicode_is_mended(self, assemble, make_row, written, stored):
        """Lone surrogates become U+FFFD wherever they are, pairs are joined, the rest stays."""
        row = make_row(0, input=written, deep=[{"key": (written,)}])
        row["generations"] = [written, None]
        row["labelling_prompt"] = [{"role": "user", "content": written}]
        result = assemble([row, make_row(1, input="well", deep=None)])[0]
        assert result["input"] == stored
        assert result["deep"] == [{"key": [stored]}]
        assert result["generations"] == [stored, None]
        assert result["labelling_prompt"] == [{"role": "user", "content": stored}]

    @given(text=st.text(alphabet=st.characters(), max_size=20))
    def test_any_text_can_be_stored(self, text):
        """No string of Python's crashes Arrow, and what is Unicode stays as it is."""
        assembler = DatasetAssembler(ResultSchema(()), keeps_user_columns=True)
        assembler.add(Row({"input": text}, index=0))
        stored = assembler.build(None, task=None, run=RunSummary())["input"][0]
        is_unicode = text.encode(errors="ignore").decode() == text
        assert stored == text if is_unicode else stored.encode()


class TestSource:
    def test_its_columns_are_carried_over_as_they_lie(self, assemble, make_row):
        """Features that need decoding keep their bytes; nothing of a source is read."""
        features = Features(
            {
                "picture": datasets.Image(),
                "matrix": datasets.Array2D((1, 2), "int8"),
                "label": datasets.ClassLabel(names=["no", "yes"]),
                "n": Value("int8"),
            }
        )
        source = datasets.Dataset.from_dict(
            {
                "picture": [{"bytes": b"no picture", "path": None}] * 2,
                "matrix": [[[1, 2]], [[3, 4]]],
                "label": [1, None],
                "n": [7, None],
            },
            features=features,
            split=datasets.Split.TEST,
        )
        result = assemble([make_row(1), make_row(0)], source)
        assert result.features == Features({**features, **SCHEMA.features()})
        assert result.split == "test"
        plain = result.cast_column("picture", datasets.Image(decode=False))
        assert plain[1]["picture"]["bytes"] == b"no picture"
        assert result["matrix"][:] == [[[1, 2]], [[3, 4]]]
        assert result["n"][:] == [7, None]
        assert result["generations"][1] == ["1a", "1b"]
        shuffled = assemble([make_row(0), make_row(1)], source.select([1, 0]))
        assert shuffled.features == result.features
        assert shuffled.remove_columns("picture")[0]["matrix"] == [[3, 4]]

    @pytest.mark.parametrize(
        "arrange",
        [
            lambda source: source,
            lambda source: source.select(range(2, 9)),
            lambda source: source.select([5, 1, 1, 7]),
            lambda source: source.shuffle(seed=3),
            lambda source: source.filter(lambda row: row["n"] % 2),
            lambda source: source.with_format("numpy", columns=["n"]),
            lambda source: source.select([]),
        ],
        ids=["whole", "range", "picked", "shuffled", "filtered", "formatted", "nothing"],
    )
    def test_its_order_and_selection_are_honoured(self, assemble, make_row, tmp_path, arrange):
        """Row i of the result has row i of the source as the source shows it, on disk or not."""
        held = datasets.Dataset.from_dict({"n": range(10), "text": [str(n) for n in range(10)]})
        held.save_to_disk(tmp_path / "source")
        for whole in (held, datasets.Dataset.load_from_disk(tmp_path / "source")):
            source = arrange(whole)
            result = assemble([make_row(index) for index in reversed(range(len(source)))], source)
            plain = source.with_format(None)
            assert result["n"][:] == plain["n"][:]
            assert result["text"][:] == plain["text"][:]
            assert [pair[0] for pair in result["generations"]] == [
                f"{index}a" for index in range(len(source))
            ]

    def test_rows_that_are_not_in_yet_are_left_out(self, assemble, make_row):
        """A partial result takes from the source the rows that were added, by index."""
        source = datasets.Dataset.from_dict({"n": [10, 11, 12, 13]})
        result = assemble([make_row(3), make_row(1)], source)
        assert result["n"][:] == [11, 13]
        assert result["raw_labelling_response"][:] == ["raw 1", "raw 3"]

    def test_data_on_disk_stays_on_disk(self, assemble, make_row, tmp_path):
        """The source's part of a result is still mapped from its file, not held in memory."""
        datasets.Dataset.from_dict({"n": [1, 2]}).save_to_disk(tmp_path / "source")
        source = datasets.Dataset.load_from_disk(tmp_path / "source", keep_in_memory=False)
        result = assemble([make_row(0), make_row(1)], source)
        assert [file["filename"] for file in result.cache_files] == [
            file["filename"] for file in source.cache_files
        ]

    def test_a_column_of_an_added_name_is_refused(self, assemble, make_row):
        """A source that has a column which the run adds is an error that names it."""
        with pytest.raises(ColumnError, match="'rating'"):
            assemble([make_row(0)], datasets.Dataset.from_dict({"rating": [1]}))

    def test_generations_may_come_with_the_source(self, assemble):
        """A labeller's input is the user's column, and stays as the user gave it."""
        source = datasets.Dataset.from_dict({"input": ["q"], "generations": [["a", None]]})
        row = Row(fold_label(LABELLER, Label("j", "p", "r", {"rating": [1.0, None]})), index=0)
        result = assemble([row], source, ResultSchema((LABELLER,)))
        assert result.column_names == ["input", "generations", *LABELLER.names]
        assert result["generations"][0] == ["a", None]

    def test_a_source_without_columns_has_none_to_carry(self, assemble):
        """A data set that has no columns at all gives the added ones."""
        assert assemble([], datasets.Dataset.from_dict({})).features == SCHEMA.features()


class TestFingerprint:
    def test_equal_results_have_equal_fingerprints(self, assemble, make_row):
        """Caches of `datasets` are found again by whoever makes the same result again."""
        source = datasets.Dataset.from_dict({"n": [1, 2]})
        first = assemble([make_row(0), make_row(1)], source)
        assert first._fingerprint == assemble([make_row(1), make_row(0)], source)._fingerprint

    def test_other_results_have_other_fingerprints(self, assemble, make_row):
        """No other result, and no other source, is taken for this one."""
        source = datasets.Dataset.from_dict({"n": [1, 2]})
        other = Row({**make_row(1), "raw_labelling_response": "raw 2"}, index=1)
        results = [
            assemble([make_row(0), make_row(1)], source),
            assemble([make_row(0), other], source),
            assemble([make_row(0), make_row(1)], source.select([1, 0])),
            assemble([make_row(0), make_row(1)]),
            assemble([make_row(0)], source),
        ]
        assert len({result._fingerprint for result in results}) == len(results)


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
)
TEXTS = st.one_of(st.none(), st.text(max_size=5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_the_order_of_adding_does_not_show(data, make_row, assemble, monkeypatch):
    """Any order of adding rows, in chunks of any size, gives the same data set."""
    monkeypatch.setattr(columns, "_CHUNK_ROWS", data.draw(st.integers(1, 5)))
    monkeypatch.setattr(columns, "_TAKE_MAX_BYTES", data.draw(st.sampled_from([0, 2**30])))
    user = st.fixed_dictionaries(
        {},
        optional={
            "n": VALUES,
            "text": TEXTS,
            "tags": st.lists(TEXTS, max_size=2),
            "meta": st.fixed_dictionaries({}, optional={"a": VALUES, "b": TEXTS}),
        },
    )
    rows = [make_row(index, **data.draw(user)) for index in range(data.draw(st.integers(0, 12)))]
    whole = assemble(rows)
    other = assemble(data.draw(st.permutations(rows)))
    assert other.features == whole.features
    assert other.to_list() == whole.to_list()


def test_a_column_too_large_to_join_is_gathered(assemble, make_row, monkeypatch):
    """Columns beyond what Arrow can join are put in order piece by piece."""
    monkeypatch.setattr(columns, "_CHUNK_ROWS", 7)
    monkeypatch.setattr(columns, "_TAKE_MAX_BYTES", 0)
    order = np.random.default_rng(1).permutation(100).tolist()
    result = assemble([make_row(index, input=index) for index in order])
    assert result["input"][:] == list(range(100))
    assert result["generations"][:] == [[f"{index}a", f"{index}b"] for index in range(100)]


def test_a_chunk_too_large_for_one_array_is_several(assemble, make_row, monkeypatch):
    """Arrow cuts values of more than 2 GiB into several arrays, and none of them is lost."""
    array = pa.array

    def cut(values, type=None):  # noqa: A002  # as Arrow calls it
        if not isinstance(values, list):
            return array(values)
        kind = array(values, type=type).type
        return pa.chunked_array([array(values[:1], type=kind), array(values[1:], type=kind)])

    monkeypatch.setattr(pa, "array", cut)
    monkeypatch.setattr(columns, "_CHUNK_ROWS", 3)
    rows = [make_row(index, n=index if index < 4 else index / 2) for index in (5, 4, 3, 2, 1, 0)]
    result = assemble(rows)
    assert result["n"][:] == [0, 1, 2, 3, 2.0, 2.5]
    assert result["generations"][:] == [[f"{index}a", f"{index}b"] for index in range(6)]
