"""What an import costs, and where the public names are."""

import importlib
import subprocess
import sys

import pytest
from import_paths import HEAVY, IMPORT_PATHS, loaded_by

IMPORT_MAX_S = 0.150
TRIES = 5


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in IMPORT_PATHS.items() for name in names]
)
def test_a_public_name_is_where_it_is_promised(module, name):
    """Every public name can be imported from each path that the contract names."""
    assert hasattr(importlib.import_module(module), name)


def test_a_public_name_is_one_object():
    """A name that can be imported from several paths is the same object on all of them."""
    found = {}
    for module, names in IMPORT_PATHS.items():
        for name in names:
            found.setdefault(name, set()).add(id(getattr(importlib.import_module(module), name)))
    assert {name: len(ids) for name, ids in found.items() if len(ids) > 1} == {}


def test_import_is_light():
    """`import distilabel` takes under 150 ms, taking the best of a few tries on a noisy machine."""
    code = "import time; t = time.perf_counter(); import distilabel; print(time.perf_counter() - t)"
    tries = (
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(TRIES)
    )
    assert min(tries) < IMPORT_MAX_S


def test_import_loads_nothing_of_others():
    """`import distilabel` loads no package that a bare interpreter does not load by itself."""
    foreign = loaded_by("import distilabel") - loaded_by("pass") - sys.stdlib_module_names
    assert foreign == {"distilabel"}


def test_rooms_load_no_sdk():
    """Importing the rooms that users import from loads none of the packages that are slow to."""
    statement = "import distilabel.pipeline, distilabel.llm, distilabel.tasks, distilabel.dataset"
    assert not loaded_by(statement) & set(HEAVY)


def test_testing_loads_no_backend():
    """The simulated endpoint can be imported without the packages that are slow to import."""
    assert not loaded_by("from distilabel.testing import SimulatedEndpoint") & set(HEAVY)
