"""`triptych agents`, and how commands find the agent that is meant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from tests.support.up import run
from triptych.agent.v1.agent_pb2 import Agent


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    listen = {"TRIPTYCH_GATEWAY_GRPC_LISTEN": "127.0.0.1:0"}
    async with opened(tmp_path, capsys, model_url=model.url, more=listen) as made:
        yield made


@pytest.fixture
async def agent(door: Door) -> Agent:
    async with door.client() as client:
        made = await client.agents.create("ann", blocks={"human": "Name: Ann."})
        await client.turns.send(made.id, "I like quinces.")
        return made


async def _ran(door: Door, *arguments: str) -> CompletedProcess[str]:
    environ = {"TRIPTYCH_ADDRESS": door.address, "TRIPTYCH_API_KEY": FIRST_KEY}
    return await asyncio.to_thread(run, *arguments, environ=environ)


async def test_an_agent_goes_out_as_a_file_and_comes_in_again(door: Door, agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "ann.af"
    out = await _ran(door, "agents", "export", "ann", str(file))
    assert out.returncode == 0, out.stderr
    assert json.loads(file.read_text())["agents"][0]["name"] == "ann"
    made = await _ran(door, "agents", "import", str(file), "--name", "ben")
    async with door.client() as client:
        ben = await client.agents.get(made.stdout.strip())
        assert (ben.name, ben.blocks[0].value) == ("ben", "Name: Ann.")
        assert await client.recall.count(ben.id) == 2


async def test_a_name_is_as_good_as_an_id_unless_several_have_it(door: Door, agent: Agent) -> None:
    for given in ("ann", agent.id):
        shown = await _ran(door, "blocks", "list", given)
        assert shown.stdout.split()[0] == agent.blocks[0].id
    missing = await _ran(door, "context", "nobody")
    assert (missing.returncode, "no agent nobody" in missing.stderr) == (1, True)
    async with door.client() as client:
        await client.agents.create("ann")
    several = await _ran(door, "agents", "delete", "ann", "--yes")
    assert "2 of your agents are called ann" in several.stderr
    assert (await _ran(door, "agents", "delete", agent.id, "--yes")).stdout.strip() == f"deleted {agent.id}"


async def test_a_file_that_is_not_there_or_can_not_be_written_is_one_line(door: Door, agent: Agent) -> None:
    for arguments in (("import", "/nowhere/ann.af"), ("export", agent.id, "/nowhere/ann.af")):
        ended = await _ran(door, "agents", *arguments)
        assert (ended.returncode, ended.stderr) == (1, "triptych: /nowhere/ann.af: No such file or directory\n")
