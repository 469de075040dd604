"""Backends: what to say to each kind of server, and how to read its reply."""

from distilabel.llm.base import LLM, Call
from distilabel.llm.huggingface.inference_endpoints import InferenceEndpointsLLM
from distilabel.llm.openai import OpenAILLM
from distilabel.types import LLMOutput, Price, Reply

__all__ = ["LLM", "Call", "InferenceEndpointsLLM", "LLMOutput", "OpenAILLM", "Price", "Reply"]
