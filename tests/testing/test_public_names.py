"""The public names are there, and importing them is light."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import distilabel.testing

HEAVY = {"datasets", "openai", "huggingface_hub", "argilla", "aiohttp", "pydantic", "httpx"}


def test_every_public_name_can_be_imported():
    """Each name of __all__ is found, sorted by dir(), and others are an AttributeError."""
    code = (  # in a process of its own: what other tests have imported must not help
        "import distilabel.testing as testing\n"
        "kinds = {name: type(getattr(testing, name)).__name__ for name in testing.__all__}\n"
        "assert 'module' not in kinds.values(), kinds\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(distilabel.testing.__all__) <= set(dir(distilabel.testing))
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = distilabel.testing.nothing_here


@pytest.mark.parametrize(
    "module", [module.name for module in pkgutil.iter_modules(distilabel.testing.__path__)]
)
def test_every_module_says_what_is_public(module):
    """Each module has an __all__ whose names exist."""
    loaded = importlib.import_module(f"distilabel.testing.{module}")
    for name in loaded.__all__:
        assert hasattr(loaded, name)


def test_importing_is_light():
    """Neither the package nor the simulated endpoint loads a heavy library."""
    code = (
        "import sys, distilabel.testing\n"
        "assert 'msgspec' not in sys.modules\n"
        "distilabel.testing.SimulatedEndpoint, distilabel.testing.VirtualClock\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
