"""The TypeScript and the Go client, generated from the contract, against a live gateway.

The first run on a machine installs what they need from npm and the Go module proxy, and compiles gRPC for Go.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
_GENERATE_SECONDS = 300
_RUN_SECONDS = 240

# Where CI runs, a machine that can't make them is a fault of the machine's.
pytestmark = pytest.mark.skipif(
    not (os.environ.get("CI") or (shutil.which("npm") and shutil.which("go"))),
    reason="npm (Node.js) and go make these clients; one is absent",
)


@pytest.fixture(scope="module")
def generated() -> None:
    made = subprocess.run(
        ["make", "clients"], cwd=ROOT, capture_output=True, text=True, timeout=_GENERATE_SECONDS, check=False
    )
    assert made.returncode == 0, f"`make clients` failed: {made.stdout}{made.stderr}"


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    listen = {"TRIPTYCH_GATEWAY_GRPC_LISTEN": "127.0.0.1:0"}
    async with opened(tmp_path, capsys, model_url=model.url, more=listen) as made:
        yield made


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize(
    ("folder", "command"),
    [("typescript", ["npm", "run", "--silent", "example"]), ("go", ["go", "run", "./example"])],
    ids=["typescript", "go"],
)
async def test_a_program_makes_an_agent_streams_a_turn_and_reads_its_messages(
    door: Door, folder: str, command: list[str]
) -> None:
    environ = os.environ | {"TRIPTYCH_ADDRESS": door.address, "TRIPTYCH_API_KEY": FIRST_KEY}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=CLIENTS / folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), _RUN_SECONDS)
    assert process.returncode == 0, errors.decode()
    assert out.decode().splitlines() == [
        "streamed: ok: Good morning!",
        "kept: Good morning!",
        "kept: ok: Good morning!",
    ]


@pytest.mark.usefixtures("generated")
def test_the_typescript_client_has_the_types_that_its_example_uses() -> None:
    checked = subprocess.run(
        ["npm", "run", "--silent", "check"], cwd=CLIENTS / "typescript", capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout
