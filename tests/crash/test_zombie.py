"""A replica of agent_service that hangs, is taken for gone, and comes back: what it writes late has no effect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servicekit.channel import Peer
from servicekit.principal import Signer
from tests.service.test_agent_replicas import Replica, cut_off, insert
from tests.support import postgres
from tests.support.keys import ANN, signer
from tests.support.processes import Service, running
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import FailedPrecondition
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

_PLACES = ("model:after:n=1", "step:committed:n=1", "call:before:n=2", "call:effect:n=2", "recall:before:n=2")
_PLACES += ("finish:before:n=1", "finish:committed:n=1")


def save(fact: str) -> str:
    return f"[[call:archival_memory_insert {json.dumps({'content': fact})}]]"


_FIRST = f"{insert('Name: Ann.')} {save('Ann likes quince.')} first"
_AFTER = f"{save('Ann likes tea.')} after"


class Tiers:
    """Recall and archival, as agent_service speaks with them."""

    def __init__(self, environ: dict[str, str], key: Signer) -> None:
        self._recall = Peer("recall_service", environ["TRIPTYCH_RECALL_ADDRESS"], key)
        self._archival = Peer("archival_service", environ["TRIPTYCH_ARCHIVAL_ADDRESS"], key)

    async def said(self, agent: pb.Agent) -> list[recall_pb2.Message]:
        request = recall_pb2.ListMessagesRequest(conversation_id=agent.default_conversation_id, page_size=1000)
        stub = RecallServiceStub(self._recall.channel)
        return list((await self._recall.unary(stub.ListMessages, request, caller=ANN)).messages)

    async def facts(self, agent: pb.Agent) -> list[str]:
        request = archival_pb2.ListPassagesRequest(archive_ids=agent.archive_ids)
        stub = ArchivalServiceStub(self._archival.channel)
        found = await self._archival.unary(stub.ListPassages, request, caller=ANN)
        return sorted(passage.text for passage in found.passages)

    async def append(self, agent: pb.Agent, fence: Fence) -> None:
        request = recall_pb2.AppendMessagesRequest(
            agent_id=agent.id,
            conversation_id=agent.default_conversation_id,
            request_id="late",
            fence=fence,
            messages=[recall_pb2.Message(role=type_pb2.ROLE_ASSISTANT, text="late")],
        )
        stub = RecallServiceStub(self._recall.channel)
        await self._recall.unary(stub.AppendMessages, request, caller=ANN)

    async def insert(self, agent: pb.Agent, fence: Fence) -> None:
        request = archival_pb2.InsertPassagesRequest(
            archive_id=agent.archive_ids[0],
            request_id="late",
            fence=fence,
            passages=[archival_pb2.Passage(text="late")],
        )
        stub = ArchivalServiceStub(self._archival.channel)
        await self._archival.unary(stub.InsertPassages, request, caller=ANN)

    async def close(self) -> None:
        await self._recall.close()
        await self._archival.close()


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[dict[str, str]]:
    """Recall, archival, a model and a database for all of these tests."""
    folder = tmp_path_factory.mktemp("zombie")
    model = ScriptedModel().start()
    made = environment(folder, model.url)
    with ExitStack() as stack:
        stack.callback(model.stop)
        dsn = stack.enter_context(postgres.database(postgres_server))
        for name in ("recall_service", "archival_service"):
            stack.enter_context(running(name, made))
        keys = {"TRIPTYCH_TEST_KEYS": str(folder / "keys")}
        yield {**made, **keys, "TRIPTYCH_AGENT_DSN": dsn, "TRIPTYCH_AGENT_LISTEN": "127.0.0.1:0"}


@pytest.fixture
async def tiers(environ: dict[str, str]) -> AsyncIterator[Tiers]:
    made = Tiers(environ, signer(Path(environ["TRIPTYCH_TEST_KEYS"])))
    yield made
    await made.close()


async def hangs(service: Service) -> None:
    """Waits until a process is stopped."""

    async def state() -> str:
        status = await asyncio.to_thread(Path(f"/proc/{service.pid}/stat").read_text)
        return status.rpartition(")")[2].split()[0]

    await eventually(state, "T".__eq__)


@pytest.mark.parametrize("place", _PLACES)
async def test_what_a_zombie_writes_late_is_refused_everywhere(
    environ: dict[str, str], tiers: Tiers, place: str
) -> None:
    keys = Path(environ["TRIPTYCH_TEST_KEYS"])
    stopping = {**environ, "TRIPTYCH_TEST_FAILPOINT": f"{place}:stop"}
    with running("agent_service", stopping) as first, running("agent_service", environ) as second:
        zombie, other = Replica(first, keys), Replica(second, keys)
        agent = await other.new_agent()
        turn_id = await zombie.begin(agent, _FIRST)
        await hangs(first)
        cut_off(environ, agent)
        events = await other.resume(turn_id)
        assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        await other.send(agent, _AFTER)

        os.kill(first.pid, signal.SIGCONT)
        # It answers with what is stored when it no longer runs the turn itself.
        assert await zombie.resume(turn_id) == events
        said = await tiers.said(agent)
        assert [message.sequence for message in said] == list(range(1, len(said) + 1))
        assert len(said) == 6 + 4
        assert await tiers.facts(agent) == ["Ann likes quince.", "Ann likes tea."]
        assert (await other.get_agent(agent.id)).blocks[0].value == "Name: Ann."
        old = Fence(scope=agent.default_conversation_id, token=1)
        for late in (tiers.append(agent, old), tiers.insert(agent, old)):
            with pytest.raises(FailedPrecondition) as refused:
                await late
            assert refused.value.reason == type_pb2.ERROR_REASON_FENCED
        # It is of use again.
        assert (await zombie.send(agent, "to the zombie"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        assert len(await tiers.said(agent)) == 12
        for replica in (zombie, other):
            await replica.peer.close()
