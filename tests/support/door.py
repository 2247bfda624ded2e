"""The whole system in this process, as its clients reach it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.stack import running
from triptych import AsyncTriptych

FIRST_KEY = "trip_first-key-of-the-tests"
_SERVICES = ("recall_service", "archival_service", "agent_service", "gateway")


@dataclass(frozen=True)
class Door:
    """`address`: the gateway's gRPC. `http_url`: its REST."""

    address: str
    http_url: str

    def client(self, key: str = FIRST_KEY, user: str | None = None) -> AsyncTriptych:
        return AsyncTriptych(self.address, key, user=user)

    def http(self, key: str = FIRST_KEY, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.http_url, headers={"authorization": f"Bearer {key}", **headers}, timeout=30
        )

    async def new_user(self, name: str) -> str:
        """Makes a user as an admin would; gives a key of it."""
        async with self.client() as admin:
            await admin.users.create(name)
            return (await admin.keys.create(name)).secret


@asynccontextmanager
async def open_door(
    folder: Path, model_url: str, capsys: pytest.CaptureFixture[str], more: Mapping[str, str] | None = None
) -> AsyncIterator[Door]:
    """Starts the four services; they end with the block. What they announce is read from `capsys`."""
    async with running(folder, *_SERVICES, model_url=model_url, more=more):
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        said = next(line for line in lines if line["service"] == "gateway")
        yield Door(said["grpc"], said["http"])
