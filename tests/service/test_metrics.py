"""What Prometheus is told: calls, and how far outboxes are behind; nothing that anybody said, and nobody's id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from servicekit.channel import Peer
from servicekit.settings import Environment
from tests.support import archival, recall, stack
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving
from tests.support.keys import new_user, signer
from tests.support.processes import Service, running
from tests.support.recall import batch, eventually
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.environment import BadEnvironment
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

_APPEND = "/triptych.recall.v1.RecallService/AppendMessages"
# A quarter of 2001: what was said then does not wait since then.
_LONG_AGO = 1_000_000_000


class Scrape:
    """One answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.text = text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self._values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def value(self, name: str, **labels: str) -> float | None:
        return self._values.get((name, frozenset(labels.items())))


async def _scrape(service: Service) -> Scrape:
    async with httpx.AsyncClient() as client:
        return Scrape((await client.get(service.addresses["metrics"])).raise_for_status().text)


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as server:
        yield server


async def test_recall_counts_calls_by_method_and_code_and_tells_how_far_embedding_is_behind(
    tmp_path: Path, endpoint: EmbeddingsServer
) -> None:
    refusing: Any = lambda _: (401, b"")  # noqa: E731
    endpoint.always = refusing
    settings = {
        "TRIPTYCH_RECALL_METRICS_LISTEN": "127.0.0.1:0",
        "TRIPTYCH_RECALL_EMBEDDER": "openai",
        "TRIPTYCH_RECALL_EMBEDDER_BASE_URL": endpoint.base_url,
        "TRIPTYCH_RECALL_EMBEDDER_MODEL": "any",
        "TRIPTYCH_RECALL_EMBEDDER_DIMENSIONS": str(DIMENSIONS),
    }
    ann = new_user()
    with running("recall_service", recall.environment(tmp_path) | settings) as service:
        peer = Peer("recall_service", service.grpc, signer(tmp_path))
        stub = RecallServiceStub(peer.channel)
        said = batch(recall.said("the walrus is told", at=_LONG_AGO), "so am I", agent="agent-of-ann")
        await peer.unary(stub.AppendMessages, said, caller=ann)
        with pytest.raises(InvalidArgument):
            await peer.unary(stub.AppendMessages, pb.AppendMessagesRequest(), caller=ann)
        told = await _scrape(service)
        assert told.value("triptych_rpc_seconds_count", method=_APPEND, code="OK") == 1
        assert told.value("triptych_rpc_seconds_count", method=_APPEND, code="INVALID_ARGUMENT") == 1
        assert told.value("triptych_outbox_waiting") == 2
        waited = told.value("triptych_outbox_oldest_seconds")
        assert waited is not None
        assert 0 < waited < 600
        assert (await _scrape(service)).value("triptych_outbox_oldest_seconds") > waited
        for secret in ("walrus", ann.tenant.user_id, ann.tenant.account_id, "agent-of-ann", "conv-1"):
            assert secret not in told.text
        await peer.close()


async def test_archival_tells_that_its_index_has_caught_up(tmp_path: Path) -> None:
    settings = archival.environment(tmp_path, TRIPTYCH_ARCHIVAL_METRICS_LISTEN="127.0.0.1:0")
    with running("archival_service", settings) as service:
        peer = Peer("archival_service", service.grpc, signer(tmp_path))
        client = archival.Client(peer, ArchivalServiceStub(peer.channel))
        await client.insert(new_user(), "one", "two", "three")
        told = await eventually(lambda: _scrape(service), lambda told: told.value("triptych_outbox_waiting") == 0)
        assert told.value("triptych_outbox_oldest_seconds") == 0
        insert = "/triptych.archival.v1.ArchivalService/InsertPassages"
        assert told.value("triptych_rpc_seconds_count", method=insert, code="OK") == 1
        await peer.close()


@pytest.mark.parametrize(
    ("name", "setting", "method"),
    [
        ("agent_service", "TRIPTYCH_AGENT_METRICS_LISTEN", "/triptych.agent.v1.AgentService/ListAgents"),
        ("gateway", "TRIPTYCH_GATEWAY_METRICS_LISTEN", "/triptych.gateway.v1.GatewayService/GetUsage"),
        ("gateway", "TRIPTYCH_GATEWAY_METRICS_LISTEN", "/triptych.recall.v1.RecallService/CountMessages"),
    ],
)
async def test_a_refused_call_is_counted(tmp_path: Path, name: str, setting: str, method: str) -> None:
    environ = stack.environment(tmp_path) | {setting: "127.0.0.1:0"}
    with running(name, environ) as service:
        async with grpc.aio.insecure_channel(service.grpc) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(method)(b"")
        told = await _scrape(service)
        assert told.value("triptych_rpc_seconds_count", method=method, code="UNAUTHENTICATED") == 1
        assert told.value("process_resident_memory_bytes") > 0


async def test_nothing_listens_unless_it_is_asked_for(tmp_path: Path) -> None:
    with running("agent_service", stack.environment(tmp_path)) as service:
        assert "metrics" not in service.addresses


def test_an_address_without_a_host_is_refused() -> None:
    env = Environment({"TRIPTYCH_RECALL_METRICS_LISTEN": ":9100"})
    with pytest.raises(BadEnvironment, match="TRIPTYCH_RECALL_METRICS_LISTEN"):
        env.optional_listen("TRIPTYCH_RECALL_METRICS_LISTEN")
