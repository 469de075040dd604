"""`doctor` and Inference Endpoints: each state that the simulated hub can tell, and its remedy."""

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.testing import HubEndpoint

TOKEN = "hf_canary_of_the_doctor"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path) -> None:
    """An empty directory, and a token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def ask(serve_hub):
    """Asks the doctor for the endpoint me/mine: exit code, the line about it, the one after it."""

    def examined(*endpoints: HubEndpoint, require_key: str = TOKEN) -> tuple[int, str, str]:
        hub = serve_hub(endpoints=endpoints, require_key=require_key)
        result = CliRunner().invoke(app, ["doctor", "-m", "endpoint:me/mine"])
        assert "canary" not in result.output
        assert hub.ledger.paid == 0
        lines = [*result.stdout.splitlines(), ""]
        (place,) = (at for at, line in enumerate(lines) if "me/mine" in line)
        return result.exit_code, lines[place], lines[place + 1].strip()

    return examined


STATES = {
    "running": ("ok    server", ""),
    "paused": ("note  server", "-> nothing to do: a run starts it and waits"),
    "scaledToZero": ("note  server", "-> nothing to do: a run starts it and waits"),
    "failed": ("wrong server", "-> look at its log on the hub"),
}


@pytest.mark.parametrize("state", STATES)
def test_the_doctor_says_what_a_state_means(ask, state):
    """Each state is told with what there is to do, and only a failed endpoint is wrong."""
    begins, remedy = STATES[state]
    code, line, after = ask(HubEndpoint("mine", namespace="me", state=state))
    assert line.startswith(begins)
    assert line.endswith(f"the endpoint me/mine is {state}")
    assert after.startswith(remedy)
    assert bool(after) is bool(remedy)
    assert code == (state == "failed")


@pytest.mark.parametrize("state", ["initializing", "pending"])
def test_an_endpoint_that_starts_is_well(ask, state):
    """An endpoint that is coming up keeps no run from working: it is waited for."""
    starting = HubEndpoint("mine", namespace="me", state=state, polls_to_run=100)
    code, line, after = ask(starting)
    assert (code, line[:12]) == (0, "note  server")
    assert after == "-> nothing to do: a run waits until it is up"


@pytest.mark.parametrize("others", [(), (HubEndpoint("mine", namespace="you"),)])
def test_an_endpoint_that_is_not_there_is_wrong(ask, others):
    """An endpoint that the hub does not know, or not in that namespace, is told as a wrong name."""
    code, line, after = ask(*others)
    assert (code, line[:11]) == (1, "wrong model")
    assert "there is no endpoint me/mine, or HF_TOKEN may not see it" in line
    assert after.endswith("-m endpoint:NAMESPACE/NAME")


def test_a_token_that_the_hub_refuses_is_wrong(ask):
    """A wrong token is told as a matter of the key, with the variable to set."""
    code, line, after = ask(HubEndpoint("mine", namespace="me"), require_key="hf_another")
    assert (code, line[:9]) == (1, "wrong key")
    assert "(status 401)" in line
    assert after.startswith("-> set HF_TOKEN to a token")


def test_a_hub_that_is_in_trouble_is_told(monkeypatch):
    """A hub that cannot be reached is no wrong name: it is said that the hub does not tell."""
    monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", "http://127.0.0.1:1/v2")
    result = CliRunner().invoke(app, ["doctor", "-m", "endpoint:me/mine"])
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if "me/mine" in line)
    assert line.startswith("wrong server    the hub does not tell of me/mine: ConnectError")
