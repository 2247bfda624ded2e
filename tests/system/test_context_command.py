"""`triptych context` as a user runs it, and the SDK's methods about steps and windows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.scripted_model import MODEL, ScriptedModel
from tests.support.up import run, up
from triptych import Triptych


def test_the_window_is_shown_as_a_bar_and_a_step_with_its_request(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url, "--model", MODEL) as system:
        environ = {
            "TRIPTYCH_ADDRESS": system.ready["grpc_address"],
            "TRIPTYCH_API_KEY": system.ready["api_key"],
        }
        with Triptych(environ["TRIPTYCH_ADDRESS"], environ["TRIPTYCH_API_KEY"]) as client:
            agent = client.agents.create("ann", blocks={"human": "Name: Ann."})
            none = run("context", agent.id, "--step", "last", environ=environ)
            assert (none.returncode, "no steps yet" in none.stderr) == (2, True)
            client.turns.send(agent.id, "hello")
            client.turns.send(agent.id, "hello again")

            now = run("context", agent.id, environ=environ)
            assert now.returncode == 0, now.stderr
            assert "█" in now.stdout
            assert "core memory" in now.stdout
            assert "4 messages in recall, 0 passages" in now.stdout

            last = run("context", agent.id, "--step", "last", environ=environ)
            assert f"{MODEL}, ended by stop" in last.stdout, last.stderr
            request = run("context", agent.id, "--step", "last", "--request", environ=environ)
            assert json.loads(request.stdout) == model.requests[-1]

            steps = list(client.steps.list(agent_id=agent.id))
            assert client.steps.get(steps[0].id) == steps[0]
            assert client.steps.context(steps[1].id).request_json.encode() == model.bodies[0]
            assert client.agents.compact(agent.id, everything=True).evicted_messages == 4
            assert client.agents.context(agent.id).summary == model.summary
            assert client.agents.reset(agent.id).summary == ""
