"""The main flow by letta-client on Node, against a live gateway. The first run on a machine installs it from npm."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.door import Door

_PROGRAM = Path(__file__).parent / "node"
_INSTALL_SECONDS = 120
_RUN_SECONDS = 120


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with what the program needs."""
    path, npm = shutil.which("node"), shutil.which("npm")
    if not (path and npm):
        # Where all has to be seen, what can't be run has failed.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("node and npm (Node.js 20 or newer) run this")
    assert path is not None
    if not (_PROGRAM / "node_modules").is_dir():
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        made = subprocess.run(
            command, cwd=_PROGRAM, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
        assert made.returncode == 0, f"`npm ci` failed: {made.stdout}{made.stderr}"
    return path


async def test_the_main_flow_passes_on_node(node: str, door: Door, key: str) -> None:
    environ = os.environ | {"TRIPTYCH_URL": door.http_url, "TRIPTYCH_API_KEY": key}
    process = await asyncio.create_subprocess_exec(
        node, "flow.mjs", cwd=_PROGRAM, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), _RUN_SECONDS)
    lines = out.decode().splitlines()
    assert process.returncode == 0, f"after {lines}: {errors.decode()}"
    assert (len(lines), lines[-1]) == (16, "ok agents.delete")
