"""Groups of agents, as letta-client programs made them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Request, Response

from gateway.groups import messages as said
from gateway.groups.groups import ROUND_ROBIN, SLEEPTIME, SUPERVISOR, Groups
from gateway.groups.running import Run
from gateway.rest import letta_messages, messages, run_shapes, shapes, sleeping_groups, turns
from gateway.rest.common import Back, NewestFirst, answer, answers, request_id
from gateway.rest.endpoints import Given, Router
from gateway.rest.schemas import Body, MessagesCreate
from gateway.rest.starting import start_request
from gateway.rest.turns import Events, Finished, TurnFailed
from gateway.stores.groups import Group
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import InvalidArgument, Unimplemented
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1/groups", tags=["groups"])


async def _groups(request: Request) -> Groups:
    groups: Groups = request.app.state.groups
    return groups


Kept = Annotated[Groups, Given(_groups)]
ManagerType = Literal["round_robin", "supervisor", "dynamic", "sleeptime", "voice_sleeptime", "swarm"]


class ManagerConfig(Body):
    manager_type: ManagerType = "round_robin"
    manager_agent_id: str | None = None
    max_turns: int | None = None
    sleeptime_agent_frequency: int | None = None


class GroupUpdate(Body):
    agent_ids: list[str] | None = None
    description: str | None = None
    manager_config: ManagerConfig | None = None
    hidden: bool | None = None


class GroupCreate(GroupUpdate):
    agent_ids: list[str]
    description: str = ""


@router.post("")
async def create_group(body: GroupCreate, request: Request, back: Back, kept: Kept) -> Response:
    config = body.manager_config or ManagerConfig()
    if config.manager_type == SLEEPTIME:
        manager_id = config.manager_agent_id or ""
        return answer(await sleeping_groups.switch(back, manager_id, config.sleeptime_agent_frequency))
    if config.manager_type not in (ROUND_ROBIN, SUPERVISOR):
        raise Unimplemented(
            f"groups of the type {config.manager_type} are not supported: use round_robin or supervisor"
        )
    made = await kept.create(
        config.manager_type, _settings(body), body.agent_ids, config.manager_agent_id or "", request_id(request)
    )
    return answer(shapes.group(made))


@router.get("")
async def list_groups(
    back: Back, kept: Kept, listing: NewestFirst, manager_type: ManagerType | None = None
) -> Response:
    """Those that were made here; agents with sleep-time memory are groups too, and listed if that type is asked for."""
    if manager_type == SLEEPTIME:
        return answer(listing.part(await sleeping_groups.listed(back, listing.order), lambda group: str(group["id"])))
    found = await kept.list_page(
        listing.limit,
        before_id=listing.before,
        after_id=listing.after,
        descending=listing.order == type_pb2.SORT_ORDER_DESCENDING,
        manager_type=manager_type or "",
    )
    return answers(found, shapes.group)


@router.get("/count")
async def count_groups(kept: Kept) -> Response:
    return answer(await kept.count())


@router.get("/{group_id}")
async def get_group(group_id: str, back: Back, kept: Kept) -> Response:
    if asleep := await sleeping_groups.of(back, group_id):
        return answer(asleep)
    return answer(shapes.group(await kept.get(group_id)))


@router.patch("/{group_id}")
async def update_group(group_id: str, body: GroupUpdate, back: Back, kept: Kept) -> Response:
    config = body.manager_config or ManagerConfig()
    if asleep := await sleeping_groups.of(back, group_id):
        every = config.sleeptime_agent_frequency
        return answer(await sleeping_groups.switch(back, str(asleep["manager_agent_id"]), every))
    group = await kept.get(group_id)
    if body.manager_config is not None and config.manager_type != group.manager_type:
        raise InvalidArgument.of("manager_config.manager_type", "can't be changed: make another group")
    changed = await kept.update(group_id, _settings(body), body.agent_ids, config.manager_agent_id or "")
    return answer(shapes.group(changed))


@router.delete("/{group_id}")
async def delete_group(group_id: str, back: Back, kept: Kept) -> Response:
    """Its agents stay, with what was said."""
    if asleep := await sleeping_groups.of(back, group_id):
        await sleeping_groups.switch(back, str(asleep["manager_agent_id"]), None, enabled=False)
        return answer(None)
    await kept.delete(group_id)
    return answer(None)


@router.post("/{group_id}/messages")
async def send_message(group_id: str, body: MessagesCreate, request: Request, back: Back, kept: Kept) -> Response:
    if body.streaming:
        return await stream_message(group_id, body, request, back, kept)
    if asleep := await sleeping_groups.of(back, group_id):
        return await messages.send_message(str(asleep["manager_agent_id"]), body, request, back)
    run = await _run(group_id, body, request, back, kept, deltas=False)
    made, turn = list[Message](), pb.Turn()
    async for event in kept.detached.items(run.events()):
        kind = event.WhichOneof("event")
        if kind in ("message", "tool_result"):
            made.append(getattr(event, kind))
        elif kind == "done":
            turn = event.done.turn
    if turn.HasField("error"):
        raise TurnFailed(turn.error)
    shown = Finished(turn, made).shown(body.wanted)
    return answer({"messages": shown, "stop_reason": run_shapes.stop_reason(turn), "usage": run_shapes.usage(turn)})


@router.post("/{group_id}/messages/stream")
async def stream_message(group_id: str, body: MessagesCreate, request: Request, back: Back, kept: Kept) -> Response:
    if asleep := await sleeping_groups.of(back, group_id):
        return await messages.stream_turn(str(asleep["manager_agent_id"]), "", body, request, back)
    run = await _run(group_id, body, request, back, kept, deltas=body.stream_tokens)
    events = _as_responses(kept.detached.items(run.events()))
    return turns.streamed(Events(await anext(events), events), body.wanted)


@router.get("/{group_id}/messages")
async def list_messages(group_id: str, back: Back, kept: Kept, listing: NewestFirst) -> Response:
    """What was sent to the group, and what its agents said and did."""
    if asleep := await sleeping_groups.of(back, group_id):
        return await messages.list_messages(str(asleep["manager_agent_id"]), back, listing)
    found = await said.page(
        back,
        await kept.turns(group_id),
        listing.limit,
        before_id=listing.before,
        after_id=listing.after,
        descending=listing.order == type_pb2.SORT_ORDER_DESCENDING,
    )
    return answer([part for message in found for part in _parts(message, group_id)])


@router.patch("/{group_id}/reset-messages")
async def reset_messages(group_id: str, kept: Kept) -> Response:
    return answer(shapes.group(await kept.reset(group_id)))


async def _run(group_id: str, body: MessagesCreate, request: Request, back: Back, kept: Kept, *, deltas: bool) -> Run:
    """Raises: NotFound, InvalidArgument."""
    group: Group = await kept.get(group_id)
    if body.client_tools:
        raise InvalidArgument.of("client_tools", "can't be given to a group")
    start = await start_request("", "", body, request, back, deltas=deltas, background=False)
    if start.approvals or start.tool_returns:
        raise InvalidArgument.of("messages", "answers to a turn that waits are sent to its agent")
    return Run(kept, group, start)


async def _as_responses(events: AsyncGenerator[pb.TurnEvent, None]) -> AsyncGenerator[pb.StartTurnResponse]:
    async with aclosing(events):
        async for event in events:
            yield pb.StartTurnResponse(event=event)


def _parts(message: Message, group_id: str) -> list[dict[str, Any]]:
    sender = message.agent_id if message.role == type_pb2.ROLE_ASSISTANT else None
    return [{**part, "group_id": group_id, "sender_id": sender} for part in letta_messages.parts(message)]


def _settings(body: GroupUpdate) -> dict[str, Any]:
    """Raises: InvalidArgument."""
    settings: dict[str, Any] = {name: getattr(body, name) for name in body.given("description", "hidden")}
    if body.manager_config and body.manager_config.max_turns is not None:
        if not 1 <= body.manager_config.max_turns <= 1_000:
            raise InvalidArgument.of("manager_config.max_turns", "must be 1 to 1,000")
        settings["max_turns"] = body.manager_config.max_turns
    return settings
