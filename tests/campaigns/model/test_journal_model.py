"""Runs that fail, stop, die and are resumed in any order, against a model of what must be kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from model_kit import Judge, Seller, Till, Weather, Write, digest

from distilabel.errors import RowFailedError, RunFatalError
from distilabel.journal import Journal, Occurrences, find_runs, read_rows
from distilabel.journal.opening import Opening
from distilabel.journal.records import encode_row
from distilabel.pipeline import Pipeline, recording
from distilabel.pipeline.tally import Tally

FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - made private below
INPUTS = [f"i{number}" for number in range(5)]
some_inputs = st.frozensets(st.sampled_from(INPUTS), max_size=3)
few_inputs = st.frozensets(st.sampled_from(INPUTS), max_size=1)
weathers = st.builds(
    Weather,
    refused=few_inputs,
    unjudged=few_inputs,
    stumbling=some_inputs,
    mumbling=some_inputs,
    fatal_after=st.none() | st.integers(0, 12),
)
fair = st.builds(Weather, stumbling=some_inputs, mumbling=some_inputs)


@dataclass(frozen=True)
class Setting:
    """What a run is asked to do, but for its rows."""

    generator: int = 1
    judge: int | None = 1
    generations: int = 1
    per_call: int | None = None
    seed: int | None = None


@dataclass
class Kept:
    """A journal, as far as it must hold what was acknowledged.

    Attributes:
        identity: settings and rows.
        directory: where it lies.
        is_finished: all rows were done, without a failure.
        calls: what each acknowledged call brought, by what decides it.
    """

    identity: object
    directory: Path
    is_finished: bool = False
    calls: dict[object, str] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Rows and settings change, runs come and go; what was handed out is never bought again."""

    is_named = True

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(dir=FAST))
        self.runner = asyncio.Runner()
        self.rows: list[str] = ["i0", "i1", "i2"]
        self.setting = Setting()
        self.journals: list[Kept] = []
        self.runs = count(1)
        self.serials = count()

    def teardown(self) -> None:
        """Clear away."""
        self.runner.close()
        shutil.rmtree(self.place)

    # What the user changes.

    @initialize(rows=st.lists(st.sampled_from(INPUTS), min_size=1, max_size=7))
    def begin(self, rows):
        """Some rows, equal ones among them."""
        self.rows = rows

    @rule(chance=st.randoms(use_true_random=False), how=st.sampled_from(["add", "drop", "order"]))
    def change_rows(self, chance, how):
        """Add a row, take one away, or put them in another order."""
        if how == "add" and len(self.rows) < 9:
            self.rows = [*self.rows]
            self.rows.insert(chance.randint(0, len(self.rows)), chance.choice(INPUTS))
        elif how == "drop" and len(self.rows) > 1:
            place = chance.randrange(len(self.rows))
            self.rows = self.rows[:place] + self.rows[place + 1 :]
        elif how == "order":
            self.rows = chance.sample(self.rows, len(self.rows))

    @rule(
        setting=st.builds(
            Setting,
            generator=st.integers(1, 2),
            judge=st.sampled_from([None, 1, 1, 2]),
            generations=st.integers(1, 3),
            per_call=st.sampled_from([None, None, 1]),
            seed=st.sampled_from([None, 7]),
        )
    )
    def change_all_settings(self, setting):
        """Other settings altogether."""
        self.setting = setting

    @rule(judge=st.integers(1, 2))
    def change_judge(self, judge):
        """Another judge, over the same generations."""
        parts = {**vars(self.setting), "judge": judge}
        self.setting = Setting(**parts)

    # Runs.

    resumes = st.sampled_from(["auto", "auto", "auto", "always", "never"])

    @rule(resume=resumes, weather=weathers, ordered=st.booleans())
    def run_to_the_end(self, resume, weather, ordered):
        """A run that is left alone, but for what goes wrong in it."""
        self.run(resume, weather, ordered=ordered)

    @rule(resume=resumes, weather=fair, take=st.integers(0, 8), ordered=st.booleans())
    def leave(self, resume, weather, take, ordered):
        """A run that is left after some rows."""
        self.run(resume, weather, ordered=ordered, take=take)

    @rule(resume=resumes, weather=fair, take=st.integers(0, 8), ordered=st.booleans())
    def crash(self, resume, weather, take, ordered):
        """A run whose process is killed after some rows: what lies on the disk then is all."""
        self.run(resume, weather, ordered=ordered, take=take, is_killed=True)

    @rule(resume=resumes, weather=weathers)
    def stop_at_the_first_failure(self, resume, weather):
        """A run with `on_error="raise"`."""
        self.run(resume, weather, on_error="raise")

    # How it is run, and what must hold.

    def run(self, resume, weather, *, take=None, is_killed=False, **arguments):
        """Run, check every row, and note what was acknowledged."""
        till = Till(next(self.runs), self.serials, weather)
        if take is not None:
            take = min(take, len(self.rows) - 1)
        work = self._run(till, resume, take=take, is_killed=is_killed, **arguments)
        rows, error, directory = self.runner.run(work)
        own = self.continued(resume, directory)
        known = self.known(resume, own)
        self.journals.append(own)
        self.check_rows(rows, ordered=arguments.get("ordered", False))
        self.check_reuse(rows, till, known)
        self.check_purchases(till, known)
        for row in rows:
            own.calls.update(self.calls_of(row))
        is_whole = take is None and error is None
        assert not is_whole or len(rows) == len(self.rows)
        own.is_finished = is_whole and not any(row.errors for row in rows)
        self.check_files(own, rows, is_whole=is_whole)

    async def _run(self, till, resume, *, take, is_killed, **arguments):
        setting, root = self.setting, self.place / "runs"
        os.environ["DISTILABEL_RUNS"] = str(root)  # what it was is put back by a fixture
        writer = Seller(Write(), till, setting.generator, setting.per_call)
        judge = None if setting.judge is None else Seller(Judge(), till, setting.judge, None)
        stream = Pipeline(writer, judge).stream(
            [{"input": text} for text in self.rows],
            setting.generations,
            checkpoint_dir=root / "named" if self.is_named else None,
            resume=resume,
            seed=setting.seed,
            durability="process",
            verbose=False,
            **arguments,
        )
        rows, error, directory = [], None, root
        try:
            async with stream as results:
                directory = results._run._journal.directory
                while take is None or len(rows) < take:
                    row = await anext(results, None)
                    if row is None:
                        break
                    rows.append(row)
                if is_killed:
                    shutil.copytree(root, self.place / "at the crash")
        except (RunFatalError, RowFailedError) as failure:
            error = failure
        if is_killed:
            shutil.rmtree(root)
            (self.place / "at the crash").rename(root)
        return rows, error, directory

    def continued(self, resume, directory) -> Kept:
        """The journal that a run has gone on with, or a new one; taken out of the others."""
        identity = (self.setting, tuple(self.rows))
        candidates = [
            kept
            for kept in (self.journals[-1:] if self.is_named else self.journals)
            if kept.identity == identity
            and (resume == "always" or (resume == "auto" and not kept.is_finished))
        ]
        if not candidates:
            return Kept(identity, directory)
        (own,) = [kept for kept in candidates if kept.directory == directory]
        self.journals.remove(own)
        return own

    def known(self, resume, own) -> set[object]:
        """The calls that must not be bought again."""
        consulted = [own]
        if resume != "never":
            consulted += [
                kept for kept in self.journals if resume == "always" or not kept.is_finished
            ]
        return {key for kept in consulted for key in kept.calls}

    def keys_of(self, index: int):
        """What decides the calls of the generator for a row: one key for each text."""
        setting, text = self.setting, self.rows[index]
        nth = self.rows[:index].count(text)
        shape = setting.generations if self.is_one_call else "single"
        return [
            ("write", setting.generator, shape, text, nth, k) for k in range(setting.generations)
        ]

    def judge_key(self, row):
        """What decides the judge's call, as far as the model goes: what it is shown, in order."""
        setting, nth = self.setting, self.rows[: row.index].count(row["input"])
        shown = tuple(text for text in row["generations"] if text is not None)
        return ("judge", setting.judge, setting.seed, row["input"], nth, shown)

    def calls_of(self, row) -> dict[object, str]:
        """The calls of a row that was handed out, and what they brought."""
        pairs = zip(self.keys_of(row.index), row["generations"], strict=True)
        calls = {key: text for key, text in pairs if text is not None}
        if self.setting.judge is not None and row["raw_labelling_response"] is not None:
            calls[self.judge_key(row)] = row["raw_labelling_response"]
        return calls

    def check_rows(self, rows, *, ordered):
        """Each row at most once, its own values in their own places, no text twice."""
        places = [row.index for row in rows]
        assert len(set(places)) == len(places)
        assert not ordered or places == list(range(len(places)))
        texts = [text for row in rows for text in row["generations"] if text is not None]
        assert len(set(texts)) == len(texts)
        for row in rows:
            assert row["input"] == self.rows[row.index]
            assert len(row["generations"]) == self.setting.generations
            assert len(row["raw_generation_responses"]) == self.setting.generations
            for text in row["generations"]:
                about = f"{row['input']} v{self.setting.generator}"
                assert text is None or text.split("|")[2] == about
            if self.setting.judge is not None and row["raw_labelling_response"] is not None:
                marks = [None if text is None else digest(text) for text in row["generations"]]
                assert row["mark"] == marks

    def check_reuse(self, rows, till, known):
        """What was known was not bought; it may come from a row that was never handed out."""
        for row in rows:
            for key, value in self.calls_of(row).items():
                was_bought_now = value.split("|")[0] == str(till.run)
                assert not (key in known and was_bought_now), f"{key} was bought again"

    def check_purchases(self, till, known):
        """By the seller's own books, those of rows that were not handed out included."""
        may_buy = Counter[str]()
        for index, text in enumerate(self.rows):
            keys = self.keys_of(index)
            missing = sum(key not in known for key in keys)
            may_buy[f"write {text}"] += min(1, missing) if self.is_one_call else missing
        bought = Counter(prompt for prompt in till.bought if prompt.startswith("write"))
        assert not bought - may_buy, f"{bought} bought, where {may_buy} were to buy"
        judged = sum(prompt.startswith("judge") for prompt in till.bought)
        assert judged <= 2 * len(self.rows)

    @property
    def is_one_call(self) -> bool:
        """Whether a row's texts come by one call."""
        return self.setting.per_call is None

    def check_files(self, own, rows, *, is_whole):
        """One record for each row that was handed out, and what it holds is what was handed out."""
        runs = {run.directory: run for run in find_runs(self.place / "runs")}
        assert not [run.problem for run in runs.values() if run.problem]
        assert runs[own.directory].is_finished is own.is_finished
        assert runs.keys() == {kept.directory for kept in self.journals}
        kept = {row.index: row for row in read_rows(own.directory)}
        for row in rows:
            assert kept[row.index].values == dict(row)
            assert len(kept[row.index].errors) == len(row.errors)
        assert not is_whole or sorted(kept) == list(range(len(self.rows)))


