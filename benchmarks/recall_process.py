"""A recall_service of the benchmark's own, and a client of it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from benchmarks.conversations import Conversation
from servicekit.channel import Peer
from servicekit.principal import Principal, Signer, Tenant
from triptych.cli.up import signing_keys
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

_BATCH = 200
_STOP_SECONDS = 20


class Recall:
    """Each conversation has a user of its own, so that none finds another's messages."""

    def __init__(self, address: str, folder: Path) -> None:
        private, _ = signing_keys.ensure(folder, "gateway")
        self.peer = Peer("recall_service", address, Signer.from_file("gateway", private))
        self._stub = RecallServiceStub(self.peer.channel)

    async def append(self, conversation: Conversation) -> None:
        for first in range(0, len(conversation.messages), _BATCH):
            request = pb.AppendMessagesRequest(
                agent_id="agent",
                conversation_id="conversation",
                request_id=str(uuid.uuid4()),
                messages=conversation.messages[first : first + _BATCH],
            )
            await self.peer.unary(self._stub.AppendMessages, request, caller=_user(conversation))

    async def search(self, conversation: Conversation, query: str, limit: int) -> list[str]:
        """The ids of what was found, best first."""
        request = pb.SearchMessagesRequest(query=query, agent_id="agent", limit=limit)
        answer = await self.peer.unary(self._stub.SearchMessages, request, caller=_user(conversation))
        return [hit.message.id for hit in answer.hits]


@asynccontextmanager
async def recall_service(folder: Path, changes: Sequence[str] = ()) -> AsyncIterator[Recall]:
    """Starts one on the data in `folder`, with `changes` (NAME=VALUE) to its ranking."""
    altered = [str(Path(__file__).with_name("altered_recall.py")), *changes]
    command = [sys.executable, *(altered if changes else ["-m", "recall_service"])]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")}
    process = await asyncio.create_subprocess_exec(
        *command, env=ours | _settings(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        recall = Recall(json.loads(await process.stdout.readline())["grpc"], folder)
        yield recall
        await recall.peer.close()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)


async def embedded(folder: Path) -> None:
    """Waits until no message waits for its vector."""
    with closing(sqlite3.connect(f"file:{folder}/recall.db?mode=ro", uri=True)) as database:
        while database.execute("SELECT count(*) FROM pending").fetchone() != (0,):  # noqa: ASYNC110  another process's
            await asyncio.sleep(0.1)


def _settings(folder: Path) -> dict[str, str]:
    return {
        "TRIPTYCH_RECALL_LISTEN": "127.0.0.1:0",
        "TRIPTYCH_RECALL_DSN": f"sqlite:///{folder}/recall.db",
        "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "gateway")[1]),
        "TRIPTYCH_AGENT_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "agent_service")[1]),
        "TRIPTYCH_LOG_LEVEL": "warning",
    }


def _user(conversation: Conversation) -> Principal:
    return Principal(Tenant("benchmark", conversation.name))
