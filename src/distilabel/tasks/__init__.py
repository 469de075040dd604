"""Tasks: how a row becomes a prompt, and how a reply becomes columns. Pure, both ways."""

from distilabel.tasks.base import Parsed, Problem, Task
from distilabel.tasks.preference import PreferenceTask, Rating, UltraFeedbackTask
from distilabel.tasks.prompt import PROMPT_FORMATS, Prompt, PromptFormat
from distilabel.tasks.saving import from_dict, to_dict
from distilabel.tasks.text_generation import PRINCIPLES, TextGenerationTask

__all__ = [
    "PRINCIPLES",
    "PROMPT_FORMATS",
    "Parsed",
    "PreferenceTask",
    "Problem",
    "Prompt",
    "PromptFormat",
    "Rating",
    "Task",
    "TextGenerationTask",
    "UltraFeedbackTask",
    "from_dict",
    "to_dict",
]
