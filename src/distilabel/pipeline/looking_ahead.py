"""A source that looks ahead, so that rows with a long common beginning are sent near each other.

Rules:

- Only prompts of `LEAST_CHARS` and more are worth it: providers cache nothing shorter. The first
  rows tell whether there are any; if not, the source stays as it is, and no row costs anything.
- At most `ROWS_AHEAD_MAX` rows or `CHARS_AHEAD_MAX` characters of prompts are held. Of a source
  that is read as it goes nothing is read ahead: its rows are put in order as far as a batch holds
  several of them.
- Rows begin alike if their prompts do, for `LEAST_CHARS`; if all of them do (a long system prompt,
  say), for as much and one more step of a cache.
- If a whole window holds no two rows that begin alike, the others are not looked at any more.
- `nearness` says in which order they go. Nothing else depends on it: a row's place is its index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from distilabel.events import StageFinished
from distilabel.pipeline.nearness import Nearness

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from distilabel.events import Event
    from distilabel.llm.base import LLM
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowSource
    from distilabel.types import InputRow, PromptText, StageName

__all__ = ["CHARS_AHEAD_MAX", "LEAST_CHARS", "ROWS_AHEAD_MAX", "NearRows", "near_rows"]

LEAST_CHARS: Final = 4096
"""1,024 tokens, about, which is the least that OpenAI's prompt cache takes:
https://developers.openai.com/api/docs/guides/prompt-caching."""
ROWS_AHEAD_MAX: Final = 1024
CHARS_AHEAD_MAX: Final = 32 << 20

_STEP_CHARS = 512
"""128 tokens: the steps in which prefixes are cached."""
_SAMPLE_ROWS = 16
_FIRST_ROWS = 128
_ROWS_A_TIME = 64


async def near_rows(plan: Plan, settings: RunSettings, source: RowSource) -> NearRows | None:
    """A source that gives the same rows in another order; None if it is not worth it.

    Args:
        plan: its first stage's prompts are looked at.
        settings: in the order of the input rows are sent in that order: each that is sent early
            would wait for those before it, and a window's worth of them for ever.
        source: where rows come from.
    """
    if settings.ordered:
        return None
    stage, llm = plan.stages[0]
    beginnings = _Beginnings(llm)
    first = [beginnings.of(row) for row in await source.look(_SAMPLE_ROWS)]
    if len(first) < 2 or max(map(len, first)) < LEAST_CHARS:
        return None
    return NearRows(source, beginnings, stage)


class _Beginnings:
    """How prompts begin."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._columns = llm.task.input_columns
        self._chars = LEAST_CHARS

    def of(self, row: InputRow) -> str:
        """The prompt of a row as one text; "" if it has none."""
        try:
            return _text(self._llm.render({name: row[name] for name in self._columns}))
        except Exception:  # noqa: BLE001 - the row's own trouble, reported when its turn comes
            return ""

    def learn(self, rows: Sequence[InputRow]) -> None:
        """See how much is common to all rows."""
        common = _common_chars([prompt for row in rows if (prompt := self.of(row))])
        if common >= LEAST_CHARS:
            self._chars = common + _STEP_CHARS

    def key(self, prompt: str) -> Hashable | None:
        """What prompts that begin alike have in common; None: this one is too short."""
        return hash(prompt[: self._chars]) if len(prompt) >= LEAST_CHARS else None


class NearRows:
    """Rows of a source, those that begin alike near each other.

    Args:
        source: where they come from.
        beginnings: how they begin.
        stage: whose calls are looked at; `observe` hears of their ends.
    """

    def __init__(self, source: RowSource, beginnings: _Beginnings, stage: StageName) -> None:
        self.total = source.total
        self._source = source
        self._beginnings = beginnings
        self._stage = stage
        self._near: Nearness[tuple[InputRow, int]] = Nearness()
        self._chars = 0
        self._read = 0
        self._is_looking = True
        self._trouble: Exception | None = None

    async def take(self) -> tuple[int, InputRow] | None:
        """The next row to be sent, and its place in the input; None at the end."""
        if self._is_looking:
            await self._look_ahead()
        if not self._near:
            if self._trouble is not None:
                raise self._trouble
            return await self._source.take()
        index, (row, chars) = self._near.take()
        self._chars -= chars
        return index, row

    def observe(self, event: Event) -> None:
        """Hear which rows' calls are over."""
        if type(event) is StageFinished and event.stage == self._stage:
            self._near.came_back(event.row_index)

    async def _look_ahead(self) -> None:
        if self._read == 0:
            self._beginnings.learn(await self._source.look(_FIRST_ROWS))
        wanted = _ROWS_A_TIME if self._read else _FIRST_ROWS
        while wanted and len(self._near) < ROWS_AHEAD_MAX and self._chars < CHARS_AHEAD_MAX:
            if not (self._source.can_look_ahead or self._source.ready or not self._near):
                return
            try:
                item = await self._source.take()
            except Exception as error:  # noqa: BLE001 - raised when the rows before it are taken
                self._trouble, self._is_looking = error, False
                return
            if item is None:
                return
            self._put(*item)
            wanted -= 1
        self._is_looking = self._read < ROWS_AHEAD_MAX or self._near.joined > 0

    def _put(self, index: int, row: InputRow) -> None:
        prompt = self._beginnings.of(row)
        key = self._beginnings.key(prompt)
        self._near.put(("alone", index) if key is None else key, index, (row, len(prompt)))
        self._chars += len(prompt)
        self._read += 1


def _common_chars(prompts: Sequence[str]) -> int:
    """How long a beginning all of them have: that of the two that sort farthest apart."""
    first, last = min(prompts, default=""), max(prompts, default="")
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(last)))


def _text(prompt: PromptText) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt)
