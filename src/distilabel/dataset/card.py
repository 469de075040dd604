"""The card of a data set: what a reader of the hub should know of how its rows were made. Pure.

- It says what was asked, who answered, what went wrong, what it cost, and how to do it again. What
  is not known is said to be not known, never left to be guessed.
- It is one section of the repository's README, between two comments that name configuration and
  split. Pushing again replaces that section and nothing else of what is there.
- The front matter gets tags and a size. Licence and language are nobody's to guess: left out.
- No path, key, address or user name is written; see `distilabel.dataset.markdown`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distilabel import __version__, tasks
from distilabel.dataset.choosing import REASONS
from distilabel.dataset.markdown import block, span, table, without_folders

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from distilabel.dataset.figures import Figures, StageFigures
    from distilabel.dataset.origin import Origin
    from distilabel.types import StageName

__all__ = [
    "CardSubject",
    "rows_told",
    "size_category",
    "tags",
    "with_section",
    "write_section",
]

_SIZES: Final = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)
_STAGES: Final[tuple[StageName, ...]] = ("generator", "labeller")
_OUR_BACKENDS: Final = {"OpenAILLM": "model", "InferenceEndpointsLLM": "endpoint_name"}
"""The backends that come with the library, and the argument that names the model."""
_ARGUMENTS: Final = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens"}
"""Parameters that the backends' constructors call otherwise."""
_PROMPTS_SHOWN: Final = 5
_BAR: Final = 30
_SAME_AGAIN: Final = (
    "The same again, with keys and addresses of your own. Models and providers change, and "
    "sampling is random: the rows will be like these, not these."
)
_NO_METADATA: Final = (
    "Not known: the run did not keep it. `include_metadata=True` keeps it with each row."
)


@dataclass(frozen=True, slots=True)
class CardSubject:
    """What a section is about."""

    origin: Origin
    task: Mapping[str, Any] | None
    """As `distilabel.tasks.saving` writes it."""
    figures: Figures
    columns: Sequence[str]
    config_name: str
    split: str


def size_category(rows: int) -> str:
    """The hub's word for a number of rows.

    >>> size_category(1_200)
    '1K<n<10K'
    """
    return next((word for limit, word in _SIZES if rows < limit), "n>1T")


def rows_told(dataset_info: Any) -> int:
    """Rows of all splits and configurations, as `datasets` tells them in the front matter.

    It tells them in a mapping for one configuration, in a list of mappings for several. Anything
    else that somebody wrote there counts nothing.

    >>> rows_told([{"splits": [{"num_examples": 5}]}, {"splits": [{"num_examples": 2}]}])
    7
    """
    told: list[Any] = dataset_info if isinstance(dataset_info, list) else [dataset_info]
    found = [info.get("splits") for info in told if isinstance(info, dict)]
    splits = [split for each in found if isinstance(each, list) for split in each]
    counts = [split.get("num_examples") for split in splits if isinstance(split, dict)]
    return sum(count for count in counts if isinstance(count, int))


def tags(columns: Sequence[str]) -> list[str]:
    """Tags for the front matter: where it comes from, and what it is made to train on."""
    found = ["distilabel", "synthetic"]
    if {"chosen", "rejected"} <= set(columns):
        found.append("dpo")
    elif {"completion", "label"} <= set(columns):
        found.append("kto")
    elif "messages" in columns:
        found.append("sft")
    return found + ["preference"] * bool({"rating", "rating_chosen"} & set(columns))


def with_section(readme: str, section: str, *, config_name: str, split: str) -> str:
    """A README with this section in place of the one of that configuration and split, if any."""
    begin, end = _marks(config_name, split)
    whole = f"{begin}\n{section.strip()}\n{end}"
    old = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.DOTALL)
    if old.search(readme):
        return old.sub(lambda _: whole, readme, count=1)
    return f"{readme.rstrip()}\n\n{whole}\n"


def _marks(config_name: str, split: str) -> tuple[str, str]:
    name = re.sub(r"[^\w.-]", "_", f"{config_name}.{split}").replace("--", "__")
    return f"<!-- distilabel begin {name} -->", f"<!-- distilabel end {name} -->"


