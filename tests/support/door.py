"""A client's view of a gateway in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.stack import Stack, running
from triptych import AsyncTriptych

FIRST_KEY = "trip_first-key-of-the-tests"
ALL = ("recall_service", "archival_service", "agent_service", "gateway")


@dataclass(frozen=True)
class Door:
    address: str
    http_url: str
    stack: Stack

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
async def opened(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *services: str,
    model_url: str = "",
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Door]:
    """Starts the services (all of them if none is named) and reads from stdout where the gateway is."""
    async with running(folder, *(services or ALL), model_url=model_url, more=more) as stack:
        yield announced(capsys.readouterr().out, stack)


def announced(said: str, stack: Stack) -> Door:
    """The gateway whose announcement is among what was printed."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    gateway = next(line for line in lines if line["service"] == "gateway")
    return Door(gateway["grpc"], gateway["http"], stack)
