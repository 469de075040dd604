"""What a run leaves behind: finished rows, folded into a data set that knows where it came from.

Importing this package is light. `CustomDataset` is a `datasets.Dataset`, and `datasets` is slow to
import: it is loaded when the class is first asked for.

- Rows become a data set: `schema` declares the columns, `assembler` folds rows into them, `columns`
  holds them meanwhile, `kinds` tells before a call is paid for whether they can be stored.
- The data set: `custom`, which keeps where it came from (`with_origin`, `origin`).
- To trainers: `exports`; `choosing` and `training` decide what is trained on, and `messages` builds
  its conversations.
- To the hub: `hub`; `card` writes what `figures` counts, as `markdown` lets it stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["CustomDataset", "prepare_dataset"]

if TYPE_CHECKING:
    from distilabel.dataset.custom import CustomDataset
    from distilabel.dataset.exports import prepare_dataset
else:

    def __getattr__(name: str) -> object:
        if name == "prepare_dataset":
            from distilabel.dataset.exports import prepare_dataset

            return prepare_dataset
        if name == "CustomDataset":
            from distilabel.dataset.custom import CustomDataset

            return CustomDataset
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
