"""What was said in a group: each message to it once, and what its agents made of it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway import journal
from gateway.backends import Backends
from gateway.stores.groups import GroupTurn
from triptych.errors import NotFound
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2


async def page(
    back: Backends, turns: Sequence[GroupTurn], limit: int, *, before_id: str = "", after_id: str, descending: bool
) -> list[Message]:
    """At most `limit`, next to the messages of these ids ('': from the start); an agent's own have its `agent_id`.

    `turns`: all of the group's, oldest first. Reads no more of them than the page needs.
    """
    # With only `before_id` what is next to it is wanted: that is what comes after it in the other order.
    backwards = bool(before_id) and not after_id
    newest_first = descending is not backwards
    ordered = list(reversed(turns)) if newest_first else list(turns)
    anchor, end = (before_id, "") if backwards else (after_id, before_id)
    if anchor:
        ordered = await _from(back, ordered, anchor)
    found: list[Message] = []
    for turn in ordered:
        messages = await _of_turn(back, turn)
        found += reversed(messages) if newest_first else messages
        if anchor:
            ids = [message.id for message in found]
            found, anchor = (found[ids.index(anchor) + 1 :], "") if anchor in ids else ([], anchor)
        ids = [message.id for message in found]
        if end in ids:
            found = found[: ids.index(end)]
            break
        if len(found) >= limit:
            break
    found = found[:limit]
    return found[::-1] if backwards else found


async def _from(back: Backends, ordered: list[GroupTurn], message_id: str) -> list[GroupTurn]:
    """The turns from the message's own on; none if it is not of this group."""
    request = recall_pb2.GetMessagesRequest(message_ids=[message_id])
    messages = (await back.recall_peer.unary(back.recall.GetMessages, request)).messages
    turn_id = messages[0].turn_id if messages else ""
    places = [place for place, turn in enumerate(ordered) if turn.turn_id == turn_id]
    return ordered[places[0] :] if places else []


async def _of_turn(back: Backends, turn: GroupTurn) -> list[Message]:
    """What was sent, if the turn is the message's first, and what its agent said; not what it was told of others."""
    try:
        messages = journal.said(await journal.events(back, turn.turn_id))
    except NotFound:  # it went with its agent
        return []
    told = [message for message in messages if message.role in (type_pb2.ROLE_USER, type_pb2.ROLE_SYSTEM)]
    sent = told[-turn.inputs :] if turn.number == 0 else []
    made = [message for message in messages if message not in told]
    for message in made:
        message.agent_id = turn.agent_id
    return [*sent, *made]
