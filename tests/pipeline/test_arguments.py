"""The methods of `Pipeline` spell their arguments out, each of them: this holds them together."""

import inspect
from dataclasses import fields

import pytest

from distilabel.pipeline import Pipeline
from distilabel.pipeline.settings import RunSettings

NO_SETTINGS = {"self", "dataset", "on_event", "sample"}
SETTINGS = {field.name: field.default for field in fields(RunSettings)}


def arguments(name):
    """The arguments of a method, as they are written down."""
    return list(inspect.signature(getattr(Pipeline, name)).parameters.values())


@pytest.mark.parametrize(
    ("name", "twin"),
    [("generate", "agenerate"), ("stream", "iterate"), ("estimate", "aestimate")],
)
def test_sync_and_async_take_the_same(name, twin):
    """A method and its twin take the same arguments, in the same order."""
    assert arguments(name) == arguments(twin)


def test_a_stream_takes_what_generate_takes_and_the_order():
    """`stream` has one argument that `generate` has no use for, and it is the last."""
    assert [argument.name for argument in arguments("stream")[-1:]] == ["ordered"]
    assert arguments("stream")[:-1] == arguments("generate")


def test_an_estimate_takes_nothing_of_its_own_but_the_sample():
    """What `estimate` takes, `generate` takes by the same name, of the same type."""
    known = {argument.name: argument.annotation for argument in arguments("generate")}
    taken = {argument.name: argument.annotation for argument in arguments("estimate")}
    assert taken.pop("sample") == "int"
    assert taken.items() <= known.items()


@pytest.mark.parametrize("name", ["generate", "stream", "estimate"])
def test_arguments_have_the_defaults_of_the_settings(name):
    """An argument that is left out means what the setting means that is not said."""
    given = {a.name: a.default for a in arguments(name) if a.name not in NO_SETTINGS}
    assert given.items() <= SETTINGS.items()


def test_every_setting_can_be_said():
    """There is no setting that `stream` does not take."""
    assert SETTINGS.keys() <= {argument.name for argument in arguments("stream")}
