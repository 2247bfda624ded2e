"""Searches over everything a user has."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from gateway.rest import letta_messages, shapes
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back, answer, moment, tag_match
from gateway.rest.endpoints import Router
from gateway.rest.schemas import MessageSearch, PassageSearch
from triptych import archives
from triptych.archival.v1 import archival_pb2
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1", tags=["search"])

_MODES = {
    "vector": type_pb2.SEARCH_MODE_SEMANTIC,
    "fts": type_pb2.SEARCH_MODE_LEXICAL,
    "hybrid": type_pb2.SEARCH_MODE_HYBRID,
}
_ROLES = {
    "system": type_pb2.ROLE_SYSTEM,
    "user": type_pb2.ROLE_USER,
    "assistant": type_pb2.ROLE_ASSISTANT,
    "tool": type_pb2.ROLE_TOOL,
}


@router.post("/messages/search")
async def search_messages(body: MessageSearch, back: Back) -> Response:
    request = recall_pb2.SearchMessagesRequest(
        query=body.query or "",
        agent_id=body.agent_id or "",
        conversation_id=body.conversation_id or "",
        mode=_MODES[body.search_mode],
        roles=[_role(role) for role in body.roles or ("user", "assistant")],
        start_time=moment("start_date", body.start_date),
        end_time=moment("end_date", body.end_date, end=True),
        limit=body.limit,
    )
    response = await back.recall_peer.unary(back.recall.SearchMessages, request)
    return answer([part for hit in response.hits for part in _found(hit)])


@router.post("/passages/search")
async def search_passages(body: PassageSearch, back: Back) -> Response:
    archive_ids = [body.archive_id] if body.archive_id else []
    if body.agent_id:
        agent = await fetch_agent(back, body.agent_id)
        archive_ids = archives.searched(agent, archive_ids or None)
    request = archival_pb2.SearchPassagesRequest(
        archive_ids=archive_ids,
        query=body.query or "",
        tags=body.tags or [],
        tag_match=tag_match(body.tag_match_mode),
        start_time=moment("start_date", body.start_date),
        end_time=moment("end_date", body.end_date, end=True),
        limit=body.limit,
    )
    response = await back.archival_peer.unary(back.archival.SearchPassages, request)
    return answer(
        [{"passage": shapes.passage(hit.passage), "score": hit.score, "metadata": {}} for hit in response.hits]
    )


def _role(name: str) -> type_pb2.Role.ValueType:
    if name not in _ROLES:
        raise InvalidArgument.of("roles", f"must be of {', '.join(_ROLES)}")
    return _ROLES[name]


def _found(hit: recall_pb2.MessageHit) -> list[dict[str, Any]]:
    scores = {"rrf_score": hit.score, "fts_score": hit.lexical, "vector_score": hit.semantic}
    return [
        {
            **part,
            "message_id": part["id"],
            "agent_id": hit.message.agent_id,
            "created_at": part["date"],
            "metadata": scores,
        }
        for part in letta_messages.parts(hit.message)
    ]