class MachineUnderARoot(Machine):
    """The same where each run has a directory of its own."""

    is_named = False


def explore(machine, examples: int, steps: int, **more) -> None:
    """Try so many histories of so many steps."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
            **more,
        ),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("machine", "histories"),
    [pytest.param(Machine, 60, id="named"), pytest.param(MachineUnderARoot, 40, id="under a root")],
)
def test_what_was_handed_out_is_kept_whatever_happens(machine, histories):
    """In 100 histories of six steps each no row is lost, swapped or bought again."""
    explore(machine, histories, 6, derandomize=True)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("machine", "histories"),
    [
        pytest.param(Machine, 1_200, id="named"),
        pytest.param(MachineUnderARoot, 800, id="under a root"),
    ],
)
def test_what_was_handed_out_is_kept_in_long_histories(machine, histories):
    """In 2,000 histories of up to ten steps each no row is lost, swapped or bought again."""
    explore(machine, histories, 10)


def forget_occurrences(monkeypatch):
    """Equal rows share their calls."""
    monkeypatch.setattr(Occurrences, "count", lambda self, identity: 0)


def hand_out_before_the_commit(monkeypatch):
    """A row is seen before it is on disk."""

    async def put_row(self, record):
        columns = (record.index, record.identity, encode_row(record))
        asyncio.get_running_loop().call_later(
            0.05, lambda: self._writer.put_row(columns, size=0).cancel()
        )

    monkeypatch.setattr(Journal, "put_row", put_row)


def forget_ancestors(monkeypatch):
    """Calls of other runs are not looked up."""
    monkeypatch.setattr(Opening, "consults", lambda self, meta: False)


def forget_the_judge(monkeypatch):
    """A key does not say which backend it is of."""
    monkeypatch.setattr(recording, "backend_digest", lambda llm: b"the same")


def finish_with_failures(monkeypatch):
    """A run with failed rows counts as finished."""
    monkeypatch.setattr(Tally, "leaves_work", False)


@pytest.mark.parametrize(
    "plant",
    [
        forget_occurrences,
        hand_out_before_the_commit,
        forget_ancestors,
        forget_the_judge,
        finish_with_failures,
    ],
    ids=lambda plant: plant.__name__,
)
def test_the_model_finds_faults_that_are_planted(monkeypatch, plant):
    """Where the library is broken on purpose, some history shows it."""
    plant(monkeypatch)
    with pytest.raises((AssertionError, LookupError, BaseExceptionGroup)):
        explore(Machine, 400, 8, phases=[Phase.generate], derandomize=True)
