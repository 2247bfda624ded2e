"""`POST /v1/chat/completions`: a turn of an agent, whole or streamed."""

from __future__ import annotations

import json
import uuid

from fastapi import Request, Response

from gateway.rest import content
from gateway.rest.common import Back, answer
from gateway.rest.endpoints import Router
from gateway.rest.events import EventStream
from gateway.rest.openai.chunks import completion, stream
from gateway.rest.openai.form import PREFIX
from gateway.rest.openai.models import agent_of
from gateway.rest.openai.schemas import ChatCompletionCreate, ChatMessage
from gateway.rest.turns import begun, run_to_end
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

router = Router(prefix=PREFIX, tags=["openai"])


@router.post("/chat/completions")
async def create_chat_completion(body: ChatCompletionCreate, request: Request, back: Back) -> Response:
    """The agent keeps the conversation: only the user messages behind the last answer are new to it.

    The header `Idempotency-Key` makes a retry safe: the same key runs the turn once and gets its answer.
    """
    start = _start(await agent_of(back, body.model), body, request.headers.get("idempotency-key"))
    if not body.stream:
        return answer(completion(await run_to_end(back, start), body.model))
    # Waited for before anything is answered, so that a missing agent or a bad request is an answer with its status.
    events = await begun(back, start)
    usage = body.stream_options is not None and body.stream_options.include_usage
    chunks = stream(events.first.event, events.later, body.model, usage=usage)
    return EventStream(chunks)


def _start(agent_id: str, body: ChatCompletionCreate, key: str | None) -> pb.StartTurnRequest:
    newest = body.new_messages()
    if not newest:
        raise InvalidArgument.of("messages", "must end with what the user says")
    return pb.StartTurnRequest(
        agent_id=agent_id,
        conversation_id=body.conversation_id,
        request_id=key or str(uuid.uuid4()),
        messages=[_input(message) for message in newest],
        deltas=body.stream,
        response_format=json.dumps(body.response_format, ensure_ascii=False) if body.response_format else "",
    )


def _input(message: ChatMessage) -> pb.InputMessage:
    """Raises: InvalidArgument."""
    text, image_urls = content.read(message.content or "")
    return pb.InputMessage(role=type_pb2.ROLE_USER, text=text, name=message.name or "", image_urls=image_urls)
