"""A stream that is taken up while the model is in the middle of a message."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.door import Door, opened
from tests.support.scripted_model import ScriptedModel, chunk


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


class Slow:
    """An answer of three words, of which each waits to be let go."""

    def __init__(self) -> None:
        self._next = [threading.Event() for _ in range(3)]

    def let(self, number: int) -> None:
        self._next[number].set()

    async def stream(self) -> AsyncIterator[bytes]:
        for wait, word in zip(self._next, ("one ", "two ", "three"), strict=True):
            await asyncio.to_thread(wait.wait, 20)
            yield chunk({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        yield chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield b"data: [DONE]\n\n"


async def _data(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


async def test_a_run_rejoined_in_the_middle_of_a_message_gives_it_whole(door: Door, model: ScriptedModel) -> None:
    slow = Slow()
    model.streams = [slow.stream()]
    async with door.client() as client, door.http() as http:
        agent = await client.agents.create("ann")
        body = {"input": "count", "streaming": True, "stream_tokens": True, "background": True}
        slow.let(0)
        async with http.stream("POST", f"/v1/agents/{agent.id}/messages", json=body) as answer:
            async for event in _data(answer):
                if event["message_type"] == "ping":
                    run_id = event["run_id"]
                if event["message_type"] == "assistant_message":
                    last = event["seq_id"]
                    break
        slow.let(1)
        await asyncio.sleep(0.3)
        said: dict[str, str] = {}
        async with http.stream("POST", f"/v1/runs/{run_id}/stream", json={"starting_after": last}) as answer:
            async for event in _data(answer):
                if event["message_type"] == "ping":
                    slow.let(2)
                if event["message_type"] == "assistant_message":
                    said[event["id"]] = said.get(event["id"], "") + event["content"]
    assert list(said.values()) == ["one two three"]


async def test_a_completion_sent_again_in_the_middle_of_it_is_whole(door: Door, model: ScriptedModel) -> None:
    slow = Slow()
    model.streams = [slow.stream()]
    async with door.client() as client, door.http() as http:
        await client.agents.create("ann")
        body = {"model": "ann", "messages": [{"role": "user", "content": "count"}], "stream": True}
        headers = {"idempotency-key": "one"}
        slow.let(0)
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            async for event in _data(answer):
                if event["choices"][0]["delta"].get("content"):
                    break
        slow.let(1)
        await asyncio.sleep(0.3)
        said = ""
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            async for event in _data(answer):
                slow.let(2)
                said += event["choices"][0]["delta"].get("content") or ""
    assert said == "one two three"
