"""The door: kinds of keys, what is forwarded and what is not, REST over the real services."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from triptych.gateway.v1 import gateway_pb2 as pb


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as opened_door:
        yield opened_door


async def test_an_admin_makes_users_and_keys_and_a_user_does_not(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
        key = await admin.keys.create("bob")
        async with door.client(key.secret) as bob:
            me = await bob.users.me()
            assert (me.user.name, me.kind) == ("bob", pb.KEY_KIND_USER)
            with pytest.raises(PermissionDenied):
                await bob.users.create("eve")
            with pytest.raises(PermissionDenied):
                await bob.keys.create("bob", kind=pb.KEY_KIND_ADMIN)
            await admin.keys.revoke(key.key.id)
            with pytest.raises(Unauthenticated):
                await bob.users.me()


async def test_an_application_key_acts_for_any_user_and_walls_them_off(door: Door) -> None:
    async with door.client() as admin:
        for name in ("bob", "carol"):
            await admin.users.create(name)
        key = (await admin.keys.create(kind=pb.KEY_KIND_APPLICATION)).secret
    async with door.client(key, user="bob") as bob, door.client(key, user="carol") as carol:
        agent = await bob.agents.create("bobs", blocks={"human": "secret"})
        assert [each.name async for each in bob.agents.list()] == ["bobs"]
        assert [each async for each in carol.agents.list()] == []
        with pytest.raises(NotFound):
            await carol.agents.get(agent.id)
    async with door.client(key) as nobody:
        with pytest.raises(InvalidArgument, match="triptych-user"):
            await nobody.agents.count()
    async with door.client(key, user="eve") as eve:
        assert await eve.agents.count() == 0


async def test_other_keys_act_for_nobody_else(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
    async with door.client(user="bob") as pretender:
        with pytest.raises(PermissionDenied):
            await pretender.agents.count()
    async with door.http(user_id="bob") as http:
        assert (await http.get("/v1/agents/count")).json() == 0


async def test_a_method_that_is_not_of_the_contract_is_unimplemented(door: Door) -> None:
    async with grpc.aio.insecure_channel(door.address) as channel:
        call: Any = channel.unary_unary("/triptych.agent.v1.AgentService/NoSuchMethod")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("authorization", f"Bearer {FIRST_KEY}"),))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_same_turn_reads_the_same_by_grpc_and_by_rest(door: Door) -> None:
    async with door.client() as client, door.http() as http:
        agent = await client.agents.create("both", blocks={"human": ""})
        reply = await client.turns.send(agent.id, "by grpc")
        assert reply.text == "ok: by grpc"
        await http.post(f"/v1/agents/{agent.id}/messages", json={"input": "by rest"})
        listed = (await http.get(f"/v1/agents/{agent.id}/messages", params={"order": "asc"})).json()
        assert [message["content"] for message in listed] == ["by grpc", "ok: by grpc", "by rest", "ok: by rest"]
        assert [m.text async for m in client.recall.list(agent.id)] == [m["content"] for m in listed]


async def test_the_same_otid_runs_once_and_answers_the_same(door: Door) -> None:
    async with door.http() as http:
        agent_id = (await http.post("/v1/agents/", json={"name": "a"})).json()["id"]
        body = {"messages": [{"role": "user", "content": "once", "otid": "o1"}]}
        first = await http.post(f"/v1/agents/{agent_id}/messages", json=body)
        again = await http.post(f"/v1/agents/{agent_id}/messages/", json=body)
        assert first.json() == again.json()
        assert len((await http.get(f"/v1/agents/{agent_id}/messages")).json()) == 2


async def test_a_stream_is_ping_pieces_stop_reason_usage_done(door: Door) -> None:
    async with door.http() as http:
        agent_id = (await http.post("/v1/agents/", json={"name": "a"})).json()["id"]
        body = {"input": "one two three", "stream_tokens": True}
        answer = await http.post(f"/v1/agents/{agent_id}/messages/stream", json=body)
        events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
        assert events[-1] == "[DONE]"
        shown = [json.loads(event) for event in events[:-1]]
        kinds = [each["message_type"] for each in shown]
        assert kinds[0] == "ping"
        assert kinds[-2:] == ["stop_reason", "usage_statistics"]
        pieces = [each for each in shown if each["message_type"] == "assistant_message"]
        assert "".join(each["content"] for each in pieces) == "ok: one two three"
        assert len({each["id"] for each in pieces}) == 1


async def test_lists_page_in_both_directions_by_id(door: Door) -> None:
    async with door.http() as http:
        made = [(await http.post("/v1/agents/", json={"name": str(i)})).json()["id"] for i in range(5)]

        async def ids(**query: Any) -> list[str]:
            return [each["id"] for each in (await http.get("/v1/agents/", params=query)).json()]

        assert await ids() == made[::-1]
        assert await ids(order="asc", limit=2) == made[:2]
        assert await ids(order="asc", limit=2, after=made[1]) == made[2:4]
        assert await ids(order="asc", limit=2, before=made[3]) == made[1:3]
        assert await ids(order="desc", limit=2, after=made[3]) == made[1:3][::-1]
        assert await ids(after="agent-none") == []


async def test_public_pages_need_no_key_and_no_network(door: Door) -> None:
    async with httpx.AsyncClient(base_url=door.http_url) as http:
        assert (await http.get("/v1/health/")).json()["status"] == "ok"
        assert (await http.get("/")).headers["location"] == "/docs"
        page = (await http.get("/docs")).text
        assert "http://" not in page
        assert "https://" not in page
        for path in ("/swagger-static/swagger-ui-bundle.js", "/openapi.json"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/swagger-static/..%2f..%2fsetup.py")).status_code in (401, 404)


async def test_what_is_not_there_is_404_and_never_a_trace(door: Door) -> None:
    async with door.http() as http:
        answer = await http.get("/v1/no/such/route")
        assert answer.status_code == 404
        assert "no route" in answer.json()["detail"]
