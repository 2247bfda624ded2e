"""python -m tests.load.end_users [10000]: how long so many end users of one program take, and what memory.

The program has one application key, and names the end user with each request.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, up
from triptych import Triptych
from triptych.gateway.v1 import gateway_pb2

# What users tell of themselves: no two have the same.
_WORD = re.compile(r"quince[0-9]{6}x")
_AT_ONCE = 16


@dataclass
class EndUser:
    """Says its `word`, and asks for what it has said; `http` is the whole program's."""

    http: httpx.AsyncClient
    number: int
    agent_id: str = ""

    @property
    def word(self) -> str:
        return f"quince{self.number:06}x"

    async def tell(self) -> None:
        """Puts its word wherever an agent keeps words."""
        blocks = [{"label": "human", "value": f"I am {self.word}"}]
        made = await self._ask("POST", "/v1/agents", {"name": "of all the same name", "memory_blocks": blocks})
        self.agent_id = made.json()["id"]
        said = {"input": f"my fruit is {self.word}"}
        await self._ask("POST", f"/v1/agents/{self.agent_id}/messages", said)
        await self._ask("POST", f"/v1/agents/{self.agent_id}/archival-memory", {"text": f"likes {self.word}"})

    async def check(self, other: EndUser) -> None:
        """Finds its own word everywhere and nobody else's, and nothing of `other`."""
        agents, blocks = await self._ask("GET", "/v1/agents"), await self._ask("GET", "/v1/blocks")
        assert [each["id"] for each in agents.json()] == [self.agent_id]
        found = [
            agents,
            blocks,
            await self._ask("GET", f"/v1/agents/{self.agent_id}/messages"),
            await self._ask("POST", "/v1/messages/search", {"query": "my fruit", "limit": 50}),
            await self._ask("POST", "/v1/passages/search", {"query": "likes", "limit": 50}),
        ]
        for answer in found:
            assert set(_WORD.findall(answer.text)) == {self.word}, answer.text
        await self._ask("GET", f"/v1/agents/{other.agent_id}", status=404)
        await self._ask("GET", f"/v1/agents/{other.agent_id}/messages", status=404)
        await self._ask("POST", f"/v1/agents/{other.agent_id}/messages", {"input": "hello"}, status=404)

    async def _ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> httpx.Response:
        headers = {"triptych-user": f"customer-{self.number}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer


async def served(http: httpx.AsyncClient, count: int) -> tuple[float, float]:
    """Seconds that it took until all had told, and until all had checked. Raises: AssertionError."""
    users = [EndUser(http, number) for number in range(count)]
    began = time.monotonic()
    await _at_once(user.tell for user in users)
    told = time.monotonic()
    await _at_once(lambda user=user: user.check(users[user.number - 1]) for user in users)  # type: ignore[misc]
    return told - began, time.monotonic() - told


async def _at_once(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """All calls, some at a time."""
    waiting = iter(calls)

    async def caller() -> None:
        for call in waiting:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(caller())


def application_key(system: Up) -> str:
    with Triptych(system.ready["grpc_address"], system.ready["api_key"]) as admin:
        return str(admin.keys.create(kind=gateway_pb2.KEY_KIND_APPLICATION).secret)


async def main(count: int) -> None:
    model = ScriptedModel().start()
    with tempfile.TemporaryDirectory() as folder, up(Path(folder), "--model-base-url", model.url) as system:
        headers = {"authorization": f"Bearer {application_key(system)}"}
        async with httpx.AsyncClient(base_url=system.ready["http_url"], headers=headers, timeout=60) as http:
            print(f"told and checked after {await served(http, count)} s")
        for name, pid in system.pids.items():
            print(f"{name} {psutil.Process(pid).memory_info().rss / 2**20:.0f} MiB")
    model.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
