"""A tokenizer for places without internet: tiktoken fetches its vocabularies at first use.

Clients that count tokens get an encoding of bytes, made here. It does less work than a real one,
so what they cost is not overstated.
"""

from __future__ import annotations

import tiktoken

__all__ = ["use_local_tokenizer"]


def use_local_tokenizer() -> None:
    """Have `tiktoken.get_encoding` answer without the network."""
    encoding = tiktoken.Encoding(
        "bytes",
        pat_str=r"\w+|\s+|[^\w\s]+",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={},
    )
    tiktoken.get_encoding = lambda _name: encoding
