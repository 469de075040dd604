"""A run with a ceiling, to be killed: `killed_child.py URL DIRECTORY MAX_COST ROWS`."""

import sys

from bill import MAX_NEW_TOKENS, PRICES, Picky

from distilabel.errors import BudgetExceededError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline

if __name__ == "__main__":
    url, directory, max_cost, count = sys.argv[1:]
    llm = OpenAILLM(
        Picky(),
        "writer",
        base_url=url,
        max_new_tokens=MAX_NEW_TOKENS,
        price=PRICES["writer"],
        num_threads=32,
        adaptive=False,
    )
    rows = [{"input": f"Row {k}. " + "word " * (k % 50)} for k in range(int(count))]
    try:
        Pipeline(llm).generate(
            rows, max_cost=float(max_cost), checkpoint_dir=directory, verbose=False
        )
    except BudgetExceededError:
        sys.exit(3)
