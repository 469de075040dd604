"""The file that `distilabel init` writes: a pipeline that runs as it is."""

from __future__ import annotations

from typing import Final

__all__ = ["TEMPLATE"]

TEMPLATE: Final = """\
# A pipeline of distilabel. Look at three rows first, then make them all:
#
#   export OPENAI_API_KEY=...          # keys come from the environment, never from this file
#   distilabel preview pipeline.yaml
#   distilabel generate pipeline.yaml
#
# Options of the command line go before what stands here. Paths are those of the directory that the
# command is run in.

# Rows: a path (.jsonl, .csv, .parquet, or a directory of save_to_disk), "-" for JSON lines on
# standard input, or the rows themselves:
input:
  - input: Why is the sky blue?
  - input: What is a prime number?
  - input: How does a lock on a canal lift a ship?
# input: prompts.jsonl
# input_column: instruction     # the column that holds the prompts, if it is not "input"
# limit: 100                    # the first so many rows

# Where they go: a path (.jsonl, .csv, .parquet or a directory), or "-": JSON lines on standard
# output, each row as soon as it is finished.
output: "-"
# ordered: true                 # on standard output: in the order of the input

# The model that writes: openai:NAME, endpoint:NAMESPACE/NAME (Hugging Face Inference Endpoints), or
# http://HOST:PORT/v1#NAME for vLLM, Ollama and every other server that speaks OpenAI's API.
generator:
  model: openai:gpt-4o-mini
  max_new_tokens: 512
  temperature: 1.0
  # system_prompt: You are brief and exact.
  # num_threads: 64             # the most requests at once; without it, found out as the run goes
  # key_env: TOGETHER_API_KEY   # the variable with the key, if it is not OPENAI_API_KEY
  # price: [0.15, 0.60]         # US dollars per million tokens read and written, for max_cost;
                                # those of OpenAI's own models are known
num_generations: 2

# The model that rates. Without one, nothing is rated; without a generator, what is rated is the
# column "generations" of the input. Tasks: ultrafeedback:text-quality, :helpfulness, :truthfulness,
# :honesty, :instruction-following.
labeller:
  model: openai:gpt-4o-mini
  task: ultrafeedback:text-quality
  max_new_tokens: 512
  # price: [0.15, 0.60]

# A hard ceiling for the whole run, in US dollars. It needs the prices of both models: on a server
# other than OpenAI's, where OPENAI_BASE_URL leads to, say, set both `price` above, too.
# max_cost: 1.00
# resume: auto                  # auto: go on with an unfinished run; always; never
# checkpoint_dir: my-run        # the run's directory; else one under ./distilabel-runs
# include_metadata: true        # a column with model, tokens, seconds and cause of failure by call
# shuffle_before_labelling: true
# seed: 0
"""
