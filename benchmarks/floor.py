"""What a turn would cost if nothing but its transport and its commits did: the least that the same machine can do."""

from __future__ import annotations

import sqlite3
import time
import uuid
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

_COMMITS = 3


class Floor:
    """One RPC to recall that does nothing, one bare httpx call to the model, three bare commits (WAL, FULL)."""

    def __init__(self, folder: Path, model_url: str, recall: grpc.aio.Channel) -> None:
        self._health = health_pb2_grpc.HealthStub(recall)
        self._url = f"{model_url}/chat/completions"
        self._newest = f"{model_url}/newest"
        self._http = httpx.AsyncClient(timeout=60)
        self._body = b""
        self._database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, body BLOB)")

    async def take_body(self) -> None:
        """From now on the model is sent what the newest turn sent it."""
        self._body = (await self._http.get(self._newest)).content

    async def turn(self) -> None:
        await self._health.Check(health_pb2.HealthCheckRequest())
        await self.model()
        for _ in range(_COMMITS):
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("INSERT INTO rows VALUES (?, ?)", (str(uuid.uuid4()), b"x" * 500))
            self._database.execute("COMMIT")

    async def model(self) -> None:
        """Calls it, and reads its stream to the end."""
        async with self._http.stream("POST", self._url, content=self._body) as answer:
            async for _ in answer.aiter_raw():
                pass

    async def first_piece(self) -> float:
        """Milliseconds from a call of the model to its first bytes."""
        began = time.perf_counter()
        async with self._http.stream("POST", self._url, content=self._body) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            first = 1e3 * (time.perf_counter() - began)
            async for _ in pieces:
                pass
        return first

    async def close(self) -> None:
        await self._http.aclose()
        self._database.close()
