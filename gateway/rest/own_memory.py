"""`/v1/memory`: memory for programs that run agents of their own."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from pydantic import Field

from gateway.memory_servicer import MemoryServicer
from gateway.rest import content, forms, shapes
from gateway.rest.common import answer, moment, struct
from gateway.rest.endpoints import Given, Router
from gateway.rest.schemas import Body, Metadata
from triptych.archival.v1.archival_pb2 import Passage
from triptych.gateway.v1 import memory_pb2 as pb
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1/memory", tags=["memory without an agent"])
_MODES = {
    "hybrid": type_pb2.SEARCH_MODE_HYBRID,
    "lexical": type_pb2.SEARCH_MODE_LEXICAL,
    "semantic": type_pb2.SEARCH_MODE_SEMANTIC,
}
_ROLES = {
    "developer": type_pb2.ROLE_SYSTEM,
    "system": type_pb2.ROLE_SYSTEM,
    "user": type_pb2.ROLE_USER,
    "assistant": type_pb2.ROLE_ASSISTANT,
    "tool": type_pb2.ROLE_TOOL,
}
_NAMES = {role: name for name, role in _ROLES.items()}


class Said(Body):
    """One message, as in the OpenAI chat format; one that says nothing is left out. `created_at`: ISO 8601, or now."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = "user"
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    created_at: str | None = None


class Known(Body):
    """One fact."""

    text: str
    tags: list[str] = Field(default_factory=list)
    metadata: Metadata | None = None
    created_at: str | None = None


class MemoryAdd(Body):
    """What was said goes to recall, what is to be known to archival memory.

    `agent_id`: an agent here, whose memory it becomes; not given: the user's own memory. `conversation_id`: your own
    name of the conversation.
    """

    messages: list[Said] = Field(default_factory=list, max_length=1000)
    facts: list[str | Known] = Field(default_factory=list, max_length=1000)
    agent_id: str = ""
    conversation_id: str = ""


class MemorySearch(Body):
    """`agent_id`: of this agent alone; not given: all the user's. `limit`: of messages, and of facts."""

    query: str
    agent_id: str = ""
    conversation_id: str = ""
    mode: Literal["hybrid", "lexical", "semantic"] = "hybrid"
    start_date: str | None = None
    end_date: str | None = None
    limit: int = Field(default=10, ge=1, le=100)


async def _servicer(request: Request) -> MemoryServicer:
    return MemoryServicer(request.app.state.backends)


Memory = Annotated[MemoryServicer, Given(_servicer)]


@router.post("/add")
async def add_memory(body: MemoryAdd, request: Request, memory: Memory) -> Response:
    """Adds messages and facts, once for each `Idempotency-Key`."""
    add = pb.AddMemoryRequest(
        agent_id=body.agent_id,
        conversation_id=body.conversation_id,
        request_id=request.headers.get("idempotency-key") or str(uuid.uuid4()),
        messages=[_said(message) for message in body.messages],
        facts=[_known(fact) for fact in body.facts],
    )
    added = await memory.AddMemory(add, None)
    return answer(
        {
            "messages": [_message(message) for message in added.messages],
            "facts": [shapes.passage(fact) for fact in added.facts],
        }
    )


@router.post("/search")
async def search_memory(body: MemorySearch, memory: Memory) -> Response:
    """What was said and what is known, best first; scores of the two can't be compared."""
    search = pb.SearchMemoryRequest(
        query=body.query,
        agent_id=body.agent_id,
        conversation_id=body.conversation_id,
        mode=_MODES[body.mode],
        start_time=moment("start_date", body.start_date),
        end_time=moment("end_date", body.end_date, end=True),
        limit=body.limit,
    )
    found = await memory.SearchMemory(search, None)
    return answer(
        {
            "messages": [{**_message(hit.message), "score": hit.score} for hit in found.messages],
            "facts": [{**shapes.passage(hit.passage), "score": hit.score} for hit in found.facts],
        }
    )


def _said(given: Said) -> Message:
    text, urls = content.read(given.content or "")
    return Message(
        role=_ROLES[given.role],
        text=text,
        image_urls=urls,
        name=given.name or "",
        create_time=moment("created_at", given.created_at),
    )


def _known(given: str | Known) -> Passage:
    fact = Known(text=given) if isinstance(given, str) else given
    return Passage(
        text=fact.text,
        tags=fact.tags,
        metadata=struct(fact.metadata),
        create_time=moment("created_at", fact.created_at),
    )


def _message(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "role": _NAMES.get(message.role),
        "content": content.shown(message.text, message.image_urls),
        "name": message.name or None,
        "agent_id": message.agent_id,
        "conversation_id": message.conversation_id,
        "created_at": forms.time(message.create_time),
    }
