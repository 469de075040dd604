"""A small run whose program acknowledges each row that it received, under `strace`.

Arguments: the root for run directories, the durability, how many rows, a seed.
"""

import json
import os
import random
import sys
from hashlib import blake2b

from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM


def digest(generations: list[str]) -> str:
    """What a row's texts are known by."""
    return blake2b(json.dumps(generations).encode(), digest_size=8).hexdigest()


def run_of(rows: int, seed: int) -> tuple[Pipeline, list[dict[str, str]]]:
    """What is run, over what."""
    chance = random.Random(seed)

    def script(call):
        return chance.randbytes(chance.choice([50, 700, 4_000, 20_000])).hex()

    llm = ScriptedLLM(TextGenerationTask(), script, num_threads=8)
    return Pipeline(llm), [{"input": f"row {number}"} for number in range(rows)]


def main(root: str, durability: str, rows: str, seed: str) -> None:
    """Run, and write a line for each row once it was handed out."""
    os.environ["DISTILABEL_RUNS"] = root
    pipe, source = run_of(int(rows), int(seed))
    with pipe.iterate(source, durability=durability, verbose=False) as results:
        for row in results:
            os.write(1, f"ack {row.index} {digest(row['generations'])}\n".encode())
    os.write(1, b"end\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
