"""The run's money: what must be known before a ceiling can be held, and what is said at its end.

Rules:

- A ceiling needs a price and a worst case of each stage's calls. Both are looked at before the
  journal is opened, let alone a call made; so is the first row's first call, which must fit alone.
- A ceiling is the run's, not the session's: what earlier sessions have spent counts. That is what
  the journal's records say, or, if it is more, what was noted as possibly spent while they ran.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distilabel.errors import BudgetExceededError, ConfigurationError
from distilabel.limits.prices import PRICES_AS_OF
from distilabel.limits.spending import dollars, picodollars
from distilabel.llm.purse import Purse, unbounded
from distilabel.naming import named
from distilabel.pipeline.telling import where_it_is_kept
from distilabel.progress.wording import as_dollars
from distilabel.types import Call

if TYPE_CHECKING:
    from pathlib import Path

    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.types import InputRow, Price, PromptText, RunSummary, StageName

__all__ = ["budget_exceeded", "check_ceiling", "open_purse"]


def check_ceiling(plan: Plan, settings: RunSettings, first_row: InputRow | None) -> None:
    """Check that a ceiling can be held, if there is one.

    Raises:
        ConfigurationError: a price or a worst case is not known, or no call at all would fit.
    """
    if settings.max_cost is None:
        return
    for stage, llm in plan.stages:
        if llm.price is None:
            raise ConfigurationError(_unpriced(stage, llm))
        if llm.tokens_max(Call("")) is None:
            raise ConfigurationError(unbounded(llm))
    prompt = _first_prompt(plan.stages[0][1], first_row)
    if prompt is not None:
        _check_first_call(plan, settings, prompt)


def _unpriced(stage: StageName, llm: LLM) -> str:
    price = "labeller_price" if stage == "labeller" else "price"
    example = f"{type(llm).__name__}(…, price=Price(input=0.15, output=0.60))"
    return (
        named("max_cost")
        + f" needs the price of the {stage}'s {llm.model_name}, and it is not known (the list, of "
        f"{PRICES_AS_OF:%Y-%m-%d}, is for OpenAI's own server). Say it: "
        + named(price, "0.15,0.60", python=example)
        + ", in US dollars per million tokens; what costs nothing by the token is "
        + named(price, "0,0", python="Price(0, 0)")
        + "."
    )


def _first_prompt(llm: LLM, row: InputRow | None) -> PromptText | None:
    try:
        return None if row is None else llm.render({k: row[k] for k in llm.task.input_columns})
    except Exception:  # noqa: BLE001 - the row's own trouble, reported when its turn comes
        return None


def _check_first_call(plan: Plan, settings: RunSettings, prompt: PromptText) -> None:
    stage, llm = plan.stages[0]
    texts = settings.num_generations if stage == "generator" else 1
    call = Call(prompt, min(texts, llm.generations_per_call or texts))
    prices = _prices(plan)
    purse = Purse(prices, last_stage=stage) if prices else None
    if purse is None or settings.max_cost is None:
        return
    worst = purse.worst_case(llm, call, stage)
    if worst is None:
        raise ConfigurationError(unbounded(llm))
    if worst > picodollars(settings.max_cost):
        raise ConfigurationError(
            named("max_cost")
            + f" is {as_dollars(settings.max_cost)}, and the first row's first call to "
            f"{llm.model_name} may alone cost {as_dollars(dollars(worst))}. Raise it, or lower the "
            "backend's " + named("max_new_tokens") + " or " + named("num_generations") + "."
        )


async def open_purse(
    plan: Plan, settings: RunSettings, journal: Journal | None, first_row: InputRow | None
) -> Purse | None:
    """What pays for the run; None if a price is not known, and so nothing can be counted.

    Args:
        plan: what is done.
        settings: how.
        journal: knows what was spent before; None: nothing was.
        first_row: an example, to know about what a row costs; None if there is none.

    Raises:
        JournalError: what was spent before cannot be read.
    """
    prices = _prices(plan)
    if prices is None:
        return None
    last_stage, spent, note = plan.stages[-1][0], 0, None
    if settings.max_cost is not None and journal is not None:
        note = journal.note_spent
        if journal.found.calls or journal.found.spent_noted:
            spent = max(journal.found.spent_noted, await journal.spent(prices))
    purse = Purse(prices, last_stage=last_stage, max_cost=settings.max_cost, spent=spent, note=note)
    guess = _label_guess(plan, settings, purse, first_row)
    if guess is not None:
        purse.spending.expect(guess)
    return purse


def _label_guess(
    plan: Plan, settings: RunSettings, purse: Purse, row: InputRow | None
) -> int | None:
    """What the first row's label may cost, if its generations are as long as they may be."""
    writer, judge = plan.generator, plan.labeller
    if writer is None or judge is None or row is None or writer.max_new_tokens is None:
        return None
    texts = ["text " * writer.max_new_tokens] * settings.num_generations
    prompt = _first_prompt(judge, {**row, **dict.fromkeys(writer.task.output_columns, texts)})
    return None if prompt is None else purse.worst_case(judge, Call(prompt), "labeller")


def _prices(plan: Plan) -> dict[StageName, Price] | None:
    prices: dict[StageName, Price] = {
        stage: llm.price for stage, llm in plan.stages if llm.price is not None
    }
    return prices if len(prices) == len(plan.stages) else None


def budget_exceeded(
    purse: Purse,
    summary: RunSummary,
    *,
    rows_done: int,
    total: int | None,
    directory: Path | None,
) -> BudgetExceededError:
    """What is raised once a call could not be paid."""
    refused, max_cost = purse.spending.refused, purse.max_cost or 0.0
    needed = dollars(0 if refused is None else refused.needed)
    spent = dollars(purse.spending.spent)
    rows = f"{rows_done:,}" + ("" if total is None else f" of {total:,}")
    kept = "Nothing is kept, as checkpoints are off."
    if directory is not None:
        kept = f"{where_it_is_kept(directory)} with a higher " + named("max_cost") + "."
    return BudgetExceededError(
        named("max_cost")
        + f" is {as_dollars(max_cost)}, {as_dollars(spent)} of it is spent, and the next call may "
        f"cost {as_dollars(needed)}, so it was not sent: {rows} rows are done, with "
        f"{summary.calls:,} calls. Once more with "
        + named("max_cost", _rounded_up(spent + needed))
        + " or more goes on. "
        + kept,
        summary=summary,
        max_cost=max_cost,
        spent=spent,
        needed=needed,
    )


def _rounded_up(amount: float) -> str:
    """An amount that, said in so few digits, is no less.

    >>> _rounded_up(0.00123451), _rounded_up(12.001)
    ('0.001235', '12.01')
    """
    step = 10.0 ** (math.floor(math.log10(amount)) - 3) if amount > 0 else 1.0
    return f"{math.ceil(amount / step) * step:.4g}"
