"""Every program in examples/ against a live system with the scripted model."""

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

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


async def run(door: Door, name: str, *arguments: str, stdin: str = "") -> list[str]:
    """What it printed, line by line."""
    environ = os.environ | {"TRIPTYCH_ADDRESS": door.address, "TRIPTYCH_API_KEY": FIRST_KEY}
    pipe = subprocess.PIPE
    command = (sys.executable, str(EXAMPLES / name), *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe)
    out, errors = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode().splitlines()


async def test_quickstart_reads_all_three_tiers(door: Door) -> None:
    said = await run(door, "quickstart.py")
    assert said[0] == "agent: ok: My sister Eva has moved to Lisbon."
    assert {"core, human: Name: Ann.", "archival: Eva works at the oceanarium."} <= set(said)


async def test_the_assistant_goes_on_where_it_was_left(door: Door) -> None:
    note = '[[call:memory_insert {"label": "human", "new_string": "Likes tea."}]] I like tea.\n'
    first = await run(door, "personal_assistant.py", "Ann", stdin=note)
    assert first == ["[human] Name: Ann.", "Likes tea.", "ok: I like tea."]
    again = await run(door, "personal_assistant.py", "Ann", stdin="[[recite]]\n")
    assert any("Likes tea." in line for line in again), again
    async with door.client() as client:
        assert await client.agents.count() == 1


async def test_the_support_bot_finds_what_the_documents_say(door: Door, tmp_path: Path) -> None:
    handbook = tmp_path / "returns.md"
    handbook.write_text("# Returns\n\nA parcel can be sent back within thirty days.\n")
    said = await run(door, "support_bot.py", str(handbook), "--", "Until when can I send a parcel back?", "Hello")
    assert "returns.md: 1 passages" in said
    assert any(line.startswith("  found in returns.md:") for line in said)
    assert said[-1] == "  ok: Hello"


async def test_the_team_shares_one_board_and_loses_no_edit(door: Door) -> None:
    tasks = [f'[[call:memory_insert {{"label": "board", "new_string": "part {n}"}}]] do part {n}' for n in range(1, 4)]
    said = await run(door, "team.py", *tasks)
    assert said[:3] == [f"member {n}: ok: do part {n}" for n in range(1, 4)]
    assert sorted(said[4:]) == ["part 1", "part 2", "part 3"]


async def test_the_ablation_tells_the_tiers_apart(door: Door) -> None:
    core = dict(line.split(maxsplit=1) for line in await run(door, "ablate_tiers.py", "--ask", "[[recite]] {question}"))
    assert (core["none"][:5], core["core"][:5]) == ("0 / 3", "3 / 3")
    assert (core["recall"][:5], core["archival"][:5], core["all"][:5]) == ("0 / 3", "0 / 3", "3 / 3")
