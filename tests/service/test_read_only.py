"""A read-only key reads and does not write: the door says so, and every tier by itself too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from servicekit.principal import Principal, Scope
from tests.support.door import FIRST_KEY, Door, opened
from tests.support.keys import ANN
from triptych.agent.v1 import agent_pb2, upkeep_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.upkeep_pb2_grpc import UpkeepServiceStub
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import PermissionDenied
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

READER = Principal(ANN.tenant, Scope.READ_ONLY)
# (service, stub, a method that reads and its request, one that writes and its request)
CALLS: list[tuple[str, Any, tuple[str, Any], tuple[str, Any]]] = [
    (
        "recall_service",
        RecallServiceStub,
        ("CountMessages", recall_pb2.CountMessagesRequest()),
        ("PurgeMessages", recall_pb2.PurgeMessagesRequest(all=True)),
    ),
    (
        "archival_service",
        ArchivalServiceStub,
        ("CountPassages", archival_pb2.CountPassagesRequest()),
        ("CreateArchive", archival_pb2.CreateArchiveRequest(archive=archival_pb2.Archive(name="a"))),
    ),
    (
        "agent_service",
        AgentServiceStub,
        ("CountAgents", agent_pb2.CountAgentsRequest()),
        ("CreateAgent", agent_pb2.CreateAgentRequest()),
    ),
]


@pytest.fixture
async def door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys) as opened_door:
        yield opened_door


async def test_each_tier_refuses_writes_of_a_read_only_principal(door: Door) -> None:
    for service, stub_type, (reads, read), (writes, write) in CALLS:
        peer = door.stack.peer(service)
        stub = stub_type(peer.channel)
        await peer.unary(getattr(stub, reads), read, caller=READER)
        with pytest.raises(PermissionDenied, match="read-only"):
            await peer.unary(getattr(stub, writes), write, caller=READER)
        await peer.close()


async def test_a_read_only_key_reads_and_does_not_write_by_rest(door: Door) -> None:
    async with door.client() as admin:
        secret = (await admin.keys.create("default", scope=pb.KEY_SCOPE_READ_ONLY)).secret
    async with door.http(secret) as http:
        assert (await http.get("/v1/agents")).status_code == 200
        assert (await http.post("/v1/messages/search", json={"query": "x"})).status_code == 200
        assert (await http.post("/v1/agents", json={"name": "a"})).status_code == 403
        assert (await http.post("/v1/blocks", json={"label": "a"})).status_code == 403
        assert (await http.get("/v1/admin/users")).status_code == 403


async def test_the_gateway_forwards_nothing_that_is_internal(door: Door) -> None:
    async with grpc.aio.insecure_channel(door.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await UpkeepServiceStub(channel).PurgeUser(
                upkeep_pb2.PurgeUserRequest(), metadata=(("authorization", f"Bearer {FIRST_KEY}"),), timeout=10
            )
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
