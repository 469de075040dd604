"""What every test has in common."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))
SECOND_SENTENCE = re.compile(r"[.!?]\s+[A-Z]")
NOT_YET = {"test_a_200_that_was_cut_is_paid_but_not_delivered_and_its_retry_not_repeated"}
"""Tests that take two sentences still."""


def functions_of(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions and methods of a file."""
    return [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


every_test_file = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(TESTS)))


@every_test_file
def test_a_test_says_what_holds(file):
    """Every test has a docstring of one sentence."""
    wrong = {}
    for test in functions_of(file):
        sentence = ast.get_docstring(test) or ""
        if not sentence.endswith(".") or "\n\n" in sentence or SECOND_SENTENCE.search(sentence):
            wrong[test.name] = sentence
    assert wrong.keys() <= NOT_YET


@every_test_file
def test_no_test_sleeps(file):
    """No test waits for the wall clock, except between two looks at a state that it waits for."""
    tree = ast.parse(file.read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.While)]
    polls = {id(node) for loop in loops for node in ast.walk(loop)}
    sleeps = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
        if id(node) not in polls
    ]
    assert sleeps == []


def test_file_names_differ():
    """No two test files have one name, which pytest would take for one module."""
    names = [file.name for file in FILES]
    assert sorted(set(names)) == sorted(names)
