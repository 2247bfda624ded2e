"""What tools keep is the same on SQLite and PostgreSQL: own tools, refused edits, waits over a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.service.test_agent_service import results
from tests.service.test_tools import ToolWorld
from tests.service.test_waiting_turns import SERVICES, go_on, waiting
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import AlreadyExists, InvalidArgument
from triptych.type.v1 import type_pb2


async def test_tools_edits_and_waits_are_kept(tmp_path: Path, dsn: str, model: ScriptedModel) -> None:
    more = {"TRIPTYCH_AGENT_DSN": dsn}
    async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
        world = ToolWorld(stack)
        tools = [await world.new_tool(f"t{index}") for index in range(3)]
        with pytest.raises(AlreadyExists):
            await world.new_tool("t0")
        page = await world.unary("ListTools", pb.ListToolsRequest(page_size=2, tool_type=pb.TOOL_TYPE_CLIENT))
        rest = pb.ListToolsRequest(page_size=2, tool_type=pb.TOOL_TYPE_CLIENT, page_token=page.next_page_token)
        listed = [*page.tools, *(await world.unary("ListTools", rest)).tools]
        assert [tool.id for tool in listed] == [tool.id for tool in tools]
        agent = await world.agent_with("memory", "t0", human="x")
        small = pb.Block(id=agent.blocks[0].id, limit=10)
        await world.unary("UpdateBlock", pb.UpdateBlockRequest(block=small, update_mask={"paths": ["limit"]}))
        big = json.dumps({"command": "insert", "path": "/memories/human", "insert_text": "too long for it"})
        good = json.dumps({"command": "create", "path": "/memories/good", "file_text": "kept"})
        events = await world.send(agent, f"[[calls:memory {big} && memory {good}]] go", request_id="edits")
        assert [r.tool_return.status == type_pb2.TOOL_STATUS_ERROR for r in results(events)] == [True, False]
        assert [b.label for b in (await world.get_agent(agent.id)).blocks] == ["human", "good"]
        turn_id = (await world.send(agent, '[[call:t0 {"city": "Oslo"}]] wait'))[-1].turn_id
    async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
        world = ToolWorld(stack)
        await waiting(world, turn_id)
        returned = turn_pb2.ClientToolReturn(tool_call_id="call-0", text="rain")
        ended = await go_on(world, turn_id, tool_returns=[returned])
        assert ended[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        await world.unary("DeleteTool", pb.DeleteToolRequest(tool_id=tools[0].id))
        assert list((await world.get_agent(agent.id)).tools) == ["memory"]


async def test_what_a_store_could_not_look_for_is_refused(tmp_path: Path, dsn: str, model: ScriptedModel) -> None:
    async with running(tmp_path, *SERVICES, model_url=model.url, more={"TRIPTYCH_AGENT_DSN": dsn}) as stack:
        world = ToolWorld(stack)
        agent = await world.agent_with(human="x")
        for tags in (["a\0b"], ["fine", "\0"]):
            changed = pb.Agent(id=agent.id, tags=tags)
            with pytest.raises(InvalidArgument, match="tags"):
                await world.unary("UpdateAgent", pb.UpdateAgentRequest(agent=changed, update_mask={"paths": ["tags"]}))
        assert not (await world.unary("ListAgentTags", pb.ListAgentTagsRequest())).tags
        for time in (Timestamp(seconds=2**62), Timestamp(seconds=-(2**62))):
            with pytest.raises(InvalidArgument, match="time"):
                await world.unary("GetBlockAsOf", pb.GetBlockAsOfRequest(block_id=agent.blocks[0].id, time=time))
            with pytest.raises(InvalidArgument, match="time"):
                await world.unary("GetCoreMemoryAsOf", pb.GetCoreMemoryAsOfRequest(agent_id=agent.id, time=time))
