"""What a run will do, decided and checked before anything is spent. Pure.

Rules:

- Each column that a task reads is in the data set, or made by the stage before.
- No column of the user's is overwritten; only the labeller's inputs may come with the data set.
- The types of what is added are declared: the first row's prompt says whether prompts are texts or
  chats, and without a row the task and the prompt format do.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilabel.dataset.schema import ResultSchema, StageColumns
from distilabel.errors import ColumnError, ConfigurationError
from distilabel.naming import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distilabel.llm.base import LLM
    from distilabel.tasks.base import Task
    from distilabel.types import InputRow, StageName

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a run with the columns that they add."""

    generator: LLM | None
    labeller: LLM | None
    generator_columns: StageColumns | None
    labeller_columns: StageColumns | None
    include_metadata: bool = False

    @property
    def stages(self) -> tuple[tuple[StageName, LLM], ...]:
        """The stages that there are, in order."""
        both: tuple[tuple[StageName, LLM | None], ...] = (
            ("generator", self.generator),
            ("labeller", self.labeller),
        )
        return tuple((name, llm) for name, llm in both if llm is not None)

    @property
    def task(self) -> Task:
        """The task of the last stage: what the result is about."""
        return self.stages[-1][1].task

    @property
    def schema(self) -> ResultSchema:
        """All columns that are added."""
        columns = (self.generator_columns, self.labeller_columns)
        stages = tuple(stage for stage in columns if stage is not None)
        return ResultSchema(stages, has_call_metadata=self.include_metadata)

    @property
    def user_columns_read(self) -> tuple[str, ...]:
        """Columns that must come with the data set."""
        return user_columns_read(self.generator, self.labeller)


def user_columns_read(generator: LLM | None, labeller: LLM | None) -> tuple[str, ...]:
    """The columns that the tasks read and no stage makes."""
    made = generator.task.output_columns if generator else {}
    read = [*generator.task.input_columns] if generator else []
    if labeller is not None:
        read += [name for name in labeller.task.input_columns if name not in made]
    return tuple(dict.fromkeys(read))


def make_plan(
    generator: LLM | None,
    labeller: LLM | None,
    *,
    columns: Sequence[str] | None,
    first_row: InputRow | None,
    include_metadata: bool = False,
) -> Plan:
    """Check the columns and declare what is added.

    Args:
        generator: writes, if there is one.
        labeller: rates, if there is one.
        columns: the data set's; None if there is no row to tell.
        first_row: a row to see how prompts come out; None if there is none.
        include_metadata: add the column that says where values come from.

    Raises:
        ConfigurationError: a column's name is no text.
        ColumnError: a column is missing, or would be overwritten.
    """
    plan = Plan(
        generator,
        labeller,
        _declare("generator", generator, first_row, {}),
        _declare("labeller", labeller, first_row, _example(generator)),
        include_metadata,
    )
    if columns is not None:
        _check_named(columns)
        _check_present(plan, columns)
        _check_free(plan, columns)
    return plan


def _declare(
    stage: StageName, llm: LLM | None, row: InputRow | None, example: Mapping[str, Any]
) -> StageColumns | None:
    if llm is None:
        return None
    return StageColumns(stage, _sends_chats(llm, row, example), llm.task.output_columns)


def _example(generator: LLM | None) -> dict[str, Any]:
    """Stand-ins for what the generator will have made, to see how the labeller's prompt looks."""
    return {name: ["…"] for name in generator.task.output_columns} if generator else {}


def _sends_chats(llm: LLM, row: InputRow | None, example: Mapping[str, Any]) -> bool:
    known = {**(row or {}), **example}
    try:
        return not isinstance(llm.render({k: known[k] for k in llm.task.input_columns}), str)
    except Exception:  # noqa: BLE001 - the row's own trouble, reported when its turn comes
        return _would_send_chats(llm)


def _would_send_chats(llm: LLM) -> bool:
    returns = inspect.signature(llm.task.generate_prompt).return_annotation
    if returns in {str, "str"}:
        return False
    return (llm.prompt_format or llm.default_prompt_format) == "openai"


def _check_named(columns: Sequence[object]) -> None:
    for name in columns:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"the data set has a column named {name!r}, which is a {type(name).__name__}, and "
                f"names of columns are texts. Name it {str(name)!r}, or leave it out."
            )


def _check_present(plan: Plan, columns: Sequence[str]) -> None:
    for name in plan.user_columns_read:
        if name not in columns:
            raise ColumnError(
                f"the data set has no column {name!r}, which {type(plan.task).__name__} or the "
                f"generator's task reads. It has: {', '.join(map(repr, columns)) or 'none'}. "
                "Rename one" + named("renaming", python=f": dataset.rename_column('…', {name!r})."),
                column=name,
                available=columns,
            )


def _check_free(plan: Plan, columns: Sequence[str]) -> None:
    for name in plan.schema.names:
        if name in columns:
            raise ColumnError(
                f"the data set has a column {name!r} already, and the run would overwrite it. "
                "Rename or remove it"
                + named("renaming", python=f": dataset.remove_columns({name!r})."),
                column=name,
                available=columns,
            )
