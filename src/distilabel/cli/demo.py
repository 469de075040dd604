"""`distilabel demo`: the main job against a simulated provider, written as a user would write it.

Rules:

- The provider is a process of its own on loopback, and ends with this one, however this one ends.
  A Ctrl-C on the terminal is for this process alone.
- The directory that is written to is new, empty, or one that an earlier demo made and marked.
  Anything else is refused before the run begins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from distilabel.cli.page import Page
from distilabel.cli.prompts import demo_prompts
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.progress import ProgressBar
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import EndpointProcess, ServeOptions

if TYPE_CHECKING:
    from pathlib import Path

    from distilabel.dataset import CustomDataset
    from distilabel.types import Row

__all__ = ["DemoOptions", "run_demo"]

_SIGMA: Final = 0.4
_TOKENS_MAX: Final = 256
_MARK: Final = ".distilabel-demo"
_MARK_TEXT: Final = "Made by `distilabel demo`, which may replace what is here.\n"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo is asked to do."""

    rows: int
    generations: int
    seed: int
    output: Path
    latency_median_s: float


def run_demo(options: DemoOptions) -> None:
    """Make a data set, show how it gets on, save it, and say how to do the same for real.

    Raises:
        ConfigurationError: the output directory is not one to write to. Nothing was done.
        DistilabelError: the run failed, or the data set could not be saved.
    """
    is_replacing = _checked_output(options.output)
    page = Page()
    page.begin(options.rows, options.generations)
    provider = ServeOptions(
        latency_median_s=options.latency_median_s, sigma=_SIGMA, seed=options.seed
    )
    with EndpointProcess(provider) as endpoint:
        dataset = anyio.run(_make, options, endpoint.openai_url, page)
    _save(dataset, options.output)
    page.end(dataset, options.output, is_replacing=is_replacing)


async def _make(options: DemoOptions, base_url: str, page: Page) -> CustomDataset:
    pipe = Pipeline(
        generator=OpenAILLM(
            TextGenerationTask(),
            model="simulated-writer",
            base_url=base_url,
            api_key="none-needed",
            max_new_tokens=_TOKENS_MAX,
        ),
        labeller=OpenAILLM(
            UltraFeedbackTask.for_text_quality(),
            model="simulated-judge",
            base_url=base_url,
            api_key="none-needed",
            max_new_tokens=_TOKENS_MAX * options.generations,
            temperature=0.0,
        ),
    )
    prompts = demo_prompts(options.rows)
    finished: list[Row] = []
    started_s = time.monotonic()
    async with (
        ProgressBar(page.progress_console) as bar,
        pipe.stream(
            prompts,
            num_generations=options.generations,
            enable_checkpoints=False,
            seed=options.seed,
            on_event=bar.observe,
        ) as rows,
    ):
        async for row in rows:
            finished.append(row)
            if len(finished) == 1:
                page.first_row(row, time.monotonic() - started_s, options.rows - 1)
    return await anyio.to_thread.run_sync(rows.to_dataset, finished)


def _checked_output(output: Path) -> bool:
    """Whether the data set of an earlier demo will be replaced.

    Raises:
        ConfigurationError: something else is there.
    """
    if not output.exists():
        return False
    if output.is_dir():
        if (output / _MARK).is_file():
            return True
        if not any(output.iterdir()):
            return False
    raise ConfigurationError(
        f"{output} exists and was not made by a demo, so it is left alone. "
        f"Choose another place with --output."
    )


def _save(dataset: CustomDataset, output: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARK).write_text(_MARK_TEXT, encoding="utf-8")
        dataset.save_to_disk(output)
    except OSError as error:
        raise DistilabelError(f"the data set cannot be saved to {output}: {error}") from error
