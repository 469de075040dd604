"""Backends on Hugging Face."""

from distilabel.llm.huggingface.inference_endpoints import InferenceEndpointsLLM

__all__ = ["InferenceEndpointsLLM"]
