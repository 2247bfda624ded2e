"""Calls of tools of others: once at most, whatever happens; and Python tools from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.test_agent_service import results
from tests.service.test_mcp_tools import SERVICES, at, called, register, started
from tests.service.test_tools import ToolWorld
from tests.support import mcp_server
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import FailedPrecondition, InvalidArgument

SOURCE = '''
def shout(text: str, times: int = 1) -> str:
    """Shouts.

    Args:
        text: What.
    """
    return text.upper() * times
'''


async def test_a_call_that_a_stop_broke_off_is_not_made_again_and_the_model_is_told(
    tmp_path: Path, model: ScriptedModel
) -> None:
    with mcp_server.running("http") as url:
        async with started(tmp_path, model) as world:
            await register(world, at(url))
            agent = await world.agent_with("kit__hang", "kit__count")
            request = turn_pb2.StartTurnRequest(
                agent_id=agent.id, request_id="r", messages=[turn_pb2.InputMessage(text="[[call:kit__hang {}]] go")]
            )
            async for response in world.peer.stream(world.turns.StartTurn, request, caller=ANN):
                if response.event.HasField("tool_started"):
                    break
            while await called(world, await world.agent_with("kit__count"), "kit__count", name="hang") != ("1", False):
                continue
        async with started(tmp_path, model) as world:
            events = [r.event async for r in world.peer.stream(world.turns.StartTurn, request, caller=ANN)]
            assert "Outcome unknown" in results(events)[0].text
            assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
            assert await called(world, agent, "kit__count", name="hang") == ("1", False)


async def new_python_tool(world: ToolWorld, source: str = SOURCE) -> pb.Tool:
    request = pb.CreateToolRequest(tool=pb.Tool(source_code=source))
    tool: pb.Tool = (await world.unary("CreateTool", request)).tool
    return tool


async def test_a_python_tool_is_made_of_its_source_and_runs(tmp_path: Path, model: ScriptedModel) -> None:
    async with started(tmp_path, model, TRIPTYCH_PYTHON_TOOLS="on") as world:
        tool = await new_python_tool(world)
        assert (tool.name, tool.description, tool.tool_type) == ("shout", "Shouts.", pb.TOOL_TYPE_PYTHON)
        agent = await world.agent_with("shout")
        assert await called(world, agent, "shout", text="hey ", times=2) == ("HEY HEY ", False)
        text, failed = await called(world, agent, "shout")
        assert failed
        assert "TypeError" in text
        update = pb.UpdateToolRequest(tool=pb.Tool(id=tool.id, source_code="def shout(loud: bool): return 'AH'"))
        update.update_mask.paths.append("source_code")
        assert "loud" in (await world.unary("UpdateTool", update)).tool.json_schema
        assert await called(world, agent, "shout", loud=True) == ("AH", False)
        update.tool.source_code = "def whisper(): return 'ah'"
        with pytest.raises(InvalidArgument, match="not called shout"):
            await world.unary("UpdateTool", update)


async def test_where_python_is_off_none_is_stored_and_none_runs(tmp_path: Path, model: ScriptedModel) -> None:
    async with started(tmp_path, model, TRIPTYCH_PYTHON_TOOLS="on") as world:
        await new_python_tool(world)
        agent = await world.agent_with("shout")
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = ToolWorld(stack)
        with pytest.raises(FailedPrecondition, match="switched off"):
            await new_python_tool(world, SOURCE.replace("shout", "other"))
        text, failed = await called(world, agent, "shout", text="x")
        assert failed
        assert "no tool named" in text
