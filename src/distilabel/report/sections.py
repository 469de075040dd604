"""The sections of a report, from figures to HTML. Pure.

Each function gives the HTML inside one section. Where something is not known, it says what is
missing and how to have it.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from distilabel.progress.wording import as_clock, as_dollars
from distilabel.report.charts import (
    bars,
    binned,
    figure,
    fold_away,
    grid,
    heat_table,
    missing,
    nice_number,
    shown,
    table,
)
from distilabel.report.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distilabel.report.figures import Figures
    from distilabel.report.reading import ReportSource

__all__ = [
    "failures",
    "lengths",
    "position",
    "ratings",
    "seconds",
    "tiles",
    "tokens_and_cost",
]

_T = TypeVar("_T")
_DISTINCT_MAX: Final = 11
"""More different ratings than that are put into bins."""
_MODELS_MAX: Final = 12
_CAUSES_MAX: Final = 40
_LEVELS: Final = ((0.5, "half below"), (0.9, "90% below"), (0.95, "95% below"), (0.99, "99% below"))


def tiles(source: ReportSource, figures: Figures) -> str:
    """What is known at a glance."""
    run = source.summary
    all_ratings = _merged(figures.ratings.values())
    facts = [("rows", f"{figures.rows:,}"), ("texts", f"{figures.texts - figures.texts_missing:,}")]
    if all_ratings:
        facts.append(("mean rating", f"{_mean(all_ratings):.2f}"))
    if run is not None:
        facts.append(("rows with failures", f"{run.rows_failed:,}"))
        facts.append(("calls", f"{run.calls:,}"))
        facts.append(("cost", "not known" if run.cost is None else as_dollars(run.cost)))
        if run.seconds:
            facts.append(("time", as_clock(run.seconds)))
    found = "".join(f"<div><dt>{shown(n)}</dt><dd>{shown(v)}</dd></div>" for n, v in facts)
    return f'<dl class="tiles">{found}</dl>'


def ratings(figures: Figures) -> str:
    """How often each rating was given, a chart for each model that wrote."""
    if not figures.ratings:
        return missing("There are no ratings: the run had no labeller, or it gave none.")
    place_of, labels = _bins(_merged(figures.ratings.values()))
    charts: list[str] = []
    numbers: list[list[str]] = []
    for model, counts in _largest(figures.ratings, lambda each: each.total()):
        binned_counts = _in_bins(counts, place_of, len(labels))
        caption = f"mean {_mean(counts):.2f} of {counts.total():,} ratings"
        chart = bars(
            f"Ratings of {model}",
            list(zip(labels, binned_counts, strict=True)),
            shares_of=counts.total(),
        )
        charts.append(figure(model, caption, chart))
        numbers.append([model, *(f"{each:,}" for each in binned_counts), f"{_mean(counts):.3f}"])
    judges = ", ".join(f"{name} ({count:,} rows)" for name, count in figures.judges.most_common(8))
    unrated = f" {figures.ratings_missing:,} texts have none." * bool(figures.ratings_missing)
    return (
        f"<p>Rated by {shown(judges)}.{unrated}</p>"
        + grid(charts, len(figures.ratings))
        + fold_away("The numbers", table(["model", *labels, "mean"], numbers))
    )


def position(figures: Figures) -> str:
    """Ratings against the place at which the judge was shown the text."""
    if not figures.ratings:
        return missing("There are no ratings.")
    if figures.rows_with_order:
        counts, word = figures.by_shown, "shown as text"
        text = (
            f"The place at which the judge was shown a text, read from its prompt: known for "
            f"{figures.rows_with_order:,} of {figures.rows_rated:,} rated rows with several texts. "
            "A judge without bias has the same mean at every place, but for chance."
        )
    else:
        counts, word = figures.by_place, "place"
        text = (
            "The place of a text in <code>generations</code>. In which order the judge was shown "
            "the texts cannot be told from its prompts; if it was shuffled for each row, as it is "
            "by default, this says nothing about its bias."
        )
    place_of, labels = _bins(_merged(counts.values()))
    rows = [
        (
            f"{word} {place + 1}",
            [each / found.total() for each in _in_bins(found, place_of, len(labels))],
            [f"{_mean(found):.3f} ± {_error(found):.3f}", f"{found.total():,}"],
        )
        for place, found in sorted(counts.items())
    ]
    if len(rows) < 2:
        return missing("Rows have one text each: there is no order in which they were shown.")
    head = ["", *labels, "mean, ± 95%", "ratings"]
    return f"<p>{text}</p>{heat_table(head, rows)}<p>{_verdict(counts)}</p>"


def lengths(figures: Figures) -> str:
    """How long texts are, a chart for each model."""
    if not figures.lengths:
        return missing("There are no texts.")
    return _spread(figures.lengths, "characters", "Lengths of texts of", "texts")


def seconds(figures: Figures, source: ReportSource) -> str:
    """How long calls took, a chart for each stage."""
    if not figures.seconds:
        return missing(
            "It holds no call that brought a reply."
            if source.has_calls
            else "How long calls took is in the rows of a data set that was made with "
            "<code>include_metadata=True</code>, and in a run's directory."
        )
    note = "<p>From the first attempt's start to the reply; waits and repeats included.</p>"
    return note + _spread(figures.seconds, "seconds", "Seconds of calls of the", "calls")


def failures(figures: Figures, source: ReportSource) -> str:
    """What failed and why, with examples, and how texts ended."""
    run, parts = source.summary, list[str]()
    if figures.causes:
        what = "errors of rows" if source.has_errors else "calls that were given up"
        ordered = sorted(figures.causes.items(), key=lambda each: -each[1].count)[:_CAUSES_MAX]
        body = "".join(
            f'<tr><th scope="row">{shown(cause)}</th><td class="left">{shown(stage)}</td>'
            f'<td>{found.count:,}</td><td class="wide">{_examples(found.examples)}</td></tr>'
            for (stage, cause), found in ordered
        )
        parts.append(
            '<div class="scroll"><table class="numbers"><thead><tr><th scope="col">cause</th>'
            f'<th scope="col" class="left">stage</th><th scope="col">{what}</th>'
            f'<th scope="col" class="wide">for example</th>'
            f"</tr></thead><tbody>{body}</tbody></table></div>"
        )
    elif run is not None and run.failed_by_cause:
        numbers = [[cause, f"{count:,}"] for cause, count in run.failed_by_cause.items()]
        parts.append(table(["cause", "rows"], numbers))
        parts.append(
            "<p>These are the run's counts. Which rows failed, and with what words, is in the "
            "run's directory.</p>"
        )
    elif run is None:
        parts.append("<p>Nothing is known of a run: this data set was not saved by one.</p>")
    else:
        parts.append("<p>Nothing failed.</p>")
    if figures.texts_missing:
        parts.append(f"<p>{figures.texts_missing:,} texts are missing.</p>")
    if figures.endings:
        ends = [
            [f"{stage}: {reason}", f"{count:,}", f"{100 * count / counts.total():.1f}%"]
            for stage, counts in sorted(figures.endings.items())
            for reason, count in counts.most_common(8)
        ]
        parts.append("<h3>Why texts ended</h3>" + table(["reason", "texts", "share"], ends))
    return "".join(parts)


def tokens_and_cost(source: ReportSource) -> str:
    """What the run took."""
    run = source.summary
    if run is None:
        return missing("Nothing is known of a run: this data set was not saved by one.")
    usage = run.usage
    facts = [
        ("cost", "not known: a model's price is not" if run.cost is None else as_dollars(run.cost)),
        ("at most on top", as_dollars(run.cost_unsure) if run.cost_unsure else ""),
        ("cost of a row", as_dollars(run.cost / run.rows) if run.cost and run.rows else ""),
        ("tokens read", f"{usage.prompt_tokens:,}"),
        ("of them from a cache", f"{usage.cached_tokens:,}" if usage.cached_tokens else ""),
        ("tokens written", f"{usage.completion_tokens:,}"),
        ("calls", f"{run.calls:,}"),
        ("calls reused from an earlier run", f"{run.calls_reused:,}" * bool(run.calls_reused)),
        ("calls shared by equal rows", f"{run.calls_shared:,}" * bool(run.calls_shared)),
        ("attempts repeated", f"{run.retries:,}" * bool(run.retries)),
        ("paid attempts repeated", f"{run.paid_retries:,}" * bool(run.paid_retries)),
        ("rows resumed", f"{run.rows_resumed:,}" * bool(run.rows_resumed)),
    ]
    found = [[name, value] for name, value in facts if value]
    found += [[name, value] for name, value in source.facts.items() if value]
    note = ""
    if run.rows != source.total:
        note = f"<p>These are the run's, of {run.rows:,} rows; here are {source.total:,} rows.</p>"
    return note + table(["", ""], found).replace("numbers", "numbers plain", 1)


def _spread(found: Mapping[str, Sequence[float]], unit: str, title: str, things: str) -> str:
    charts: list[str] = []
    numbers: list[list[str]] = []
    for name, values in _largest(found, len):
        ordered = sorted(values)
        entries = [
            (f"{_edge(low)}+" if last else _edge(low), float(n))
            for low, last, n in _marked(binned(ordered))
        ]
        caption = f"half below {nice_number(percentile(ordered, 0.5))} {unit}"
        charts.append(figure(name, caption, bars(f"{title} {name}", entries)))
        levels = [nice_number(percentile(ordered, share)) for share, _ in _LEVELS]
        numbers.append([name, f"{len(ordered):,}", *levels, nice_number(ordered[-1])])
    head = ["", things, *(name for _, name in _LEVELS), "most"]
    return grid(charts, len(found)) + table(head, numbers, f"In {unit}")


def _edge(low: float) -> str:
    """Where a bin begins; bins may be far smaller than any number that is told elsewhere."""
    return f"{low:.3g}" if low < 0.001 else nice_number(low)


def _marked(bins: Sequence[tuple[float, float, int]]) -> Iterable[tuple[float, bool, int]]:
    """From, whether it is the last one of several, and how many."""
    last = len(bins) - 1
    return [(low, place == last > 0, n) for place, (low, _, n) in enumerate(bins)]


def _examples(examples: Sequence[tuple[int, str]]) -> str:
    if not any(message for _, message in examples):
        return ", ".join(f"row {index:,}" for index, _ in examples)
    return "<br>".join(
        f'<span class="muted">row {index:,}</span> {shown(message)}' for index, message in examples
    )


def _verdict(counts: Mapping[int, Counter[float]]) -> str:
    """Whether the means differ by more than chance explains: the largest against the smallest."""
    measured = [(_mean(found), _error(found)) for found in counts.values() if found.total() > 1]
    if len(measured) < 2:
        return ""
    (low, low_error), (high, high_error) = min(measured), max(measured)
    apart = high - low
    if apart > math.hypot(low_error, high_error):
        return f"The means differ by up to {apart:.2f}, more than chance alone would explain."
    return f"The means differ by up to {apart:.2f}, no more than chance would explain."


def _bins(counts: Counter[float]) -> tuple[Callable[[float], int], list[str]]:
    """Which bin a rating is in, and what the bins are called: each rating its own, or ten."""
    values = sorted(counts)
    if len(values) <= _DISTINCT_MAX:
        places = {value: place for place, value in enumerate(values)}
        return places.__getitem__, [f"{value:g}" for value in values]
    low, width = values[0], (values[-1] - values[0]) / 10
    ends = [low + place * width for place in range(11)]
    labels = [f"{start:.3g} to {end:.3g}" for start, end in pairwise(ends)]
    return lambda value: min(9, int((value - low) / width)), labels


def _in_bins(counts: Counter[float], place_of: Callable[[float], int], total: int) -> list[int]:
    found = [0] * total
    for value, count in counts.items():
        found[place_of(value)] += count
    return found


def _merged(all_counts: Iterable[Counter[float]]) -> Counter[float]:
    merged = Counter[float]()
    for counts in all_counts:
        merged.update(counts)
    return merged


def _mean(counts: Counter[float]) -> float:
    return sum(value * count for value, count in counts.items()) / counts.total()


def _error(counts: Counter[float]) -> float:
    """Half the width of the mean's 95% interval, by the normal approximation."""
    total, mean = counts.total(), _mean(counts)
    if total < 2:
        return 0.0
    squares = sum(count * (value - mean) ** 2 for value, count in counts.items())
    return 1.96 * math.sqrt(squares / (total - 1) / total)


def _largest(found: Mapping[str, _T], size: Callable[[_T], int]) -> list[tuple[str, _T]]:
    return sorted(found.items(), key=lambda each: (-size(each[1]), each[0]))[:_MODELS_MAX]
