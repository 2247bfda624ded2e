"""What an agent waits for, as a program that has just started asks."""

from __future__ import annotations

from gateway.backends import Backends
from gateway.rest import letta_messages
from gateway.rest.forms import Json
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Agent
from triptych.recall.v1.recall_pb2 import Message


async def approval(back: Backends, agent: Agent) -> Json | None:
    """The request of the turn that waits in the agent's own conversation, as the turn told it."""
    waiting = turn_pb2.ListTurnsRequest(
        agent_id=agent.id,
        conversation_id=agent.default_conversation_id,
        states=[turn_pb2.TURN_STATE_WAITING],
        page_size=1,
    )
    found = (await back.agent_peer.unary(back.turns.ListTurns, waiting)).turns
    return letta_messages.approval_request(await _asked(back, found[0].id), found[0]) if found else None


async def _asked(back: Backends, turn_id: str) -> Message:
    """The turn's last answer, with the calls."""
    last = Message()
    request = turn_pb2.ListTurnEventsRequest(turn_id=turn_id)
    while events := (await back.agent_peer.unary(back.turns.ListTurnEvents, request)).events:
        last = next((event.message for event in reversed(events) if event.HasField("message")), last)
        request.after_sequence = events[-1].sequence
    return last
