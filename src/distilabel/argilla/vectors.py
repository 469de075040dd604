"""Vectors of records, by which people find what is alike: a model's, or of one's own function."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from distilabel.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Vectors", "embedder"]

Vectors: TypeAlias = "str | Callable[[list[str]], Sequence[Sequence[float]]]"
"""A model of `sentence-transformers`, by name; or a function that gives a vector for each text."""


def embedder(vectors: Vectors) -> Callable[[list[str]], list[list[float]]]:
    """What gives each of some texts its vector.

    Raises:
        MissingDependencyError: a model is named, and `sentence-transformers` is not installed.
    """
    encode: Callable[[list[str]], Any] = _model(vectors) if isinstance(vectors, str) else vectors

    def checked(texts: list[str]) -> list[list[float]]:
        found = [[float(x) for x in vector] for vector in encode(texts)]
        lengths = {len(vector) for vector in found}
        if len(found) != len(texts) or len(lengths) > 1 or lengths == {0}:
            raise ConfigurationError(
                f"vectors= gave {len(found)} vectors of the lengths {sorted(lengths)} for "
                f"{len(texts)} texts. It must give one for each, all of one length."
            )
        if not all(math.isfinite(x) for vector in found for x in vector):
            raise ConfigurationError("vectors= gave numbers that are not finite. Correct it.")
        return found

    return checked


def _model(name: str) -> Callable[[list[str]], Any]:
    try:
        package: Any = import_module("sentence_transformers")  # seconds
    except ImportError as error:
        raise MissingDependencyError(
            "sentence-transformers", needed_for="vectors= by name", extra="vectors"
        ) from error
    encode: Callable[[list[str]], Any] = package.SentenceTransformer(name).encode
    return encode
