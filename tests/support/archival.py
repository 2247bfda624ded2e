"""An archival store over real SQLite and Qdrant Edge, and an index that can be made to fail."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archival_service import opening, scanning
from archival_service.keeper import Keeper
from archival_service.store import ArchivalStore, Entry, Filters, Found, PassageIndex
from archival_service.stores.indexed import IndexedStore
from embedders import Embedder, Vectors
from servicekit import ids
from servicekit.channel import Peer
from servicekit.principal import Principal, Tenant
from servicekit.sql import Database
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2 import InsertPassagesRequest, Passage
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.cli.up import signing_keys
from triptych.errors import Unavailable

SERVICE = pb.DESCRIPTOR.services_by_name["ArchivalService"]


class FaultyIndex:
    """The real index behind switches.

    `failing`: every write fails. `gate`: writes wait for it; `waiting`: one does. `scanned`: searches go to this store,
    as those of an index that is being built.
    """

    def __init__(self, index: PassageIndex) -> None:
        self._index = self.real = index
        self.failing = False
        self.scanned: Database | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()
        self.put_done = asyncio.Event()
        self.flushed = asyncio.Event()

    async def put(self, entries: Sequence[Entry]) -> None:
        await self._pass()
        await self._index.put(entries)
        self.put_done.set()

    async def forget(self, numbers: Sequence[int]) -> None:
        self._fail()
        await self._index.forget(numbers)

    async def flush(self) -> None:
        self._fail()
        await self._index.flush()
        self.flushed.set()

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        if self.scanned is not None:
            return await scanning.candidates(self.scanned, tenant, filters, most, vector=vector, words=words)
        return await self._index.candidates(tenant, filters, most, vector=vector, words=words)

    async def count(self) -> int:
        return await self._index.count()

    async def built(self) -> None:
        await self._index.built()

    async def close(self) -> None:
        await self._index.close()

    async def _pass(self) -> None:
        self._fail()
        self.waiting.set()
        await self.gate.wait()

    def _fail(self) -> None:
        if self.failing:
            raise Unavailable("the passage index failed: retry later")


@dataclass
class Opened:
    store: ArchivalStore
    sql: Database
    index: FaultyIndex
    keeper: Keeper


@asynccontextmanager
async def opened(
    folder: Path, embedder: Embedder, *, settle_seconds: float = 0.01, dsn: str = ""
) -> AsyncIterator[Opened]:
    """The store in `folder`, as the service opens it; `dsn`: where its SQL side is, if not there."""
    async with AsyncExitStack() as stack:
        sql = opening.open_sql(dsn or f"sqlite:///{folder / 'archival.db'}")
        stack.push_async_callback(sql.close)
        index = FaultyIndex(await opening.open_index(sql, folder / "index", embedder, stack))
        keeper = Keeper(sql, index, settle_seconds=settle_seconds)
        stack.push_async_callback(keeper.close)
        yield Opened(IndexedStore(sql, index, embedder, keeper), sql, index, keeper)


def insert_request(
    *texts: str, archive_id: str = "", request_id: str = "", create: str = "notes"
) -> InsertPassagesRequest:
    """Passages for a new archive, unless one is named, under a new request id, unless one is given."""
    return InsertPassagesRequest(
        archive_id=archive_id or ids.new("archive"),
        request_id=request_id or ids.new("request"),
        passages=[Passage(text=text) for text in texts],
        create_archive_name=create,
    )


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Settings of an archival_service of its own, on a free port."""
    return {
        "TRIPTYCH_ARCHIVAL_LISTEN": "127.0.0.1:0",
        "TRIPTYCH_ARCHIVAL_DSN": f"sqlite:///{folder}/archival.db",
        "TRIPTYCH_ARCHIVAL_INDEX": f"{folder}/index",
        "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "gateway")[1]),
        "TRIPTYCH_AGENT_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "agent_service")[1]),
        **more,
    }


def index_left(folder: Path) -> int:
    """From the store, which a service may have open: up to which number its index has yet to be told of passages.

    0 when it is whole; -1 if it never had to be built of anything.
    """
    with sqlite3.connect(f"file:{folder}/archival.db?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT name, value FROM settings WHERE name LIKE 'rebuild-%'").fetchall()
    span = {name: int(value) for name, value in rows}
    return span["rebuild-until"] - span["rebuild-after"] if span else -1


@dataclass
class Client:
    """Calls the service as any user."""

    peer: Peer
    stub: ArchivalServiceStub

    async def call(self, method: str, request: Any, caller: Principal) -> Any:
        return await self.peer.unary(getattr(self.stub, method), request, caller=caller)

    async def raw(self, method: str, request: bytes, metadata: Any) -> bytes:
        """Bytes as they are, without a deadline of the client's or a retry."""
        call = self.peer.channel.unary_unary(f"/{SERVICE.full_name}/{method}")
        answer: bytes = await call(request, metadata=metadata)
        return answer

    async def insert(self, caller: Principal, *texts: str) -> list[pb.Passage]:
        return list((await self.call("InsertPassages", insert_request(*texts), caller)).passages)

    async def search(self, caller: Principal, query: str, **more: Any) -> list[str]:
        request = pb.SearchPassagesRequest(query=query, **more)
        return [hit.passage.text for hit in (await self.call("SearchPassages", request, caller)).hits]
