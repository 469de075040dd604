"""What every module of the package has in common."""

import ast
import importlib
import importlib.util
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FILES = sorted((SOURCE / "distilabel").rglob("*.py"))
LINES_MAX = 450
PORTAL_LINES_MAX = 150
MAPPED_ROOMS = ("argilla", "dataset", "journal", "limits", "llm", "pipeline", "transport")
"""Rooms of more than half a dozen modules: nobody sees from the folder how these hang together."""

BANNED_MODULES = frozenset(
    {"cloudpickle", "dill", "marshal", "nest_asyncio", "pickle", "requests", "shelve"}
)
BANNED_CALLS = frozenset(
    {
        "asyncio.create_task",
        "asyncio.ensure_future",
        "asyncio.gather",
        "compile",
        "eval",
        "exec",
        "os.system",
    }
)


def module_name(file: Path) -> str:
    """The dotted name of a file of the package."""
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    """The room that a module is in."""
    return module.split(".")[1] if "." in module else module


def is_module(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return False


def id_of(file: Path) -> str:
    """How a file is called in pytest's report."""
    return str(file.relative_to(SOURCE / "distilabel"))


every_file = pytest.mark.parametrize("file", FILES, ids=id_of)
every_public_file = pytest.mark.parametrize(
    "file",
    [f for f in FILES if not f.stem.startswith("_") or f.stem == "__init__"],
    ids=id_of,
)


@every_public_file
def test_all_is_true(file):
    """`__all__` names what is there, each name once."""
    module = importlib.import_module(module_name(file))
    names = list(module.__all__)
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []


@every_file
def test_rooms_use_what_others_offer(file):
    """What a module imports from another room is in that module's `__all__`."""
    taken = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distilabel.")
        if room(node.module) != room(module_name(file))
        for alias in node.names
    }
    hidden = {
        (module, name)
        for module, name in taken
        if name not in importlib.import_module(module).__all__
        if not is_module(f"{module}.{name}")
    }
    assert hidden == set()


@every_public_file
def test_public_names_are_documented(file):
    """Every public module, class, function and method says what it is."""
    module = importlib.import_module(module_name(file))
    undocumented = [] if module.__doc__ else [module.__name__]
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        members = {name: value}
        if inspect.isclass(value) and value.__module__.startswith("distilabel"):
            members |= {
                f"{name}.{key}": member
                for key, member in vars(value).items()
                if not key.startswith("_") and inspect.isfunction(member)
            }
        undocumented += [key for key, member in members.items() if not inspect.getdoc(member)]
    assert undocumented == []


@pytest.mark.parametrize("name", MAPPED_ROOMS)
def test_a_room_says_at_its_door_what_is_inside(name):
    """The docstring of a large room names each of its modules, so that none is a surprise."""
    folder = SOURCE / "distilabel" / name
    inside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    door = inspect.getdoc(importlib.import_module(f"distilabel.{name}")) or ""
    unnamed = {module for module in inside if f"`{module}`" not in door}
    assert unnamed - {"__init__", "__pycache__"} == set()


@every_file
def test_a_module_is_short(file):
    """No module outgrows the room that it is in."""
    assert len(file.read_text().splitlines()) <= LINES_MAX


@every_file
def test_nothing_banned_is_used(file):
    """No module unpickles, evaluates, nests the loop, or starts a task in no group."""
    tree = ast.parse(file.read_text())
    used = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                used |= {alias.name.split(".")[0] for alias in names} & BANNED_MODULES
            case ast.ImportFrom(module=str(module), level=0):
                used |= {module.split(".")[0]} & BANNED_MODULES
            case ast.Call(func=function):
                used |= {ast.unparse(function)} & BANNED_CALLS
    assert used == set()


def test_the_sync_side_is_a_portal():
    """The sync side has no logic of its own: all of it fits into one short file."""
    assert len((SOURCE / "distilabel/portal.py").read_text().splitlines()) < PORTAL_LINES_MAX
