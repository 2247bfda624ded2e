"""What starts a turn, or goes on with one that waits, from the body of a letta-client program."""

from __future__ import annotations

import json
import uuid

from fastapi import Request

from gateway.rest import content
from gateway.rest.common import Back
from gateway.rest.schemas import Answer, InputMessage, MessagesCreate
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import FailedPrecondition, InvalidArgument, Unimplemented
from triptych.type.v1 import type_pb2

_ROLES = {"user": type_pb2.ROLE_USER, "system": type_pb2.ROLE_SYSTEM, "assistant": type_pb2.ROLE_ASSISTANT}
# What a program would miss in the answer: it is told so, rather than left to wonder.
_NOT_DONE = {
    "override_system": "the agent's memory is always in its prompt; change the agent's `system`",
    "callback_url": "nobody is called back here; ask for the run, or stream it",
    "client_skills": "there are no skills here; say in the agent's `system` what there is",
    "return_logprobs": "the tokens' probabilities are not kept",
    "return_token_ids": "the tokens are not kept",
    "top_logprobs": "the tokens' probabilities are not kept",
}


async def start_request(
    agent_id: str,
    conversation_id: str,
    body: MessagesCreate,
    request: Request,
    back: Back,
    *,
    deltas: bool,
    background: bool,
) -> pb.StartTurnRequest:
    """The same `otid`, or the same Idempotency-Key, is the same turn.

    Raises: InvalidArgument; FailedPrecondition for a word on calls where no turn waits; Unimplemented.
    """
    for name in body.given(*_NOT_DONE):
        if getattr(body, name):
            raise Unimplemented(f"{name} is not supported: {_NOT_DONE[name]}")
    given = list(body.messages or [])
    if body.input is not None:
        given.append(InputMessage(content=body.input))
    if not given:
        raise InvalidArgument.of("messages", "must not be empty")
    start = pb.StartTurnRequest(
        agent_id=agent_id,
        conversation_id=conversation_id,
        request_id=given[-1].otid or request.headers.get("idempotency-key") or str(uuid.uuid4()),
        max_steps=body.max_steps,
        model=body.override_model or "",
        deltas=deltas,
        background=background,
        client_tools=[
            pb.ClientTool(
                name=tool.name,
                description=tool.description or "",
                parameters=json.dumps(tool.parameters or {"type": "object", "properties": {}}),
            )
            for tool in body.client_tools or []
        ],
    )
    for message in given:
        await _add(start, message, back)
    if start.approvals or start.tool_returns:  # the turn has its tools already, though programs name them again
        start.ClearField("client_tools")
        start.ClearField("model")
    return start


async def _add(start: pb.StartTurnRequest, message: InputMessage, back: Back) -> None:
    answers = (message.approvals or []) + (message.tool_returns or [])
    if message.approve is not None and not answers:
        answers = await _for_all(start, message, back)
    for answer in answers:
        if answer.type == "tool" or answer.tool_return is not None:
            start.tool_returns.append(_returned(answer))
        else:
            start.approvals.append(
                pb.Approval(tool_call_id=answer.tool_call_id, approve=answer.approve, reason=answer.reason or "")
            )
    if not answers:
        text, image_urls = content.read(message.content)
        start.messages.append(
            pb.InputMessage(
                role=_ROLES[message.role],
                text=text,
                image_urls=image_urls,
                name=message.name or "",
                otid=message.otid or "",
            )
        )


async def _for_all(start: pb.StartTurnRequest, message: InputMessage, back: Back) -> list[Answer]:
    """The same word for each call that a turn of this conversation waits with."""
    waiting = pb.ListTurnsRequest(
        agent_id=start.agent_id, conversation_id=start.conversation_id, states=[pb.TURN_STATE_WAITING], page_size=1
    )
    turns = (await back.agent_peer.unary(back.turns.ListTurns, waiting)).turns
    if not turns:
        raise FailedPrecondition("no turn of this conversation waits for an approval")
    return [
        Answer(tool_call_id=pending.call.id, approve=bool(message.approve), reason=message.reason)
        for pending in turns[0].pending_calls
        if not pending.client_side
    ]


def _returned(answer: Answer) -> pb.ClientToolReturn:
    status = type_pb2.TOOL_STATUS_ERROR if answer.status == "error" else type_pb2.TOOL_STATUS_SUCCESS
    text = answer.tool_return if isinstance(answer.tool_return, str) else content.text_of(answer.tool_return or [])
    return pb.ClientToolReturn(tool_call_id=answer.tool_call_id, text=text, status=status)
