"""Serves groups by gRPC."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from gateway.groups import messages
from gateway.groups.groups import MAX_TURNS, ROUND_ROBIN, SUPERVISOR, Groups
from gateway.groups.running import Run
from gateway.stores import requests
from gateway.stores.groups import Group
from gateway.stores.requests import Once
from gateway.stores.rows import timestamp
from servicekit import paging, principal
from servicekit.rpc import Context
from triptych.agent.v1.turn_pb2 import StartTurnRequest
from triptych.errors import InvalidArgument
from triptych.gateway.v1 import group_pb2 as pb
from triptych.gateway.v1.group_pb2_grpc import GroupServiceServicer

_TYPES = {ROUND_ROBIN: pb.GROUP_TYPE_ROUND_ROBIN, SUPERVISOR: pb.GROUP_TYPE_SUPERVISOR}
_NAMES = {number: name for name, number in _TYPES.items()}
_SETTINGS = ("description", "max_turns")
_UPDATABLE = (*_SETTINGS, "agent_ids", "manager_agent_id")
_MOST_MESSAGES = 200


class GroupServicer(GroupServiceServicer):
    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def CreateGroup(self, request: pb.CreateGroupRequest, context: Context) -> pb.CreateGroupResponse:
        group, once = request.group, _once(request, request.request_id)
        # Whether it is new does not matter: a group that was made is found by the id. Another one under it is refused.
        await self._groups.store.write(once.first, alone=once.tenant)
        made = await self._groups.create(
            _NAMES.get(group.type, ROUND_ROBIN),
            _settings(group, _SETTINGS),
            group.agent_ids,
            group.manager_agent_id,
            request.request_id or str(uuid.uuid4()),
        )
        return pb.CreateGroupResponse(group=_shown(made))

    async def GetGroup(self, request: pb.GetGroupRequest, context: Context) -> pb.GetGroupResponse:
        return pb.GetGroupResponse(group=_shown(await self._groups.get(request.group_id)))

    async def ListGroups(self, request: pb.ListGroupsRequest, context: Context) -> pb.ListGroupsResponse:
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListGroups", *principal.tenant(), request.type),
            order=request.order,
            newest_first=True,
        )
        found = await self._groups.list_page(
            page.size + 1,
            before_id="",
            after_id=page.behind(""),
            descending=page.descending,
            manager_type=_NAMES.get(request.type, ""),
        )
        shown, token = page.cut(found, lambda group: group.id)
        return pb.ListGroupsResponse(groups=map(_shown, shown), next_page_token=token)

    async def CountGroups(self, request: pb.CountGroupsRequest, context: Context) -> pb.CountGroupsResponse:
        return pb.CountGroupsResponse(count=await self._groups.count())

    async def UpdateGroup(self, request: pb.UpdateGroupRequest, context: Context) -> pb.UpdateGroupResponse:
        group, paths = request.group, list(request.update_mask.paths)
        if not paths or any(path not in _UPDATABLE for path in paths):
            raise InvalidArgument.of("update_mask", f"must be of {', '.join(_UPDATABLE)}")
        changed = await self._groups.update(
            group.id,
            _settings(group, paths),
            group.agent_ids if "agent_ids" in paths else None,
            group.manager_agent_id if "manager_agent_id" in paths else "",
            _once(request, request.request_id),
        )
        return pb.UpdateGroupResponse(group=_shown(changed))

    async def DeleteGroup(self, request: pb.DeleteGroupRequest, context: Context) -> pb.DeleteGroupResponse:
        await self._groups.delete(request.group_id, _once(request, request.request_id))
        return pb.DeleteGroupResponse()

    async def ResetGroup(self, request: pb.ResetGroupRequest, context: Context) -> pb.ResetGroupResponse:
        group = await self._groups.reset(request.group_id, _once(request, request.request_id))
        return pb.ResetGroupResponse(group=_shown(group))

    async def SendGroupMessage(
        self, request: pb.SendGroupMessageRequest, context: Context
    ) -> AsyncIterator[pb.SendGroupMessageResponse]:
        requests.check_id(request.request_id, needed=True)
        if not request.messages:
            raise InvalidArgument.of("messages", "must not be empty")
        group = await self._groups.get(request.group_id)
        # Whether it is new does not matter: a run goes on where it was left. Another message under its id is refused.
        await self._groups.store.write(_once(request, request.request_id).first, alone=principal.tenant())
        start = StartTurnRequest(
            request_id=request.request_id,
            messages=request.messages,
            max_steps=request.max_steps,
            deltas=request.deltas,
        )
        async with aclosing(self._groups.detached.items(Run(self._groups, group, start).events())) as events:
            async for event in events:
                yield pb.SendGroupMessageResponse(event=event)

    async def ListGroupMessages(
        self, request: pb.ListGroupMessagesRequest, context: Context
    ) -> pb.ListGroupMessagesResponse:
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListGroupMessages", *principal.tenant(), request.group_id),
            order=request.order,
            newest_first=True,
            maximum=_MOST_MESSAGES,
        )
        turns = await self._groups.turns(request.group_id)
        found = await messages.page(
            self._groups.backends,
            turns,
            page.size + 1,
            after_id=page.behind(""),
            descending=page.descending,
        )
        shown, token = page.cut(found, lambda message: message.id)
        return pb.ListGroupMessagesResponse(messages=shown, next_page_token=token)


def _once(request: Message, request_id: str) -> Once:
    return Once.of(principal.tenant(), request, request_id)


def _settings(group: pb.Group, paths: Sequence[str]) -> dict[str, Any]:
    """Raises: InvalidArgument."""
    if "max_turns" in paths and not 0 <= group.max_turns <= MAX_TURNS:
        raise InvalidArgument.of("max_turns", f"must be at most {MAX_TURNS:,}")
    return {name: getattr(group, name) for name in _SETTINGS if name in paths}


def _shown(group: Group) -> pb.Group:
    return pb.Group(
        id=group.id,
        create_time=timestamp(group.created_at),
        type=_TYPES[group.manager_type],
        agent_ids=[member.agent_id for member in group.members],
        manager_agent_id=group.manager.agent_id if group.manager else "",
        description=group.settings.get("description") or "",
        max_turns=group.settings.get("max_turns") or 0,
    )
