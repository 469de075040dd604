"""Tasks that have a model write a text."""

from distilabel.tasks.text_generation.base import TextGenerationTask
from distilabel.tasks.text_generation.principles import PRINCIPLES

__all__ = ["PRINCIPLES", "TextGenerationTask"]