def write_section(subject: CardSubject) -> str:
    """The section as Markdown."""
    figures, run = subject.figures, subject.origin.run
    head = (
        f"## How the rows of {span(f'{subject.config_name}/{subject.split}')} were made\n\n"
        f"{figures.rows:,} rows, made by language models with "
        f"[distilabel](https://github.com/argilla-io/distilabel) {__version__}."
    )
    if run.rows and run.rows != figures.rows:
        head += (
            f" They are a part of, or were made from, a run of {run.rows:,} rows. What is said "
            "below of failures, tokens and cost is of that whole run."
        )
    parts = (
        head,
        _left_out(subject.origin.left_out),
        _asked(subject),
        _models(subject),
        _failures(subject),
        _ratings(figures),
        _cost(subject),
        _again(subject),
    )
    return "\n\n".join(part for part in parts if part)


def _left_out(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return ""
    rows = ((f"{count:,}", span(REASONS.get(reason, reason))) for reason, count in left_out.items())
    return f"Left out when it was made to train on:\n\n{table(['how many', 'because'], rows)}"


def _asked(subject: CardSubject) -> str:
    parts = ["### What was asked"]
    for name, stage in subject.figures.stages.items():
        parts.append(f"**The {name}**" + _task_name(subject, name))
        shown = stage.system_prompts.most_common(_PROMPTS_SHOWN)
        for prompt, times in shown:
            parts += [f"System prompt of {times:,} prompts:", block(prompt)]
        if more := len(stage.system_prompts) - len(shown):
            parts.append(f"There are {more:,} more system prompts.")
        if stage.example:
            parts += ["The first prompt, whole:", block("\n\n".join(stage.example))]
        for note in subject.origin.stages:
            if note.stage == name and note.task_settings:
                parts += ["Settings of the task that are not its defaults:"]
                parts += [_json(note.task_settings)]
    if subject.task is not None and not subject.origin.stages:
        parts += [f"Settings of the task {span(subject.task['type'])}:"]
        parts += [_json(subject.task["settings"])]
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _task_name(subject: CardSubject, stage: StageName) -> str:
    names = [each.task for each in subject.origin.stages if each.stage == stage]
    return f", with the task {span(names[0])}" if names else ""


def _models(subject: CardSubject) -> str:
    parts = ["### Models"]
    figures, notes = subject.figures, subject.origin.stages
    rows: list[Sequence[object]] = []
    noted = {note.stage for note in notes}
    for name in _STAGES:
        if name not in figures.stages and name not in noted:
            continue
        stage = figures.stages.get(name)
        backends = [note.backend for note in notes if note.stage == name]
        asked = [note.model for note in notes if note.stage == name]
        rows.append(
            (
                name,
                _counted(stage.asked) if stage and stage.asked else _named(asked),
                _counted(stage.served) if stage and stage.served else "not known",
                ", ".join(map(span, backends)) or "not known",
            )
        )
    if not rows:
        return ""
    parts.append(table(["stage", "asked for (values)", "served (calls)", "backend"], rows))
    if notes:
        parts.append("Parameters, as far as they were set and are no addresses:")
        parameters = {note.stage: dict(note.parameters) for note in notes}
        parts.append(_json(parameters))
    else:
        parts.append("Parameters: not known, the data set does not hold them.")
    return "\n\n".join(parts)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{_named([name])} ({times:,})" for name, times in counts.most_common(20))


def _named(models: Sequence[str]) -> str:
    return ", ".join(span(without_folders(model)) for model in models)


def _failures(subject: CardSubject) -> str:
    run, figures = subject.origin.run, subject.figures
    parts = ["### What went wrong"]
    if run.rows:
        parts.append(
            f"{run.rows_failed:,} of {run.rows:,} rows have a value that is missing because "
            "something failed; it is None there."
        )
    else:
        parts.append("Failures: not known, the data set does not hold its run's summary.")
    if run.failed_by_cause:
        rows = ((span(cause), f"{count:,}") for cause, count in run.failed_by_cause.items())
        parts.append(table(["cause", "rows"], rows))
    parts.append("**Why texts ended**, refusals (`content_filter`) and truncations (`length`):")
    stages: dict[StageName, StageFigures] = {
        name: each for name, each in figures.stages.items() if each.finish_reasons
    }
    if stages:
        parts.append(table(["stage", "reason", "texts", "share"], _reasons(stages)))
    else:
        parts.append(_NO_METADATA if not figures.has_metadata else "The providers did not say.")
    return "\n\n".join(parts)


def _reasons(stages: Mapping[StageName, StageFigures]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for name, stage in stages.items():
        reasons = {"content_filter": 0, "length": 0} | stage.finish_reasons
        total = stage.finish_reasons.total()
        rows += [
            (name, span(reason), f"{count:,}", f"{count / total:.1%}")
            for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
        ]
    return rows


def _ratings(figures: Figures) -> str:
    if not figures.ratings and not figures.unrated:
        return ""
    total = figures.ratings.total()
    most = max(figures.ratings.values(), default=1)
    lines = [
        f"{rating:>6g}  {_bar(times / most)}  {times:>9,} {times / total:7.1%}"
        for rating, times in sorted(figures.ratings.items(), reverse=True)
    ]
    mean = sum(rating * count for rating, count in figures.ratings.items()) / max(total, 1)
    told = f"{total:,} texts have a rating (mean {mean:.2f}), {figures.unrated:,} have none."
    return "\n\n".join(["### Ratings", told, *([block("\n".join(lines))] if lines else [])])


def _bar(part: float) -> str:
    return ("#" * round(_BAR * part)).ljust(_BAR)


def _cost(subject: CardSubject) -> str:
    run = subject.origin.run
    if not run.rows:
        return "### Tokens and cost\n\nNot known: the data set does not hold its run's summary."
    cost = "not known: no price was set" if run.cost is None else f"{run.cost:.4f} US dollars"
    if run.cost_unsure:
        cost += f", and up to {run.cost_unsure:.4f} more that may have been billed"
    usage = run.usage
    rows = (
        ("calls", f"{run.calls:,}, and {run.calls_reused:,} reused from an earlier run"),
        ("repeated attempts", f"{run.retries:,} free, {run.paid_retries:,} paid"),
        ("tokens read", f"{usage.prompt_tokens:,} ({usage.cached_tokens:,} from a cache)"),
        ("tokens written", f"{usage.completion_tokens:,}"),
        ("cost", cost),
        ("time", f"{run.seconds:,.1f} s"),
    )
    return f"### Tokens and cost\n\n{table(['', ''], rows)}"


def _again(subject: CardSubject) -> str:
    load = (
        "from distilabel.dataset import CustomDataset\n\n"
        f"dataset = CustomDataset.from_hub(REPO_ID, {json.dumps(subject.config_name)}, "
        f"split={json.dumps(subject.split)})\n"
        "print(dataset.task, dataset.run)"
    )
    parts = [
        "### Load it, and run it again",
        "With `REPO_ID` the name of this repository; `datasets.load_dataset` loads the rows alone.",
        block(load, "python"),
    ]
    notes = subject.origin.stages
    if notes:
        parts += [
            _SAME_AGAIN,
            block(_script(subject), "python", characters_max=20_000),
        ]
    return "\n\n".join(parts)


def _script(subject: CardSubject) -> str:
    notes = subject.origin.stages
    backends = sorted({note.backend for note in notes} & _OUR_BACKENDS.keys())
    names = sorted({note.task for note in notes} & set(tasks.__all__))
    lines = [f"from distilabel.llm import {', '.join(backends)}"] if backends else []
    lines += ["from distilabel.pipeline import Pipeline"]
    lines += [f"from distilabel.tasks import {', '.join(names)}"] if names else []
    known = {*_OUR_BACKENDS, *tasks.__all__}
    others = sorted({name for note in notes for name in (note.backend, note.task)} - known)
    lines += (
        [f"# the author's own, not in this file: {', '.join(map(_name, others))}"] if others else []
    )
    for note in notes:
        settings = ", ".join(f"{_name(name)}={each!r}" for name, each in note.task_settings.items())
        given = {_OUR_BACKENDS.get(note.backend, "model"): without_folders(note.model)}
        given |= {_ARGUMENTS.get(name, name): each for name, each in note.parameters.items()}
        arguments = "".join(f"    {_name(name)}={each!r},\n" for name, each in given.items())
        lines += ["", f"{_name(note.stage)} = {_name(note.backend)}("]
        lines += [f"    task={_name(note.task)}({settings}),\n{arguments})"]
    stages = ", ".join(f"{_name(note.stage)}={_name(note.stage)}" for note in notes)
    asked = subject.figures.stages.get("generator")
    values = asked.asked.total() if asked else 0
    count = f", num_generations={values // subject.figures.rows}" if values else ""
    lines += ["", "# rows: the columns that the data set had before"]
    return "\n".join([*lines, f"dataset = Pipeline({stages}).generate(rows{count})"])


def _name(text: str) -> str:
    """The text if it is a name: what a file from elsewhere says is not put into code."""
    return text if text.isidentifier() else "unknown"


def _json(value: object) -> str:
    return block(json.dumps(value, indent=2, ensure_ascii=False), "json")
