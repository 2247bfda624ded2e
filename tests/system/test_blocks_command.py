"""`triptych blocks` as a user runs it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


async def run(door: Door, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `python ARGUMENTS`."""
    environ = os.environ | {"TRIPTYCH_ADDRESS": door.address, "TRIPTYCH_API_KEY": FIRST_KEY}
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environ, stdout=pipe, stderr=pipe)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), errors.decode()


async def test_the_history_of_a_block_is_shown_and_an_edit_undone(door: Door) -> None:
    async def blocks(*arguments: str) -> str:
        code, out, errors = await run(door, "-m", "triptych.cli", "blocks", *arguments)
        assert code == 0, errors
        return out

    async with door.client() as client:
        agent = await client.agents.create("ann", blocks={"human": "Name: Ann.\nLives in Oslo."})
        block = agent.blocks[0]
        block.value = "Name: Ann.\nLives in Lisbon."
        await client.blocks.update(block, "value")
        assert (await blocks("list", agent.id)).split() == [block.id, "2", "human"]
        assert [line.split()[0] for line in (await blocks("history", block.id)).splitlines()] == ["2", "1"]
        assert {"-Lives in Oslo.", "+Lives in Lisbon."} <= set((await blocks("diff", block.id)).splitlines())
        assert await blocks("undo", block.id, "2") == "undone by revision 3\n"
        assert "user, undoes 2" in await blocks("history", block.id)
        assert (await client.agents.get(agent.id)).blocks[0].value == "Name: Ann.\nLives in Oslo."
        code, _, errors = await run(door, "-m", "triptych.cli", "blocks", "history", "block-0")
        assert code != 0
        assert "block-0" in errors
        assert "Traceback" not in errors
