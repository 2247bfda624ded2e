"""What of a conversation stands in the model's window: summarising it, and emptying it. Recall keeps all of it."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from gateway.rest.agents import Known, fetch_agent
from gateway.rest.common import Back, answer
from gateway.rest.conversations import fetch, meant
from gateway.rest.endpoints import Router
from gateway.rest.schemas import OfAgent
from triptych.agent.v1 import agent_pb2 as pb

router = Router(prefix="/v1", tags=["messages"])


class Compact(OfAgent):
    """`compaction_settings`: of letta-client's, `mode` is read: `all` folds everything, any other the oldest part."""

    compaction_settings: dict[str, Any] | None = None


@router.post("/agents/{agent_id}/summarize")
async def compact(agent_id: str, back: Back, body: Compact | None = None) -> Response:
    return await _compacted(back, body, agent_id, "")


@router.post("/conversations/{conversation_id}/compact")
async def compact_conversation(conversation_id: str, back: Back, body: Compact | None = None) -> Response:
    conversation = await fetch(back, meant(conversation_id, body.agent_id if body else None))
    return await _compacted(back, body, conversation.agent_id, conversation.id)


@router.patch("/agents/{agent_id}/reset-messages")
async def reset(agent_id: str, back: Back, known: Known) -> Response:
    request = pb.ResetConversationRequest(agent_id=agent_id)
    await back.agent_peer.unary(back.agents.ResetConversation, request)
    return answer(await known.agent(await fetch_agent(back, agent_id)))


async def _compacted(back: Back, body: Compact | None, agent_id: str, conversation_id: str) -> Response:
    mode = ((body and body.compaction_settings) or {}).get("mode")
    request = pb.CompactConversationRequest(
        agent_id=agent_id,
        conversation_id=conversation_id,
        mode=pb.COMPACTION_MODE_ALL if mode in ("all", "self_compact_all") else pb.COMPACTION_MODE_UNSPECIFIED,
    )
    compaction = (await back.agent_peer.unary(back.agents.CompactConversation, request)).compaction
    shown = pb.PreviewContextRequest(agent_id=agent_id, conversation_id=conversation_id)
    after = len((await back.agent_peer.unary(back.agents.PreviewContext, shown)).messages)
    return answer(
        {
            "num_messages_before": after + compaction.evicted_messages,
            "num_messages_after": after,
            "summary": compaction.summary_message.text,
        }
    )
