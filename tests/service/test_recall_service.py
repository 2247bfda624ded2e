"""recall_service as its callers see it: a process, gRPC, signed principals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.channel import Peer
from servicekit.principal import METADATA_KEY, Principal, Signer
from tests.support.keys import new_user, signer
from tests.support.processes import Service, running
from tests.support.recall import batch, environment, eventually, said
from triptych.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TriptychError,
    Unauthenticated,
    from_rpc_error,
)
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

# Field 1 as a text of one character, U+D800, in the bytes that UTF-8 would have for it if it were one.
_LONE_SURROGATE = b"\x0a\x03\xed\xa0\x80"
_METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["RecallService"].methods]


@dataclass(frozen=True)
class Mesh:
    """The service, those whom it trusts, and one who only says that he is the gateway."""

    service: Service
    gateway: Signer
    agent_service: Signer
    stranger: Signer


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("recall")
    with running("recall_service", environment(folder)) as service:
        stranger = signer(tmp_path_factory.mktemp("stranger"))
        yield Mesh(service, signer(folder), signer(folder, "agent_service"), stranger)


class Recall:
    """A client that says who calls."""

    def __init__(self, mesh: Mesh) -> None:
        self.peer = Peer("recall_service", mesh.service.grpc, mesh.gateway)
        self.stub = RecallServiceStub(self.peer.channel)

    async def append(self, caller: Principal, request: pb.AppendMessagesRequest) -> list[pb.Message]:
        return list((await self.peer.unary(self.stub.AppendMessages, request, caller=caller)).messages)

    async def list(self, caller: Principal, request: pb.ListMessagesRequest) -> pb.ListMessagesResponse:
        return await self.peer.unary(self.stub.ListMessages, request, caller=caller)

    async def search(self, caller: Principal, request: pb.SearchMessagesRequest) -> list[pb.MessageHit]:
        return list((await self.peer.unary(self.stub.SearchMessages, request, caller=caller)).hits)


@pytest.fixture
async def recall(mesh: Mesh) -> AsyncIterator[Recall]:
    client = Recall(mesh)
    yield client
    await client.peer.close()


async def test_what_is_appended_can_be_got_listed_counted_found_and_purged(recall: Recall) -> None:
    ann = new_user()
    stored = await recall.append(ann, batch("I live in Lisbon", said("Noted.", type_pb2.ROLE_ASSISTANT)))
    got = await recall.peer.unary(
        recall.stub.GetMessages, pb.GetMessagesRequest(message_ids=[stored[1].id, stored[0].id]), caller=ann
    )
    assert list(got.messages) == stored[::-1]
    first = await recall.list(ann, pb.ListMessagesRequest(conversation_id="conv-1", page_size=1))
    second = await recall.list(
        ann, pb.ListMessagesRequest(conversation_id="conv-1", page_size=1, page_token=first.next_page_token)
    )
    assert [*first.messages, *second.messages] == stored
    assert second.next_page_token == ""
    hits = await recall.search(ann, pb.SearchMessagesRequest(query="Where in Lisbon?", agent_id="agent-1"))
    assert hits[0].message == stored[0]
    purged = await recall.peer.unary(recall.stub.PurgeMessages, pb.PurgeMessagesRequest(all=True), caller=ann)
    assert purged.purged_count == 2
    counted = await recall.peer.unary(recall.stub.CountMessages, pb.CountMessagesRequest(), caller=ann)
    assert counted.count == 0


async def test_a_message_is_found_by_its_meaning_soon_after(recall: Recall) -> None:
    ann = new_user()
    await recall.append(ann, batch("My dog is called Rex", "The train leaves at noon"))
    request = pb.SearchMessagesRequest(query="pet's name", mode=type_pb2.SEARCH_MODE_SEMANTIC)
    hits = await eventually(lambda: recall.search(ann, request), bool)
    assert hits[0].message.text == "My dog is called Rex"
    assert hits[0].semantic == 1


async def test_forty_writers_in_a_conversation_leave_no_gap(recall: Recall) -> None:
    ann = new_user()
    stored = await asyncio.gather(*(recall.append(ann, batch(str(writer))) for writer in range(40)))
    assert sorted(message.sequence for (message,) in stored) == list(range(1, 41))
    listed = await recall.list(ann, pb.ListMessagesRequest(conversation_id="conv-1"))
    assert [message.sequence for message in listed.messages] == list(range(1, 41))


async def test_a_replay_answers_the_same_and_an_altered_one_is_refused(recall: Recall) -> None:
    ann = new_user()
    request = batch("hello", request="r", fence=3)
    assert await recall.append(ann, request) == await recall.append(ann, request)
    with pytest.raises(FailedPrecondition) as reused:
        await recall.append(ann, batch("goodbye", request="r", fence=3))
    assert reused.value.reason_name == "REQUEST_ID_REUSED"
    with pytest.raises(FailedPrecondition) as fenced:
        await recall.append(ann, batch("late", fence=2))
    assert fenced.value.reason_name == "FENCED"


async def test_anothers_messages_are_absent_from_every_method(recall: Recall) -> None:
    ann, bob = new_user(), new_user()
    (hers,) = await recall.append(ann, batch("my secret is purple"))
    got = await recall.peer.unary(recall.stub.GetMessages, pb.GetMessagesRequest(message_ids=[hers.id]), caller=bob)
    assert got == pb.GetMessagesResponse()
    for request in (pb.ListMessagesRequest(), pb.ListMessagesRequest(agent_id="agent-1", after_id=hers.id)):
        assert await recall.list(bob, request) == pb.ListMessagesResponse()
    for mode in type_pb2.SearchMode.values():
        assert await recall.search(bob, pb.SearchMessagesRequest(query="secret purple", mode=mode)) == []
    purge = pb.PurgeMessagesRequest(agent_id="agent-1")
    assert (await recall.peer.unary(recall.stub.PurgeMessages, purge, caller=bob)).purged_count == 0
    assert (await recall.list(ann, pb.ListMessagesRequest())).messages == [hers]


async def test_foreign_and_missing_answer_the_same_bytes(recall: Recall) -> None:
    ann, bob = new_user(), new_user()
    (hers,) = await recall.append(ann, batch("mine"))

    async def answer() -> tuple[object, ...]:
        request = pb.UpdateMessageRequest(message_id=hers.id, text="his")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await recall.stub.UpdateMessage(request, metadata=recall.peer.metadata(bob))
        assert isinstance(from_rpc_error(caught.value), NotFound)
        return caught.value.code(), caught.value.details(), tuple(caught.value.trailing_metadata() or ())

    foreign = await answer()
    await recall.peer.unary(recall.stub.PurgeMessages, pb.PurgeMessagesRequest(all=True), caller=ann)
    assert await answer() == foreign


async def test_a_page_token_serves_its_own_query_and_user_only(recall: Recall) -> None:
    ann, bob = new_user(), new_user()
    for caller in (ann, bob):
        await recall.append(caller, batch("a", "b", "c"))
    token = (await recall.list(ann, pb.ListMessagesRequest(page_size=1))).next_page_token
    garbage = token[::-1]
    assert len((await recall.list(ann, pb.ListMessagesRequest(page_size=2, page_token=token))).messages) == 2
    for caller, request in (
        (bob, pb.ListMessagesRequest(page_token=token)),
        (ann, pb.ListMessagesRequest(page_token=token, agent_id="agent-1")),
        (ann, pb.ListMessagesRequest(page_token=token, before_id="x")),
        (ann, pb.ListMessagesRequest(page_token=token, order=type_pb2.SORT_ORDER_DESCENDING)),
        (ann, pb.ListMessagesRequest(page_token=garbage)),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await recall.list(caller, request)
        assert caught.value.reason_name == "PAGE_TOKEN_INVALID"


async def test_a_tools_messages_are_found_only_when_asked_for(recall: Recall) -> None:
    ann = new_user()
    await recall.append(ann, batch(said("I saw purple elephants"), said("found: purple", type_pb2.ROLE_TOOL)))
    hits = await recall.search(ann, pb.SearchMessagesRequest(query="purple"))
    assert [hit.message.role for hit in hits] == [type_pb2.ROLE_USER]
    hits = await recall.search(ann, pb.SearchMessagesRequest(query="purple", roles=[type_pb2.ROLE_TOOL]))
    assert [hit.message.role for hit in hits] == [type_pb2.ROLE_TOOL]


async def test_search_keeps_to_its_times_and_its_limit(recall: Recall) -> None:
    ann = new_user()
    await recall.append(ann, batch(*(said(f"moon {hour}", at=3600 * hour) for hour in range(1, 21))))
    between = pb.SearchMessagesRequest(
        query="moon", start_time=Timestamp(seconds=3 * 3600), end_time=Timestamp(seconds=5 * 3600)
    )
    assert {hit.message.text for hit in await recall.search(ann, between)} == {"moon 3", "moon 4", "moon 5"}
    assert len(await recall.search(ann, pb.SearchMessagesRequest(query="moon"))) == 10
    assert await recall.search(ann, pb.SearchMessagesRequest(query=" ")) == []


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("agent_id", batch("a", agent="")),
        ("agent_id", batch("a", agent="x" * 101)),
        ("conversation_id", batch("a", conversation="c\0")),
        ("request_id", pb.AppendMessagesRequest(agent_id="a", conversation_id="c", messages=[said("a")])),
        ("request_id", batch("a", request="x" * 201)),
        ("messages", batch()),
        ("messages", batch(*["a"] * 1001)),
        ("messages[1].role", batch("a", pb.Message(text="b"))),
        ("messages[0].role", batch(pb.Message(text="b", role=99))),  # type: ignore[arg-type]
        ("messages[0].id", batch(said("a", id="x" * 101))),
        ("messages[0].name", batch(said("a", name="x" * 201))),
        ("messages[0].text", batch("é" * 600_000)),
        ("messages[0].create_time", batch(said("a", at=10**12))),
        ("fence.token", batch("a", fence=-1)),
        (
            "fence.scope",
            pb.AppendMessagesRequest(
                agent_id="a",
                conversation_id="c",
                request_id="r",
                messages=[said("a")],
                fence=Fence(scope="other", token=1),
            ),
        ),
        ("text", pb.UpdateMessageRequest(message_id="m", text="x" * 1_100_000)),
        ("message_id", pb.UpdateMessageRequest(text="x")),
        ("message_ids", pb.GetMessagesRequest(message_ids=["m"] * 1001)),
        ("page_size", pb.ListMessagesRequest(page_size=-1)),
        ("query", pb.SearchMessagesRequest(query="x" * 10_001)),
        ("limit", pb.SearchMessagesRequest(query="x", limit=101)),
        ("limit", pb.SearchMessagesRequest(query="x", limit=2**31 - 1)),
        ("limit", pb.SearchMessagesRequest(query="x", limit=-1)),
        ("mode", pb.SearchMessagesRequest(query="x", mode=99)),  # type: ignore[arg-type]
        ("roles", pb.SearchMessagesRequest(query="x", roles=[99])),  # type: ignore[list-item]
        ("roles", pb.SearchMessagesRequest(query="x", roles=[-1])),  # type: ignore[list-item]
        ("roles", pb.SearchMessagesRequest(query="x", roles=[type_pb2.ROLE_USER] * 101)),
        ("roles", pb.ListMessagesRequest(roles=[type_pb2.ROLE_UNSPECIFIED])),
        ("start_time", pb.SearchMessagesRequest(query="x", start_time=Timestamp(seconds=2**62))),
        ("end_time", pb.SearchMessagesRequest(query="x", end_time=Timestamp(nanos=-1))),
        (
            "start_time",
            pb.SearchMessagesRequest(query="x", start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)),
        ),
        ("order", pb.ListMessagesRequest(order=99)),  # type: ignore[arg-type]
        ("scope", pb.PurgeMessagesRequest()),
        ("scope", pb.PurgeMessagesRequest(all=False)),
        ("scope", pb.PurgeMessagesRequest(agent_id="")),
    ],
)
async def test_a_bad_field_is_named(recall: Recall, field: str, request_: object) -> None:
    method = type(request_).__name__.removesuffix("Request")
    with pytest.raises(InvalidArgument) as caught:
        await recall.peer.unary(getattr(recall.stub, method), request_, caller=new_user())
    assert caught.value.metadata.get("field") == field


@pytest.mark.parametrize("method", _METHODS)
async def test_hostile_bytes_are_a_bad_request_and_end_nothing(recall: Recall, method: str) -> None:
    raw = recall.peer.channel.unary_unary(f"/triptych.recall.v1.RecallService/{method}")
    for hostile in (b"\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe", _LONE_SURROGATE):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(hostile, metadata=recall.peer.metadata(new_user()))
        error = from_rpc_error(caught.value)
        assert isinstance(error, InvalidArgument)
    assert await recall.append(new_user(), batch("still here"))


async def test_more_than_four_mebibytes_are_refused_and_end_nothing(recall: Recall) -> None:
    with pytest.raises(TriptychError) as caught:
        await recall.append(new_user(), batch(*["x" * 1_000_000] * 5))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await recall.append(new_user(), batch("x" * 1_000_000))


@pytest.mark.parametrize("method", _METHODS)
async def test_only_a_trusted_signature_for_this_service_is_accepted(mesh: Mesh, recall: Recall, method: str) -> None:
    ann = new_user()
    raw = recall.peer.channel.unary_unary(f"/triptych.recall.v1.RecallService/{method}")
    for token in (
        None,
        "",
        "garbage",
        mesh.gateway.token(ann, "archival_service"),
        mesh.stranger.token(ann, "recall_service"),
        mesh.gateway.token(ann, "recall_service")[:-4] + "AAAA",
    ):
        metadata = () if token is None else ((METADATA_KEY, token),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"", metadata=metadata)
        assert isinstance(from_rpc_error(caught.value), Unauthenticated)


async def test_agent_service_may_call_too(mesh: Mesh) -> None:
    peer = Peer("recall_service", mesh.service.grpc, mesh.agent_service)
    stub = RecallServiceStub(peer.channel)
    counted = await peer.unary(stub.CountMessages, pb.CountMessagesRequest(), caller=new_user())
    assert counted.count == 0
    await peer.close()
