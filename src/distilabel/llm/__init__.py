"""Backends: what to say to each kind of server, and how to read its reply.

`base` is the `LLM` that backends derive from; `openai` and `huggingface` are those built in, and
`http` is what they share. From a row to an attempt, each layer wraps the next:

- `texts` splits a row's generations into calls, and asks for what is missing.
- `asking` makes one call: retry around limit around attempt.
- `purse` has each attempt paid for, if there is a ceiling.
- `gate` lets it through: permits, pauses, probes and rates. `control` is what all objects that
  call one backend have found out about it, and `stalls` and `files` what this process has to spare.
- `flight` knows what is under way in one run, so that it can be stopped.
- Then the bytes are read: `replies` those of a 200, `failures` all others, and `returned` what a
  backend of one's own brings.
"""

from distilabel.llm.base import LLM, Call
from distilabel.llm.huggingface.inference_endpoints import InferenceEndpointsLLM
from distilabel.llm.openai import OpenAILLM
from distilabel.types import LLMOutput, Price, Reply

__all__ = ["LLM", "Call", "InferenceEndpointsLLM", "LLMOutput", "OpenAILLM", "Price", "Reply"]
