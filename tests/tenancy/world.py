"""Two users of one account with one resource of each kind, and a user of another account."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from agent_service.stores.sleeps import conversation_of
from tests.support import mcp_server
from tests.support.door import ALL, FIRST_KEY, Door, announced
from tests.support.mcp_server import TOKEN
from tests.support.recall import eventually
from tests.support.scripted_model import MODEL, ScriptedModel
from tests.support.stack import running
from triptych import ACCOUNT
from triptych.agent.v1 import agent_pb2, identity_pb2, provider_pb2, sharing_pb2, step_pb2, turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.gateway.v1 import agent_file_pb2, batch_pb2, gateway_pb2, group_pb2, memory_pb2
from triptych.recall.v1 import recall_pb2

# The modules whose services the gateway serves. A new one goes here.
MODULES = (
    agent_pb2,
    turn_pb2,
    step_pb2,
    identity_pb2,
    provider_pb2,
    sharing_pb2,
    archival_pb2,
    recall_pb2,
    gateway_pb2,
    memory_pb2,
    group_pb2,
    batch_pb2,
    agent_file_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}/{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
CANARIES = {"ann": "ANNS-OWN-WORDS", "bob": "BOBS-OWN-WORDS", "cyd": "CYDS-OWN-WORDS"}

# Named, so that no provider that a test makes the default takes its place.
_MODEL = {"handle": MODEL}
_SCHEMA = '{"type": "object", "properties": {}}'
# How one of each kind is made: the RPC, its request, and where in the answer its id is.
# In a template `{kind}` is the user's standing one, `{+kind}` one made for this, `{uuid}` random, `{words}` the user's.
MAKING: dict[str, tuple[str, Any, str]] = {
    "agent": (
        "AgentService/CreateAgent",
        {
            "agent": {
                "name": "{words}",
                "model": _MODEL,
                "blocks": [{"label": "human", "value": "{words}"}],
                "tags": ["{words}"],
            }
        },
        "agent.id",
    ),
    "sleeper": (
        "AgentService/CreateAgent",
        {"agent": {"name": "{words}", "model": _MODEL, "sleep_time": {"enabled": True, "every_turns": 1}}},
        "agent.id",
    ),
    "block": ("AgentService/CreateBlock", {"block": {"label": "notes", "value": "{words}"}}, "block.id"),
    "edited_block": (
        "AgentService/UpdateBlock",
        {"block": {"id": "{+block}", "value": "{words} again"}, "update_mask": "value"},
        "block.id",
    ),
    "identity": (
        "IdentityService/CreateIdentity",
        {"identity": {"identifier_key": "{uuid}", "name": "{words}", "agent_ids": ["{agent}"]}},
        "identity.id",
    ),
    "conversation": (
        "AgentService/CreateConversation",
        {"conversation": {"agent_id": "{agent}", "summary": "{words}"}},
        "conversation.id",
    ),
    "turn": (
        "TurnService/StartTurn",
        {"agent_id": "{agent}", "request_id": "{uuid}", "messages": [{"text": "{words}"}]},
        "event.turn_id",
    ),
    "message": (
        "RecallService/AppendMessages",
        {
            "agent_id": "{agent}",
            "conversation_id": "{conversation}",
            "request_id": "{uuid}",
            "messages": [{"role": "ROLE_USER", "text": "{words}"}],
        },
        "messages.id",
    ),
    "archive": ("ArchivalService/CreateArchive", {"archive": {"name": "{words}"}}, "archive.id"),
    "passage": (
        "ArchivalService/InsertPassages",
        {"archive_id": "{archive}", "request_id": "{uuid}", "passages": [{"text": "{words}"}]},
        "passages.id",
    ),
    # A passage in the archive that goes with the agent.
    "memory": (
        "ArchivalService/InsertPassages",
        {
            "archive_id": "{agent_archive}",
            "request_id": "{uuid}",
            "passages": [{"text": "{words}"}],
            "create_archive_name": "{words}",
        },
        "passages.id",
    ),
    "document": (
        "ArchivalService/AddDocument",
        [
            {"header": {"archive_id": "{archive}", "file_name": "{uuid}.txt", "request_id": "{uuid}"}},
            {"chunk": "V29yZHMgb2YgYSBmaWxlLg=="},
        ],
        "document.id",
    ),
    "reader": (
        "AgentService/CreateAgent",
        {"agent": {"name": "{words}", "model": _MODEL, "archive_ids": ["{archive}"]}},
        "agent.id",
    ),
    "own_tool": (
        "AgentService/CreateTool",
        {"tool": {"name": "t-{uuid}", "description": "{words}", "json_schema": _SCHEMA}},
        "tool.id",
    ),
    "server": (
        "AgentService/CreateMcpServer",
        {"server": {"name": "s-{uuid}", "url": "{mcp_url}", "headers": {"authorization": TOKEN}}},
        "server.id",
    ),
    "provider": (
        "ProviderService/CreateProvider",
        {"provider": {"name": "p-{uuid}", "base_url": "{mcp_url}", "api_key": "{words}", "models": ["{words}"]}},
        "provider.id",
    ),
    "server_tool": ("AgentService/ListTools", {"mcp_server_id": "{server}"}, "tools.id"),
    "equipped": ("AgentService/AttachTool", {"agent_id": "{+agent}", "tool_id": "{server_tool}"}, "agent.id"),
    "based": (
        "AgentService/CreateAgent",
        {"agent": {"name": "{words}", "model": _MODEL}, "include_base_tools": True},
        "agent.id",
    ),
    # An agent that the user may talk with as its guests do.
    "lent": ("SharingService/ShareAgent", {"agent_id": "{+agent}", "user_id": "{me}"}, "share.agent_id"),
    # What the account shares.
    "shared_archive": ("ArchivalService/CreateArchive", {"archive": {"name": "{words}"}}, "archive.id"),
    "shared_passage": (
        "ArchivalService/InsertPassages",
        {"archive_id": "{shared_archive}", "request_id": "{uuid}", "passages": [{"text": "{words}"}]},
        "passages.id",
    ),
    "shared_document": (
        "ArchivalService/AddDocument",
        [
            {"header": {"archive_id": "{shared_archive}", "file_name": "{uuid}.txt", "request_id": "{uuid}"}},
            {"chunk": "V29yZHMgb2YgYSBmaWxlLg=="},
        ],
        "document.id",
    ),
    "shared_block": ("AgentService/CreateBlock", {"block": {"label": "rules", "value": "{words}"}}, "block.id"),
    "shared_provider": (
        "ProviderService/CreateProvider",
        {"provider": {"name": "p-{uuid}", "base_url": "{mcp_url}", "models": ["{words}"]}},
        "provider.id",
    ),
    # A turn that waits for what its client's tool returns.
    "waiting": (
        "TurnService/StartTurn",
        {
            "agent_id": "{+agent}",
            "request_id": "{uuid}",
            "messages": [{"text": "[[call:look {}]] {words}"}],
            "client_tools": [{"name": "look", "description": "d", "parameters": _SCHEMA}],
        },
        "event.turn_id",
    ),
    "user": ("GatewayService/CreateUser", {"name": "{uuid}"}, "user.id"),
    "key": (
        "GatewayService/CreateKey",
        {"kind": "KEY_KIND_USER", "user_id": "{user}", "name": "{words}"},
        "key.id",
    ),
    "erased": ("GatewayService/DeleteUser", {"user_id": "{+user}"}, "erasure.id"),
}
# The same for what is made by REST alone; its id is `id`.
MAKING_BY_REST: dict[str, tuple[str, Any]] = {
    "group": ("/v1/groups", {"agent_ids": ["{agent}"], "description": "{words}"}),
    "batch": ("/v1/messages/batches", {"requests": [{"agent_id": "{agent}", "input": "{words}"}]}),
}
# These belong to an account, so the stranger's are another account's.
SHARED = tuple(kind for kind in MAKING if kind.startswith("shared_"))
OF_ACCOUNT = ("me", "user", "key", "erased", *SHARED)


class World:
    """`ids[user][kind]`: the standing resources. Ann is an admin and asks; Bob and Cyd own what she must not see.

    Dan is of Ann's account, and no admin.
    """

    def __init__(self, door: Door, channel: grpc.aio.Channel) -> None:
        self._door, self._channel = door, channel
        self._keys: dict[str, str] = {}
        self.ids: dict[str, dict[str, str]] = {}
        # Ann's.
        self.http = httpx.AsyncClient()

    @classmethod
    async def made(cls, door: Door, channel: grpc.aio.Channel, mcp_url: str) -> World:
        world = cls(door, channel)
        world._keys["operator"] = FIRST_KEY
        for account, admin in (("one", "ann"), ("two", "cyd")):
            made = await world.ask("operator", "GatewayService/CreateAccount", {"name": account, "admin_name": admin})
            world._keys[admin] = made.secret
        world.http = door.http(world._keys["ann"])
        await world.ask("ann", "GatewayService/CreateUser", {"name": "bob"})
        key = {"kind": "KEY_KIND_ADMIN", "user_id": "bob"}
        world._keys["bob"] = (await world.ask("ann", "GatewayService/CreateKey", key)).secret
        await world.ask("ann", "GatewayService/CreateUser", {"name": "dan"})
        key = {"kind": "KEY_KIND_USER", "user_id": "dan"}
        world._keys["dan"] = (await world.ask("ann", "GatewayService/CreateKey", key)).secret
        tools = await world.ask("ann", "AgentService/ListTools", {})
        for user in CANARIES:
            me = await world.ask(user, "GatewayService/WhoAmI", {})
            world.ids[user] = {"me": me.user.id, "tool": tools.tools[0].id, "mcp_url": f"{mcp_url}?of={user}"}
            for kind in MAKING:
                if kind in SHARED and user == "bob":  # Ann's account is his
                    continue
                world.ids[user][kind] = await world.make(user, kind)
                if kind == "agent":
                    agent = await world.ask(user, "AgentService/GetAgent", {"agent_id": "{agent}"})
                    world.ids[user]["agent_archive"] = agent.agent.archive_ids[0]
                    world.ids[user]["agent_block"] = agent.agent.blocks[0].id
                    world.ids[user]["sleep_turn"] = await world.slept(user)
                if kind == "turn":
                    steps = await world.ask(user, "StepService/ListSteps", {"turn_id": "{turn}"})
                    world.ids[user]["step"] = steps.steps[0].id
            for kind in MAKING_BY_REST:
                world.ids[user][kind] = await world.make_by_rest(user, kind)
        return world

    def http_of(self, user: str) -> httpx.AsyncClient:
        return self._door.http(self._keys[user])

    async def make_by_rest(self, user: str, kind: str) -> str:
        path, template = MAKING_BY_REST[kind]
        async with self._door.http(self._keys[user]) as http:
            made = (await http.post(path, json=await self.fill(user, template))).raise_for_status().json()
            if kind == "batch":
                await eventually(lambda: http.get(f"{path}/{made['id']}"), lambda got: bool(got.json()["completed_at"]))
        return str(made["id"])

    async def slept(self, user: str) -> str:
        """The id of a sleep-time turn that is over."""
        agent_id = await self.make(user, "sleeper")
        start = {"agent_id": agent_id, "request_id": "{uuid}", "messages": [{"text": "{words}"}]}
        await self.ask(user, "TurnService/StartTurn", start)
        mine = {"agent_id": agent_id, "conversation_id": conversation_of(agent_id)}
        listed = await eventually(
            lambda: self.ask(user, "TurnService/ListTurns", mine),
            lambda listed: bool(listed.turns) and listed.turns[0].state == turn_pb2.TURN_STATE_COMPLETED,
        )
        return str(listed.turns[0].id)

    def stranger(self, kind: str) -> str:
        """The id of that kind which is not Ann's."""
        return self.ids["cyd" if kind in OF_ACCOUNT else "bob"][kind]

    async def make(self, user: str, kind: str) -> str:
        rpc, template, where = MAKING[kind]
        request = await self.fill(user, template)
        response: Any = (await self.call(user, rpc, request, for_account=kind in SHARED))[-1]
        for name in where.split("."):
            value = getattr(response, name)
            response = value[0] if isinstance(value, list) or hasattr(value, "add") else value
        return str(response)

    async def ask(self, user: str, rpc: str, template: Any) -> Any:
        """The (last) answer to a request that has to succeed."""
        return (await self.call(user, rpc, await self.fill(user, template)))[-1]

    async def fill(self, user: str, template: Any) -> Any:
        """The template with its placeholders replaced."""
        text = json.dumps(template)
        for kind in MAKING:
            while f"{{+{kind}}}" in text:
                text = text.replace(f"{{+{kind}}}", await self.make(user, kind), 1)
        for kind in MAKING_BY_REST:
            while f"{{+{kind}}}" in text:
                text = text.replace(f"{{+{kind}}}", await self.make_by_rest(user, kind), 1)
        for kind, its_id in self.ids.get(user, {}).items():
            text = text.replace(f"{{{kind}}}", its_id)
        while "{uuid}" in text:
            text = text.replace("{uuid}", str(uuid.uuid4()), 1)
        return json.loads(text.replace("{words}", CANARIES.get(user, "")))

    async def call(self, user: str, rpc: str, request: Any, *, for_account: bool = False) -> list[Message]:
        """All answers to a request (or to a list of them). Raises: grpc.aio.AioRpcError."""
        response_type = message_factory.GetMessageClass(METHODS[rpc].output_type)
        requests = request if isinstance(request, list) else [request]
        raw = await self.sent(user, rpc, [self.serialized(rpc, each) for each in requests], for_account=for_account)
        return [response_type.FromString(each) for each in raw]

    def serialized(self, rpc: str, request: Any) -> bytes:
        return ParseDict(request, message_factory.GetMessageClass(METHODS[rpc].input_type)()).SerializeToString()

    async def sent(self, user: str, rpc: str, raw: list[bytes], *, for_account: bool = False) -> list[bytes]:
        """The bytes of all answers to bytes. Raises: grpc.aio.AioRpcError."""
        method = METHODS[rpc]
        metadata = [("authorization", f"Bearer {self._keys[user]}")]
        if for_account:
            metadata.append(("triptych-user", ACCOUNT))
        path = f"/{method.containing_service.full_name}/{method.name}"
        call: Any
        if method.client_streaming:
            call = self._channel.stream_stream(path)(_each(raw), metadata=metadata, timeout=30)
        elif method.server_streaming:
            call = self._channel.unary_stream(path)(raw[0], metadata=metadata, timeout=30)
        else:
            return [await self._channel.unary_unary(path)(raw[0], metadata=metadata, timeout=30)]
        return [each async for each in call]

    async def seen_by_others(self) -> str:
        """All that Bob and Cyd can list: it has to be the same after Ann has tried everything."""
        seen = []
        for user, rpc, template in OTHERS_LISTS:
            answer = await self.ask(user, rpc, template)
            for key in getattr(answer, "keys", ()):
                key.ClearField("last_use_time")
            seen.append(str(answer))
        async with self._door.http(self._keys["bob"]) as http:
            seen += [(await http.get(path)).text for path, _ in MAKING_BY_REST.values()]
        return "\n".join(seen)


