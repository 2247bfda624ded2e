# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Agents that answer a message together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1.turn_pb2 import InputMessage, TurnEvent
from triptych.gateway.v1 import group_pb2 as pb
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.sync.following import followed
from triptych.sdk.sync.transport import Transport
from triptych.sdk.sync.turns import reply
from triptych.sdk.reply import Reply
from triptych.type.v1 import type_pb2

_SERVICE = "/triptych.gateway.v1.GroupService/"


class Groups:
    """`client.groups`. (Sleep-time memory is no group here: it is the agent's own `sleep_time`.)"""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        agent_ids: Sequence[str],
        *,
        manager_agent_id: str = "",
        description: str = "",
        max_turns: int = 0,
        request_id: str | None = None,
    ) -> pb.Group:
        """Agents that speak one after another; with a manager, one that answers and asks the others.

        Each has a conversation of its own for the group. `max_turns`: without a manager, after so many turns a message
        is answered; 0: when each has spoken once. Raises: NotFound for an agent, InvalidArgument.

            poet, critic = [client.agents.create(name) for name in ("poet", "critic")]
            group = client.groups.create([poet.id, critic.id], description="Verses", max_turns=4)
            print((client.groups.send(group.id, "A haiku about Lisbon, please.")).text)
        """
        group = pb.Group(
            type=pb.GROUP_TYPE_SUPERVISOR if manager_agent_id else pb.GROUP_TYPE_ROUND_ROBIN,
            agent_ids=agent_ids,
            manager_agent_id=manager_agent_id,
            description=description,
            max_turns=max_turns,
        )
        request = pb.CreateGroupRequest(group=group, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateGroup", request, pb.CreateGroupResponse)).group

    def get(self, group_id: str) -> pb.Group:
        """Raises: NotFound."""
        request = pb.GetGroupRequest(group_id=group_id)
        return (self._transport.unary(_SERVICE + "GetGroup", request, pb.GetGroupResponse)).group

    def list(self, type: pb.GroupType.ValueType = pb.GROUP_TYPE_UNSPECIFIED) -> Iterator[pb.Group]:
        """Of this type, or all; newest first."""
        request = pb.ListGroupsRequest(type=type, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListGroups", request, pb.ListGroupsResponse)
            for group in page.groups:
                yield group
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def count(self) -> int:
        request = pb.CountGroupsRequest()
        return (self._transport.unary(_SERVICE + "CountGroups", request, pb.CountGroupsResponse)).count

    def update(self, group: pb.Group, *fields: str, request_id: str | None = None) -> pb.Group:
        """Writes the named fields: agent_ids, manager_agent_id, description, max_turns.

        Raises: NotFound, InvalidArgument.
        """
        request = pb.UpdateGroupRequest(
            group=group, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (self._transport.unary(_SERVICE + "UpdateGroup", request, pb.UpdateGroupResponse)).group

    def delete(self, group_id: str, *, request_id: str | None = None) -> None:
        """What was said stays with the agents. Raises: NotFound."""
        request = pb.DeleteGroupRequest(group_id=group_id, request_id=request_id or str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteGroup", request, pb.DeleteGroupResponse)

    def reset(self, group_id: str, *, request_id: str | None = None) -> pb.Group:
        """Deletes what was said in the group: its agents begin anew there. Raises: NotFound."""
        request = pb.ResetGroupRequest(group_id=group_id, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "ResetGroup", request, pb.ResetGroupResponse)).group

    def send(
        self, group_id: str, text: str, *, name: str = "", max_steps: int = 0, request_id: str | None = None
    ) -> Reply:
        """Says something to the group and waits until its agents have answered.

        The reply's messages are those of all their turns, each with the `name` of who speaks; its `turn` is the last,
        with what all of them used. `max_steps`: model calls of each turn. Raises: NotFound, TurnFailed.

            helper = client.agents.create("helper")
            group = client.groups.create([helper.id], manager_agent_id=agent.id)
            reply = client.groups.send(group.id, "Who of you knows Lisbon?")
            print([f"{message.name}: {message.text}" for message in reply.messages])
        """
        return reply(
            self.stream(group_id, text, name=name, max_steps=max_steps, request_id=request_id, deltas=False)
        )

    def stream(
        self,
        group_id: str,
        text: str,
        *,
        name: str = "",
        max_steps: int = 0,
        request_id: str | None = None,
        deltas: bool = True,
    ) -> Iterator[TurnEvent]:
        """The events of all turns as they happen, down to one `done` for all of them.

        A lost connection is taken up where it broke. The same `request_id` follows the same turns. Raises: NotFound.
        """
        request = pb.SendGroupMessageRequest(
            group_id=group_id,
            request_id=request_id or str(uuid.uuid4()),
            messages=[InputMessage(text=text, name=name)],
            max_steps=max_steps,
            deltas=deltas,
        )
        seen: set[tuple[str, int]] = set()

        def opened(turn_id: str, last: int) -> Iterator[TurnEvent]:
            # Sent again, the request follows the turns from their beginning.
            path = _SERVICE + "SendGroupMessage"
            for response in self._transport.stream(path, request, pb.SendGroupMessageResponse):
                event = response.event
                if event.sequence:
                    if (event.turn_id, event.sequence) in seen:
                        continue
                    seen.add((event.turn_id, event.sequence))
                yield event

        for event in followed(opened, start_seconds=self._transport.timeout_seconds):
            yield event

    def messages(self, group_id: str, *, newest_first: bool = False) -> Iterator[Message]:
        """What was sent to the group, and what its agents said and did. Raises: NotFound."""
        order = type_pb2.SORT_ORDER_DESCENDING if newest_first else type_pb2.SORT_ORDER_ASCENDING
        request = pb.ListGroupMessagesRequest(group_id=group_id, order=order, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListGroupMessages", request, pb.ListGroupMessagesResponse)
            for message in page.messages:
                yield message
            request.page_token = page.next_page_token
            if not request.page_token:
                return
