"""Conversations: an agent's threads, each with a window of its own over one memory."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import shapes, turns
from gateway.rest.agents import compiled_prompt
from gateway.rest.common import Back, NewestFirst, answer, answers, given_request_id, request_id, struct
from gateway.rest.endpoints import Router
from gateway.rest.messages import Types, cancel_turns, messages_page, stream_turn, whole_turn
from gateway.rest.schemas import ConversationCreate, ConversationUpdate, MessagesCreate, OfAgent, StreamFrom
from servicekit import ids
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import InvalidArgument, NotFound, Unimplemented

router = Router(prefix="/v1/conversations", tags=["conversations"])


@router.post("")
async def create_conversation(
    agent_id: Annotated[str, Query()], request: Request, back: Back, body: ConversationCreate | None = None
) -> Response:
    wanted = pb.Conversation(agent_id=agent_id, summary=(body and body.summary) or "")
    create = pb.CreateConversationRequest(conversation=wanted, request_id=given_request_id(request))
    response = await back.agent_peer.unary(back.agents.CreateConversation, create)
    return answer(shapes.conversation(response.conversation))


@router.get("")
async def list_conversations(back: Back, listing: NewestFirst, agent_id: str | None = None) -> Response:
    """Those that were made: the one that comes with an agent is `default`."""
    request = pb.ListConversationsRequest(agent_id=agent_id or "", without_default=True, **listing.paging)
    response = await back.agent_peer.unary(back.agents.ListConversations, request)
    return answers(response.conversations, shapes.conversation)


def meant(conversation_id: str, agent_id: str | None = None) -> str:
    """The conversation that a path names: `default` is the agent's own, and so, for older programs, is an agent's id.

    Raises: InvalidArgument for `default` of nobody.
    """
    if conversation_id == "default":
        if not agent_id:
            raise InvalidArgument.of("agent_id", "must say whose conversation `default` is")
        return ids.derived("conv", agent_id)
    return ids.derived("conv", conversation_id) if ids.valid("agent", conversation_id) else conversation_id


@router.get("/{conversation_id}")
async def get_conversation(conversation_id: str, back: Back, agent_id: str | None = None) -> Response:
    return answer(shapes.conversation(await fetch(back, meant(conversation_id, agent_id))))


@router.patch("/{conversation_id}")
async def update_conversation(conversation_id: str, body: ConversationUpdate, back: Back) -> Response:
    paths = body.given("summary", "title", "metadata")
    wanted = pb.Conversation(
        id=conversation_id, summary=body.summary or "", title=body.title or "", metadata=struct(body.metadata)
    )
    request = pb.UpdateConversationRequest(conversation=wanted, update_mask=FieldMask(paths=paths))
    response = await back.agent_peer.unary(back.agents.UpdateConversation, request)
    return answer(shapes.conversation(response.conversation))


@router.delete("/{conversation_id}")
async def delete_conversation(conversation_id: str, back: Back) -> Response:
    request = pb.DeleteConversationRequest(conversation_id=conversation_id)
    await back.agent_peer.unary(back.agents.DeleteConversation, request)
    return answer({"message": f"Conversation id={conversation_id} successfully deleted"})


@router.post("/{conversation_id}/fork")
async def fork_conversation(
    conversation_id: str,
    request: Request,
    back: Back,
    agent_id: str | None = None,
    message_id: str | None = None,
    hidden: bool = False,
) -> Response:
    """A new conversation that goes on from here, with a window of its own."""
    if message_id or hidden:
        raise Unimplemented("a fork has all that the conversation has, and is listed: no message_id, and not hidden")
    fork = pb.ForkConversationRequest(
        conversation_id=meant(conversation_id, agent_id),
        request_id=request_id(request),
    )
    response = await back.agent_peer.unary(back.agents.ForkConversation, fork)
    return answer(shapes.conversation(response.conversation))


@router.post("/{conversation_id}/recompile")
async def recompile(conversation_id: str, back: Back, body: OfAgent | None = None) -> Response:
    """The prompt with the memory as it is: it is compiled for each step anyway."""
    conversation = await fetch(back, meant(conversation_id, body.agent_id if body else None))
    request = pb.PreviewContextRequest(agent_id=conversation.agent_id, conversation_id=conversation.id)
    return answer(await compiled_prompt(back, request))


@router.post("/{conversation_id}/cancel")
async def cancel(conversation_id: str, back: Back, agent_id: str | None = None) -> Response:
    """Cancels the conversation's turns that are not over."""
    conversation = await fetch(back, meant(conversation_id, agent_id))
    return answer(await cancel_turns(back, conversation.agent_id, conversation.id))


@router.post("/{conversation_id}/messages")
async def send_message(conversation_id: str, body: MessagesCreate, request: Request, back: Back) -> Response:
    """A stream, unless the body says `streaming: false`."""
    conversation = await fetch(back, meant(conversation_id, body.agent_id))
    answered = whole_turn if body.streaming is False else stream_turn
    return await answered(conversation.agent_id, conversation.id, body, request, back)


@router.post("/{conversation_id}/stream")
async def rejoin(conversation_id: str, back: Back, body: StreamFrom | None = None) -> Response:
    """The events of a run, or of the newest one, behind the one that the program has last seen."""
    conversation = await fetch(back, meant(conversation_id, body.agent_id if body else None))
    run_id = body.run_id if body else None
    if not run_id:
        newest = turn_pb2.ListTurnsRequest(agent_id=conversation.agent_id, conversation_id=conversation.id, page_size=1)
        found = (await back.agent_peer.unary(back.turns.ListTurns, newest)).turns
        if not found:
            raise NotFound("run", "")
        run_id = found[0].id
    return turns.streamed(await turns.rejoined(back, run_id, body.starting_after if body else 0))


@router.get("/{conversation_id}/messages")
async def list_messages(
    conversation_id: str, back: Back, listing: NewestFirst, agent_id: str | None = None, types: Types = None
) -> Response:
    of = await fetch(back, meant(conversation_id, agent_id))
    return await messages_page(back, listing, agent_id=of.agent_id, conversation_id=of.id, types=types)


async def fetch(back: Back, conversation_id: str) -> pb.Conversation:
    """Raises: NotFound."""
    request = pb.GetConversationRequest(conversation_id=conversation_id)
    response = await back.agent_peer.unary(back.agents.GetConversation, request)
    return response.conversation