OTHERS_LISTS: tuple[tuple[str, str, Any], ...] = (
    *(
        ("bob", rpc, {})
        for rpc in (
            "AgentService/ListAgents",
            "AgentService/ListBlocks",
            "ProviderService/ListProviders",
            "IdentityService/ListIdentities",
            "TurnService/ListTurns",
            "RecallService/ListMessages",
            "ArchivalService/ListArchives",
            "ArchivalService/ListPassages",
            "ArchivalService/ListDocuments",
        )
    ),
    ("bob", "AgentService/ListConversations", {"agent_id": "{agent}"}),
    ("bob", "AgentService/ListBlockRevisions", {"block_id": "{block}"}),
    ("cyd", "ArchivalService/ListArchives", {"shared": True}),
    ("cyd", "AgentService/ListBlocks", {"shared": True}),
    ("cyd", "ProviderService/ListProviders", {"shared": True}),
    ("cyd", "GatewayService/ListUsers", {}),
    ("cyd", "GatewayService/ListKeys", {}),
)


async def _each(items: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


_MORE = {"TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on", "TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES": "on"}


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    """A world in a system of its own. Whatever Ann does there, what Bob and Cyd see is the same at the end."""
    model, said = ScriptedModel().start(), io.StringIO()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(model.stop)
        mcp_url = stack.enter_context(mcp_server.running("http"))
        with contextlib.redirect_stdout(said):
            services = await stack.enter_async_context(running(folder, *ALL, model_url=model.url, more=_MORE))
        door = announced(said.getvalue(), services)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(door.address))
        made = await World.made(door, channel, mcp_url)
        stack.push_async_callback(made.http.aclose)
        before = await made.seen_by_others()
        yield made
        assert await made.seen_by_others() == before, "Ann has changed what is Bob's or Cyd's"
