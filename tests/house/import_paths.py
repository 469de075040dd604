"""Where public names must be found.

Tests read the table. As a program, this is the smoke test of an installed package: it needs nothing
but the package itself.
"""

import importlib
import subprocess
import sys

IMPORT_PATHS = {
    "distilabel": ("__version__",),
    "distilabel.pipeline": ("Pipeline", "pipeline"),
    "distilabel.llm": ("LLM", "OpenAILLM", "InferenceEndpointsLLM"),
    "distilabel.llm.base": ("LLM",),
    "distilabel.llm.openai": ("OpenAILLM",),
    "distilabel.llm.huggingface.inference_endpoints": ("InferenceEndpointsLLM",),
    "distilabel.tasks": ("TextGenerationTask", "UltraFeedbackTask"),
    "distilabel.tasks.text_generation.base": ("TextGenerationTask",),
    "distilabel.tasks.preference.ultrafeedback": ("UltraFeedbackTask",),
    "distilabel.tasks.prompt": ("Prompt",),
    "distilabel.dataset": ("CustomDataset",),
    "distilabel.argilla": ("log_to_argilla",),
    "distilabel.cli": ("main",),
    "distilabel.testing": ("SimulatedEndpoint", "ScriptedLLM", "VirtualClock"),
}

HEAVY = ("datasets", "openai", "huggingface_hub", "argilla")
"""Imported where they are used, and not before."""


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a Python of its own."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def main() -> None:
    """Import every public path, and see that a plain import stays light."""
    for module, names in IMPORT_PATHS.items():
        for name in names:
            getattr(importlib.import_module(module), name)
    heavy = loaded_by("import distilabel.pipeline, distilabel.llm, distilabel.tasks") & set(HEAVY)
    if heavy:
        raise SystemExit(f"imported too early: {', '.join(sorted(heavy))}")
    where = importlib.import_module("distilabel").__file__
    print(f"{sum(map(len, IMPORT_PATHS.values()))} public paths of {where} can be imported")  # noqa: T201


if __name__ == "__main__":
    main()
