"""Short ways to write down what is said, and to call recall_service."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from embedders import Vectors
from recall_service.store import Filters, Found, RecallStore
from servicekit import paging
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.cli.up import signing_keys
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

T = TypeVar("T")
_PATIENCE_SECONDS = 60


async def eventually(
    look: Callable[[], Awaitable[T]], good: Callable[[T], bool], *, seconds: float = _PATIENCE_SECONDS
) -> T:
    """What `look` gives, as soon as it is `good`: for what recall does behind its answers. Raises: TimeoutError."""
    async with asyncio.timeout(seconds):
        while not good(seen := await look()):  # noqa: ASYNC110  what another process does can't set an event here
            await asyncio.sleep(0.02)
    return seen


def environment(folder: Path) -> dict[str, str]:
    """Settings of a recall_service of its own, on a free port."""
    return {
        "TRIPTYCH_RECALL_LISTEN": "127.0.0.1:0",
        "TRIPTYCH_RECALL_DSN": f"sqlite:///{folder}/recall.db",
        "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "gateway")[1]),
        "TRIPTYCH_AGENT_VERIFY_KEY_FILE": str(signing_keys.ensure(folder, "agent_service")[1]),
    }


def said(
    text: str, role: type_pb2.Role.ValueType = type_pb2.ROLE_USER, *, at: int | None = None, **more: str
) -> Message:
    """A message. `at`: seconds since 1970."""
    return Message(text=text, role=role, create_time=None if at is None else Timestamp(seconds=at), **more)


def batch(
    *messages: Message | str, agent: str = "agent-1", conversation: str = "conv-1", request: str = "", fence: int = 0
) -> AppendMessagesRequest:
    """An append; texts are the user's messages, and an empty `request` means a new one."""
    return AppendMessagesRequest(
        agent_id=agent,
        conversation_id=conversation,
        request_id=request or str(uuid.uuid4()),
        fence=Fence(scope=conversation, token=fence) if fence else None,
        messages=[said(each) if isinstance(each, str) else each for each in messages],
    )


async def find_words(store: RecallStore, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
    return await store.look(tenant, lambda seen: seen.find_words(query, filters, most))


async def find_meaning(store: RecallStore, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
    near = await store.near(tenant, filters.scope)
    return await store.look(tenant, lambda seen: seen.find_meaning(vector, filters, most), near)


async def numbered(store: RecallStore, tenant: Tenant, found: Sequence[Found]) -> dict[int, Message]:
    """The messages that were found, by their numbers."""
    return await store.look(tenant, lambda seen: seen.numbered([each.n for each in found]))


def page(size: int = 50, *, token: str = "", descending: bool = False) -> Page:
    order = type_pb2.SORT_ORDER_DESCENDING if descending else type_pb2.SORT_ORDER_ASCENDING
    return paging.read(size=size, token=token, query=("test",), order=order)


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]
