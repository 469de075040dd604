"""The simulation of `benchmarks/adaptive.py`, for tests: what it prints is what they check."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "adaptive.py"


@pytest.fixture(scope="session")
def simulation() -> ModuleType:
    """`benchmarks/adaptive.py` as a module."""
    spec = importlib.util.spec_from_file_location("adaptive_simulation", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
