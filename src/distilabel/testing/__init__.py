"""Fakes for testing what talks to language models: nothing here leaves the machine.

- `SimulatedEndpoint`: a provider on loopback that speaks OpenAI's API, TGI's, and the hub's for
  Inference Endpoints, with seeded latency, limited capacity, scripted faults, and a ledger of what
  was asked, answered and paid.
- `ScriptedLLM`: an `LLM` that answers from a script, without any server.
- `VirtualClock`: an event loop on which an hour of sleeping takes no time.
- `serve`: a simulated endpoint from the command line.

    from distilabel.testing import Faults, Latency, SimulatedEndpoint, Slots, Status

    with SimulatedEndpoint(
        latency=Latency.lognormal(median_s=0.5, sigma=0.6, seed=7),
        capacity=Slots(8),
        script=Faults.on_attempt(1, Status(500)),
    ) as endpoint:
        ...  # give endpoint.openai_url to a client
        print(endpoint.ledger.paid, endpoint.ledger.repeated)

Everything is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilabel.testing.capacity import Slots, TokenBucket
    from distilabel.testing.endpoint import SimulatedEndpoint
    from distilabel.testing.faults import (
        Delay,
        Drip,
        Fault,
        Faults,
        Hangup,
        Html,
        Huge,
        MalformedJson,
        NeverAnswers,
        Reset,
        Script,
        Status,
        Truncated,
    )
    from distilabel.testing.hub_api import HubEndpoint
    from distilabel.testing.latency import Latency
    from distilabel.testing.ledger import Ledger, LedgerEntry, LedgerReport
    from distilabel.testing.process import EndpointProcess
    from distilabel.testing.prompt_cache import PromptCache, PromptCacheStatistics
    from distilabel.testing.request import Completion, SimRequest
    from distilabel.testing.scripted import ScriptedLLM
    from distilabel.testing.serving import ServeOptions, serve
    from distilabel.testing.virtual_clock import VirtualClock, VirtualClockLoop

__all__ = [
    "Completion",
    "Delay",
    "Drip",
    "EndpointProcess",
    "Fault",
    "Faults",
    "Hangup",
    "Html",
    "HubEndpoint",
    "Huge",
    "Latency",
    "Ledger",
    "LedgerEntry",
    "LedgerReport",
    "MalformedJson",
    "NeverAnswers",
    "PromptCache",
    "PromptCacheStatistics",
    "Reset",
    "Script",
    "ScriptedLLM",
    "ServeOptions",
    "SimRequest",
    "SimulatedEndpoint",
    "Slots",
    "Status",
    "TokenBucket",
    "Truncated",
    "VirtualClock",
    "VirtualClockLoop",
    "serve",
]

_HOMES = {
    "Completion": "request",
    "Delay": "faults",
    "Drip": "faults",
    "EndpointProcess": "process",
    "Fault": "faults",
    "Faults": "faults",
    "Hangup": "faults",
    "Html": "faults",
    "HubEndpoint": "hub_api",
    "Huge": "faults",
    "Latency": "latency",
    "Ledger": "ledger",
    "LedgerEntry": "ledger",
    "LedgerReport": "ledger",
    "MalformedJson": "faults",
    "NeverAnswers": "faults",
    "PromptCache": "prompt_cache",
    "PromptCacheStatistics": "prompt_cache",
    "Reset": "faults",
    "Script": "faults",
    "ScriptedLLM": "scripted",
    "ServeOptions": "serving",
    "SimRequest": "request",
    "SimulatedEndpoint": "endpoint",
    "Slots": "capacity",
    "Status": "faults",
    "TokenBucket": "capacity",
    "Truncated": "faults",
    "VirtualClock": "virtual_clock",
    "VirtualClockLoop": "virtual_clock",
    "serve": "serving",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home, on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
