"""A run whose disk fails it, told on standard output as JSON.

Arguments: the run directory, how many rows, the largest file in bytes (0: any).
"""

import json
import resource
import sys

from distilabel.errors import DistilabelError
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM

PERMITS = 4


def run_of(rows: int) -> tuple[Pipeline, ScriptedLLM, list[dict[str, str]]]:
    """What is run, over what; texts differ from call to call."""
    made = iter(range(1_000_000))
    llm = ScriptedLLM(
        TextGenerationTask(), lambda call: f"{next(made)} " + "x" * 3_000, num_threads=PERMITS
    )
    return Pipeline(llm), llm, [{"input": f"row {number}"} for number in range(rows)]


def main(directory: str, rows: str, bytes_max: str) -> None:
    """Run until something fails, and say what was handed out before."""
    if int(bytes_max):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_max), resource.RLIM_INFINITY))
    pipe, llm, source = run_of(int(rows))
    told = {"acked": {}, "error": "", "message": "", "path": ""}
    try:
        with pipe.iterate(source, checkpoint_dir=directory, verbose=False) as results:
            for row in results:
                told["acked"][row.index] = row["generations"][0]
    except DistilabelError as error:
        path = str(getattr(error, "path", ""))
        told |= {"error": type(error).__name__, "message": str(error), "path": path}
    told["calls"] = len(llm.calls)
    print(json.dumps(told))  # noqa: T201 - that is how it tells


if __name__ == "__main__":
    main(*sys.argv[1:])
