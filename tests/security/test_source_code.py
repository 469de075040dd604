"""What the package's own source does not do, by its syntax trees."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "distilabel"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "dbm",
    "jsonpickle",
    "code",
    "codeop",
    "pty",
    "ctypes",
    "telnetlib",
    "xml",
    "nest_asyncio",
}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.spawnl",
    "os.spawnv",
    "yaml.load",
    "yaml.unsafe_load",
    "np.load",
    "numpy.load",
    "torch.load",
    "tempfile.mktemp",
    "asyncio.create_subprocess_shell",
    "anyio.run_process",
}
MAY_START_PROCESSES = {"testing/process.py"}
MAY_TAKE_THE_PROCESS_S_PLACE = {"runs/relaunch.py"}
each_file = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))


def found(file: Path) -> list[str]:
    """What a file does that it should not, each with its line."""
    name, wrong = str(file.relative_to(SOURCE)), []
    for node in ast.walk(ast.parse(file.read_text())):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            wrong += [f"{line}: import {module}" for module in imported(node) & MODULES]
            if "subprocess" in imported(node) and name not in MAY_START_PROCESSES:
                wrong.append(f"{line}: import subprocess")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS:
                wrong.append(f"{line}: {called}()")
            if called.startswith("os.exec") and name not in MAY_TAKE_THE_PROCESS_S_PLACE:
                wrong.append(f"{line}: {called}()")
            if called.endswith("enable_load_extension"):
                wrong.append(f"{line}: {called}()")
            wrong += [
                f"{line}: {word.arg}=True"
                for word in node.keywords
                if word.arg in {"shell", "allow_pickle", "trust_remote_code"}
                and not (isinstance(word.value, ast.Constant) and word.value.value is False)
            ]
    return wrong


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The top modules that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]} if not node.level else set()
    return {alias.name.partition(".")[0] for alias in node.names}


@each_file
def test_nothing_unsafe_is_called(file):
    """No pickle, eval, exec, marshal, shelve, yaml.load, shell, or loading of code."""
    assert found(file) == []


def test_the_rig_sees_each_of_them(tmp_path, monkeypatch):
    """A file that does all of it is found out line by line."""
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    lines = [
        "import pickle, os, subprocess",
        "from marshal import loads",
        "eval('1')",
        "os.system('x')",
        "subprocess.run('x', shell=True)",
        "yaml.load(f)",
        "os.execv('x', [])",
        "np.load(f, allow_pickle=True)",
        "db.enable_load_extension(True)",
    ]
    (tmp_path / "bad.py").write_text("\n".join(lines))
    assert {int(each.partition(":")[0]) for each in found(tmp_path / "bad.py")} == {*range(1, 10)}
