"""`Pipeline`: what users call. Each method is the stream, seen from another side.

Each spells its arguments out, as editors and `help` show them; by name they go on to `RunSettings`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from distilabel import portal
from distilabel.errors import ConfigurationError, RunStoppedError
from distilabel.llm.base import LLM
from distilabel.llm.returned import check_model_name
from distilabel.pipeline.estimate import Measurement
from distilabel.pipeline.loading import Loading
from distilabel.pipeline.sampling import check_sample, choose
from distilabel.pipeline.settings import RunSettings
from distilabel.pipeline.stopping import StopSwitch
from distilabel.pipeline.stream import RowStream, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path

    from distilabel.dataset.custom import CustomDataset
    from distilabel.events import Observer
    from distilabel.journal import Durability
    from distilabel.pipeline.estimate import Estimate
    from distilabel.pipeline.source import RowsLike
    from distilabel.types import OnError, Resume, Row

__all__ = ["Pipeline"]


class Pipeline:
    """A generator that writes, a labeller that rates, or both.

    Args:
        generator: writes `num_generations` texts for each row.
        labeller: rates a row's generations, its own or those that come with the data set.

    Raises:
        ConfigurationError: neither is given, or one is not an `LLM`, or has no `model_name`.
    """

    def __init__(self, generator: LLM | None = None, labeller: LLM | None = None) -> None:
        self.generator = generator
        self.labeller = labeller
        if generator is None and labeller is None:
            raise ConfigurationError(
                "a Pipeline needs a generator, a labeller or both: Pipeline(generator=OpenAILLM(…))"
            )
        for name, llm in (("generator", generator), ("labeller", labeller)):
            if not isinstance(llm, LLM | None):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError(f"{name} must be an LLM, not {type(llm).__name__}")
            if llm is not None:
                check_model_name(llm)

    def generate(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        batch_size: int = 1,
        enable_checkpoints: bool = True,
        display_progress_bar: bool = False,
        verbose: bool = True,
        *,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        on_error: OnError = "collect",
        max_cost: float | None = None,
        seed: int | None = None,
        include_metadata: bool = False,
        on_event: Observer | None = None,
    ) -> CustomDataset:
        """Run over all rows and return them as a data set, in the order of the input.

        Works in scripts, in notebooks (inside a running event loop) and from any thread. In async
        code, `await agenerate(...)` instead.

        Args:
            dataset: a `datasets.Dataset`, an `IterableDataset`, or any iterable or async iterable
                of mappings. What has no length is read as it is needed.
            num_generations: texts for each row, at least 1.
            batch_size: rows read from the data set at a time. Never a barrier.
            enable_checkpoints: keep every paid reply on disk before it is seen, so that nothing is
                bought twice.
            display_progress_bar: show progress on standard error.
            verbose: log, at the end, how many rows failed and why.
            checkpoint_dir: the run's directory. None: one of its own under `DISTILABEL_RUNS`, else
                under `./distilabel-runs`.
            durability: what a finished row survives: "power" cuts, or the death of the "process".
            resume: "auto" goes on with an unfinished run of the same rows and settings, and reuses
                what other unfinished runs have paid for; "always" also reuses what finished runs
                have; "never" starts clean.
            shuffle_before_labelling: show the judge each row's texts in an order of its own, so
                that no text gains from its place. The stored order never changes.
            on_error: "collect" keeps a failed row with None and an entry in `.errors`; "raise"
                stops at the first.
            max_cost: what the run may spend, in US dollars, earlier sessions of it included: a hard
                ceiling, as no call is sent whose worst case does not fit. Each backend's price must
                be known.
            seed: what the shuffling is drawn from.
            include_metadata: add the column `call_metadata`: for each call of a row the served
                model, request id, attempts, finish reasons, tokens, seconds and cause of failure.
            on_event: called with each `distilabel.events.Event`; must be quick and not raise.

        Returns:
            The user's columns, then what each stage adds; `.run` is the summary.

        Raises:
            ConfigurationError: the input cannot work. No call was made.
            RunFatalError: no call can succeed: a wrong key, an unknown model.
            BudgetExceededError: `max_cost` does not pay the next call.
            RowFailedError: a row failed, and `on_error` is "raise".
            KeyboardInterrupt: a script was stopped by SIGINT: nothing more was sent, and what was
                in flight was waited for. By SIGTERM: `SystemExit`, with status 143.
        """
        settings = RunSettings.among(locals())
        switch, loading = StopSwitch(), Loading()
        try:
            result = portal.run(
                self._collect, dataset, settings, on_event, loading, switch, on_signal=switch
            )
        except RunStoppedError as stopped:
            if not switch.is_pressed:  # whatever cancelled it, it was no signal
                raise
            raise switch.as_exit(stopped) from None
        finally:
            loading.wait(switch)
        if switch.is_pressed:  # too late to stop anything, and not to be swallowed
            kept = ' resume="always" has its rows back for nothing.' * enable_checkpoints
            late = RunStoppedError(
                f"The run was stopped after its last row.{kept}", summary=result.run
            )
            raise switch.as_exit(late)
        return result

    async def agenerate(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        batch_size: int = 1,
        enable_checkpoints: bool = True,
        display_progress_bar: bool = False,
        verbose: bool = True,
        *,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        on_error: OnError = "collect",
        max_cost: float | None = None,
        seed: int | None = None,
        include_metadata: bool = False,
        on_event: Observer | None = None,
    ) -> CustomDataset:
        """`generate`, for async code: the same arguments, the same result, the same errors."""
        return await self._collect(dataset, RunSettings.among(locals()), on_event, Loading())

    async def _collect(
        self,
        dataset: RowsLike,
        settings: RunSettings,
        on_event: Observer | None,
        loading: Loading,
        switch: StopSwitch | None = None,
    ) -> CustomDataset:
        stream = self._open(dataset, settings, on_event, switch=switch, needs_all_columns=False)
        async with stream as rows:
            loading.start()
            assembler = rows.assembler()
            async for row in rows:
                assembler.add(row)
            # Inside: only then is the run finished, and not gone on with if the process dies.
            return await anyio.to_thread.run_sync(rows.build, assembler)

    def stream(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        batch_size: int = 1,
        enable_checkpoints: bool = True,
        display_progress_bar: bool = False,
        verbose: bool = True,
        *,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        on_error: OnError = "collect",
        max_cost: float | None = None,
        seed: int | None = None,
        include_metadata: bool = False,
        on_event: Observer | None = None,
        ordered: bool = False,
    ) -> AbstractAsyncContextManager[RowStream]:
        """Rows as they complete. Takes `generate`'s arguments, and `ordered`.

        ::

            async with pipe.stream(prompts) as rows:
                async for row in rows:
                    await queue.put(row)

        A row is a dict with the columns of the result, plus `.index` and `.errors`. Nothing is made
        that the consumer does not keep up with. Leaving the block cancels what is in flight.
        With `ordered=True` they come in the order of the input, through a bounded window.
        """
        return self._open(dataset, RunSettings.among(locals()), on_event)

    def iterate(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        batch_size: int = 1,
        enable_checkpoints: bool = True,
        display_progress_bar: bool = False,
        verbose: bool = True,
        *,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        on_error: OnError = "collect",
        max_cost: float | None = None,
        seed: int | None = None,
        include_metadata: bool = False,
        on_event: Observer | None = None,
        ordered: bool = False,
    ) -> AbstractContextManager[Iterator[Row]]:
        """`stream`, for code that is not async.

        ::

            with pipe.iterate(prompts) as rows:
                for row in rows:
                    print(row["generations"])

        Leaving the block, also by Ctrl-C, cancels what is in flight; what has landed is kept.
        """
        settings = RunSettings.among(locals())
        return portal.iterate(partial(self._open, dataset, settings, on_event))

    def estimate(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        *,
        sample: int = 20,
        display_progress_bar: bool = False,
        verbose: bool = True,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        max_cost: float | None = None,
        seed: int | None = None,
    ) -> Estimate:
        """Do a few rows, and tell from them what all of them will take.

        ::

            print(pipe.estimate(prompts, num_generations=2))

        The sample is a part of the run that is estimated: its replies are kept, and `generate` with
        the same rows and settings buys the others only.

        Args:
            dataset: as for `generate`. Of a source without a length the first rows are the sample;
                what can be read only once is refused.
            num_generations: as for `generate`, like all arguments but `sample`.
            sample: rows to do, at least 2; drawn by `seed`.
            display_progress_bar: see `generate`.
            verbose: see `generate`.
            checkpoint_dir: see `generate`.
            durability: see `generate`.
            resume: see `generate`.
            shuffle_before_labelling: see `generate`.
            max_cost: see `generate`; the sample stays within it.
            seed: see `generate`.

        Returns:
            Calls, tokens, cost, time and failure rate, each with a 90 % interval.

        Raises:
            ConfigurationError: the input cannot work. No call was made.
            RunFatalError: no call can succeed: a wrong key, an unknown model.
            BudgetExceededError: `max_cost` does not pay for the sample.
        """
        return portal.run(self._estimate, dataset, sample, RunSettings.among(locals()))

    async def aestimate(
        self,
        dataset: RowsLike,
        num_generations: int = 1,
        *,
        sample: int = 20,
        display_progress_bar: bool = False,
        verbose: bool = True,
        checkpoint_dir: str | Path | None = None,
        durability: Durability = "power",
        resume: Resume = "auto",
        shuffle_before_labelling: bool = True,
        max_cost: float | None = None,
        seed: int | None = None,
    ) -> Estimate:
        """`estimate`, for async code: the same arguments, the same result, the same errors."""
        return await self._estimate(dataset, sample, RunSettings.among(locals()))

    async def _estimate(self, dataset: RowsLike, sample: int, settings: RunSettings) -> Estimate:
        check_sample(dataset, sample)
        totals: list[int | None] = []

        def only_rows(total: int | None) -> frozenset[int]:
            totals.append(total)
            return choose(total, sample, settings.seed)

        measurement = Measurement.of(self.generator, self.labeller)
        opened = open_stream(
            self.generator,
            self.labeller,
            dataset,
            settings,
            (measurement.observe,),
            only_rows=only_rows,
        )
        async with opened as stream:
            async for _ in stream:
                pass
        return measurement.estimate(totals[0], stream.run)

    def _open(
        self,
        dataset: RowsLike,
        settings: RunSettings,
        on_event: Observer | None,
        *,
        switch: StopSwitch | None = None,
        needs_all_columns: bool = True,
    ) -> AbstractAsyncContextManager[RowStream]:
        return open_stream(
            self.generator,
            self.labeller,
            dataset,
            settings,
            () if on_event is None else (on_event,),
            switch=switch,
            needs_all_columns=needs_all_columns,
        )

    def __repr__(self) -> str:
        stages = {name: getattr(self, name, None) for name in ("generator", "labeller")}
        return f"Pipeline({', '.join(f'{name}={llm!r}' for name, llm in stages.items())})"
