"""Tools over real gRPC: as resources, in parallel, under rules; with real stores and a real HTTP model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_agent_service import World, results
from tests.support.keys import ANN, BOB
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

SCHEMA = json.dumps({"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}})
DEEP: dict[str, Any] = {}
for _ in range(30):
    DEEP = {"a": DEEP or 1}


class ToolWorld(World):
    async def unary(self, method: str, request: Any, caller: Any = ANN) -> Any:
        return await self.peer.unary(getattr(self.agents, method), request, caller=caller)

    async def agent_with(self, *tools: str, rules: list[pb.ToolRule] | None = None, **blocks: str) -> pb.Agent:
        made = [pb.Block(label=label, value=value, limit=200) for label, value in blocks.items()]
        agent = pb.Agent(name="tooled", tools=tools, blocks=made, tool_rules=rules or [])
        return (await self.unary("CreateAgent", pb.CreateAgentRequest(agent=agent))).agent

    async def new_tool(self, name: str = "weather", caller: Any = ANN, **more: Any) -> pb.Tool:
        tool = pb.Tool(name=name, description="d", json_schema=SCHEMA, **more)
        return (await self.unary("CreateTool", pb.CreateToolRequest(tool=tool), caller)).tool


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ToolWorld]:
    services = ("recall_service", "archival_service", "agent_service")
    async with running(tmp_path, *services, model_url=model.url) as stack:
        yield ToolWorld(stack)


def rule(kind: str, tool: str, **more: Any) -> pb.ToolRule:
    return pb.ToolRule(type=pb.ToolRuleType.Value(f"TOOL_RULE_TYPE_{kind}"), tool_name=tool, **more)


def offered(model: ScriptedModel, request: int) -> list[str]:
    return [tool["function"]["name"] for tool in model.requests[request].get("tools", [])]


async def test_the_omni_tool_makes_renames_and_detaches_blocks(world: ToolWorld) -> None:
    agent = await world.agent_with("memory", human="Name: Ann.")
    new = '{"command": "create", "path": "/memories/plans", "file_text": "Oslo", "description": "what she plans"}'
    rename = '{"command": "rename", "old_path": "/memories/human", "new_path": "/memories/user"}'
    events = await world.send(agent, f"[[call:memory {new}]] [[call:memory {rename}]] go")
    assert [r.tool_return.status for r in results(events)] == [type_pb2.TOOL_STATUS_SUCCESS] * 2
    blocks = (await world.get_agent(agent.id)).blocks
    assert [(b.label, b.value, b.description) for b in blocks][1] == ("plans", "Oslo", "what she plans")
    assert blocks[0].label == "user"
    await world.send(agent, '[[call:memory {"command": "delete", "path": "/memories/user"}]] and forget')
    assert [b.label for b in (await world.get_agent(agent.id)).blocks] == ["plans"]
    kept = (await world.unary("GetBlock", pb.GetBlockRequest(block_id=blocks[0].id))).block
    assert kept.value == "Name: Ann.", "a block that left the agent's memory is not lost"


async def test_limits_and_read_only_hold_for_every_command_and_a_refused_edit_leaves_nothing(world: ToolWorld) -> None:
    fixed = pb.Block(label="fixed", value="stays", read_only=True)
    roomy = pb.ModelSettings(context_window=1_000_000)
    request = pb.CreateAgentRequest(agent=pb.Agent(tools=["memory"], blocks=[fixed], model=roomy))
    agent = (await world.unary("CreateAgent", request)).agent
    commands = [
        {"command": "delete", "path": "/memories/fixed"},
        {"command": "rename", "old_path": "/memories/fixed", "new_path": "/memories/x"},
        {"command": "insert", "path": "/memories/fixed", "insert_text": "x"},
        {"command": "create", "path": "/memories/big", "file_text": "x" * 900_000},
        {"command": "create", "path": "/memories/big", "file_text": "x", "description": "x" * 10_001},
        {"command": "create", "path": "/memories/big", "file_text": "x", "description": "\0"},
    ]
    for number, command in enumerate(commands):
        events = await world.send(agent, f"[[call:memory {json.dumps(command)}]]", request_id=f"r{number}")
        result = results(events)[0]
        assert result.tool_return.status == type_pb2.TOOL_STATUS_ERROR
        assert len(result.text) < 1_000
        assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert [(b.label, b.value) for b in (await world.get_agent(agent.id)).blocks] == [("fixed", "stays")]


@pytest.mark.parametrize("tool", ["memory_finish_edits", "finish_rethinking_memory"])
async def test_a_sleep_time_agent_ends_its_turn_by_saying_so(world: ToolWorld, tool: str) -> None:
    agent = await world.agent_with(tool, human="x")
    events = await world.send(agent, f"[[call:{tool} {{}}]] tidy up")
    assert events[-1].done.turn.stop_reason == turn_pb2.STOP_REASON_TOOL_RULE
    assert events[-1].done.turn.usage.step_count == 1


async def test_calls_of_one_step_have_their_results_in_order_and_edits_see_each_other(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", "conversation_search", "archival_memory_search", human="zero")
    one = 'memory_insert {"label": "human", "new_string": "one"}'
    two = one.replace("one", "two")
    search = 'conversation_search {"query": "x"} && archival_memory_search {"query": "x"}'
    events = await world.send(agent, f"[[calls:{one} && {search} && {two} && no_such_tool {{}}]] go")
    assert [r.tool_return.tool_call_id for r in results(events)] == [
        "call-0",
        *(f"call-0-{index}" for index in range(1, 5)),
    ]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (await world.get_agent(agent.id)).blocks[0].value == "zero\none\ntwo"


async def test_a_users_tools_are_theirs_alone_and_their_names_unique(world: ToolWorld) -> None:
    tool = await world.new_tool()
    assert tool.tool_type == pb.TOOL_TYPE_CLIENT
    assert json.loads(tool.json_schema)["name"] == "weather"
    with pytest.raises(AlreadyExists):
        await world.new_tool()
    assert (await world.new_tool(caller=BOB)).id != tool.id
    with pytest.raises(NotFound) as foreign:
        await world.unary("GetTool", pb.GetToolRequest(tool_id=tool.id), BOB)
    with pytest.raises(NotFound) as missing:
        await world.unary("GetTool", pb.GetToolRequest(tool_id="tool-0"), BOB)
    assert foreign.value.message.replace(tool.id, "") == missing.value.message.replace("tool-0", "")
    for method, request in (
        ("DeleteTool", pb.DeleteToolRequest(tool_id=tool.id)),
        ("UpdateTool", pb.UpdateToolRequest(tool=pb.Tool(id=tool.id))),
        ("AttachTool", pb.AttachToolRequest(agent_id=(await world.new_agent(BOB)).id, tool_id=tool.id)),
    ):
        with pytest.raises(NotFound):
            await world.unary(method, request, BOB)


async def test_tools_are_listed_in_pages_without_gap_or_repeat(world: ToolWorld) -> None:
    for index in range(5):
        await world.new_tool(f"t{index}")
    names: list[str] = []
    request = pb.ListToolsRequest(page_size=4)
    while True:
        page = await world.unary("ListTools", request)
        names += [tool.name for tool in page.tools]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert len(names) == len(set(names)) == (await world.unary("CountTools", pb.CountToolsRequest())).count
    assert names[-5:] == [f"t{index}" for index in range(5)]
    only = await world.unary("ListTools", pb.ListToolsRequest(tool_type=pb.TOOL_TYPE_CLIENT))
    assert [tool.name for tool in only.tools] == names[-5:]
    assert [t.name for t in (await world.unary("ListTools", pb.ListToolsRequest(name="memory"))).tools] == ["memory"]


async def test_a_tool_is_updated_upserted_and_taken_from_agents_when_it_is_deleted(world: ToolWorld) -> None:
    tool = await world.new_tool()
    agent = await world.agent_with("memory_insert", human="x")
    attached = (await world.unary("AttachTool", pb.AttachToolRequest(agent_id=agent.id, tool_id=tool.id))).agent
    assert list(attached.tools) == ["memory_insert", "weather"]
    update = pb.UpdateToolRequest(tool=pb.Tool(id=tool.id, requires_approval=True))
    update.update_mask.paths.append("requires_approval")
    assert (await world.unary("UpdateTool", update)).tool.requires_approval
    upsert = pb.UpsertToolRequest(tool=pb.Tool(name="weather", description="new", json_schema=SCHEMA))
    assert (await world.unary("UpsertTool", upsert)).tool.id == tool.id
    assert (await world.unary("GetTool", pb.GetToolRequest(tool_id=tool.id))).tool.description == "new"
    preview = await world.unary("PreviewContext", pb.PreviewContextRequest(agent_id=agent.id))
    assert [t.name for t in preview.tools] == ["memory_insert", "weather"]
    await world.unary("DeleteTool", pb.DeleteToolRequest(tool_id=tool.id))
    assert list((await world.get_agent(agent.id)).tools) == ["memory_insert"]


async def test_a_built_in_tool_can_not_be_changed(world: ToolWorld) -> None:
    page = await world.unary("ListTools", pb.ListToolsRequest(name="memory"))
    built_in = page.tools[0].id
    for method, request in (
        ("DeleteTool", pb.DeleteToolRequest(tool_id=built_in)),
        ("UpdateTool", pb.UpdateToolRequest(tool=pb.Tool(id=built_in, description="x"))),
    ):
        with pytest.raises(FailedPrecondition):
            await world.unary(method, request)
    with pytest.raises(InvalidArgument):
        await world.new_tool("memory")


@pytest.mark.parametrize(
    "tool",
    [
        pb.Tool(name="has space", json_schema=SCHEMA),
        pb.Tool(name="x" * 65, json_schema=SCHEMA),
        pb.Tool(name="t", json_schema="not json"),
        pb.Tool(name="t", json_schema="[]"),
        pb.Tool(name="t", json_schema="[" * 100_000),
        pb.Tool(name="t", json_schema='{"parameters": {"type": "string"}}'),
        pb.Tool(name="t", json_schema=json.dumps({"parameters": DEEP})),
        pb.Tool(name="t", tool_type=pb.TOOL_TYPE_MCP),
        pb.Tool(name="t", tool_type=pb.TOOL_TYPE_BUILTIN),
    ],
)
async def test_a_tool_that_no_model_could_be_shown_is_refused(world: ToolWorld, tool: pb.Tool) -> None:
    with pytest.raises(InvalidArgument):
        await world.unary("CreateTool", pb.CreateToolRequest(tool=tool))


async def test_rules_decide_what_each_step_is_offered_and_a_call_outside_is_a_tool_error(
    world: ToolWorld, model: ScriptedModel
) -> None:
    rules = [rule("RUN_FIRST", "conversation_search"), rule("MAX_COUNT_PER_STEP", "conversation_search", max_count=1)]
    agent = await world.agent_with("memory_insert", "conversation_search", rules=rules, human="x")
    search = 'conversation_search {"query": "x"}'
    insert = 'memory_insert {"label": "human", "new_string": "y"}'
    events = await world.send(agent, f"[[call:{insert}]] [[calls:{search} && {search}]] [[call:{insert}]] go")
    assert [offered(model, i) for i in range(3)] == [["conversation_search"]] * 2 + [["memory_insert"]]
    failed = [r.tool_return.status == type_pb2.TOOL_STATUS_ERROR for r in results(events)]
    assert failed == [True, False, True, False]
    assert "may not be called" in results(events)[0].text
    before = len(model.requests)
    events = await world.send(agent, "just an answer")
    assert "call: conversation_search" in model.requests[before + 1]["messages"][-1]["content"]
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED, "a model that won't is not asked for ever"


SEARCH = 'conversation_search {"query": "x"}'
INSERT = 'memory_insert {"label": "human", "new_string": "y"}'
FINISH = "memory_finish_edits {}"


@pytest.mark.parametrize(
    ("rules", "calls", "failed", "stop"),
    [
        (["CONSTRAIN_CHILD_TOOLS conversation_search"], [SEARCH, SEARCH, INSERT], [False, True, False], "END_TURN"),
        (["PARENT_LAST_TOOL conversation_search"], [INSERT, SEARCH, INSERT], [True, False, False], "END_TURN"),
        (["CONDITIONAL conversation_search"], [SEARCH, SEARCH, INSERT], [False, True, False], "END_TURN"),
        (["EXIT_LOOP memory_insert"], [SEARCH, INSERT, SEARCH], [False, False], "TOOL_RULE"),
        (["CONTINUE_LOOP memory_finish_edits"], [FINISH, SEARCH], [False, False], "END_TURN"),
        ([], [FINISH, SEARCH], [False], "TOOL_RULE"),
    ],
)
async def test_a_rule_holds_in_the_loop(
    world: ToolWorld, rules: list[str], calls: list[str], failed: list[bool], stop: str
) -> None:
    more: dict[str, Any] = {"children": ["memory_insert"], "child_by_output": {"No messages found.": "memory_insert"}}
    made = [
        rule(kind, tool, **({name: more[name] for name in _NEEDS.get(kind, ())}))
        for kind, tool in map(str.split, rules)
    ]
    agent = await world.agent_with("memory_insert", "conversation_search", "memory_finish_edits", rules=made, human="a")
    events = await world.send(agent, " ".join(f"[[call:{call}]]" for call in calls), request_id="r")
    assert [result.tool_return.status == type_pb2.TOOL_STATUS_ERROR for result in results(events)] == failed
    assert events[-1].done.turn.stop_reason == turn_pb2.StopReason.Value(f"STOP_REASON_{stop}")


# The fields of rules of a kind.
_NEEDS = {
    "CONSTRAIN_CHILD_TOOLS": ("children",),
    "PARENT_LAST_TOOL": ("children",),
    "CONDITIONAL": ("child_by_output",),
}


async def test_an_agent_of_each_type_has_its_tools_and_the_older_ones_speak_by_one(world: ToolWorld) -> None:
    """As LETTA has them, and the archival pair."""
    archival = {"archival_memory_insert", "archival_memory_search"}
    own = {
        "letta_v1_agent": {"conversation_search", "memory_insert", "memory_replace"},
        "memgpt_agent": {
            *("send_message", "conversation_search", "core_memory_append", "core_memory_replace"),
            *("memory", "memory_apply_patch"),
        },
        "memgpt_v2_agent": {"send_message", "conversation_search", "memory_insert", "memory_replace"},
        "sleeptime_agent": {"memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"},
        "react_agent": set(),
        "workflow_agent": set(),
    }
    for agent_type, tools in own.items():
        wanted = pb.Agent(agent_type=agent_type, blocks=[pb.Block(label="human")])
        request = pb.CreateAgentRequest(agent=wanted, include_base_tools=True)
        agent = (await world.unary("CreateAgent", request)).agent
        searches = archival if "conversation_search" in tools else set()
        assert set(agent.tools) - {"memory_rethink"} == (tools | searches) - {"memory_rethink"}
        if "send_message" in tools:
            beat = {"request_heartbeat": True, "thinking": "hm"}
            search = json.dumps({"query": "x", **beat})
            speak = json.dumps({"message": "hello", **beat})
            events = await world.send(
                agent, f"[[call:conversation_search {search}]] [[call:send_message {speak}]] never"
            )
            assert [r.tool_return.status == type_pb2.TOOL_STATUS_SUCCESS for r in results(events)] == [True, True]
            assert events[-1].done.turn.stop_reason == turn_pb2.STOP_REASON_END_TURN


async def test_a_terminal_tool_ends_the_turn_and_a_required_one_holds_it_open(
    world: ToolWorld, model: ScriptedModel
) -> None:
    rules = [rule("EXIT_LOOP", "memory_insert"), rule("REQUIRED_BEFORE_EXIT", "conversation_search")]
    agent = await world.agent_with("memory_insert", "conversation_search", rules=rules, human="x")
    insert = '[[call:memory_insert {"label": "human", "new_string": "y"}]]'
    events = await world.send(agent, f'{insert} [[call:conversation_search {{"query": "x"}}]] {insert} never said')
    assert events[-1].done.turn.stop_reason == turn_pb2.STOP_REASON_TOOL_RULE
    assert events[-1].done.turn.usage.step_count == 3, "the first call of the terminal tool came too early to end it"
    before = len(model.requests)
    events = await world.send(agent, "just an answer")
    assert "call: conversation_search" in model.requests[before + 1]["messages"][-1]["content"]
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED, "a model that won't is not asked for ever"


async def test_a_model_that_makes_one_call_over_and_over_is_told_and_then_stopped(world: ToolWorld) -> None:
    agent = await world.agent_with("memory_insert", human="x")
    events = await world.send(agent, '[[loop:memory_insert {"label": "human", "new_string": "y"}]]')
    turn = events[-1].done.turn
    assert turn.stop_reason == turn_pb2.STOP_REASON_TOOL_LOOP
    assert turn.usage.step_count == 8
    assert "in a row" in results(events)[-1].text
    assert (await world.get_agent(agent.id)).blocks[0].value == "x" + "\ny" * 4
    assert (await world.send(agent, "and now"))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED


async def test_a_call_that_names_another_users_things_gets_nothing(world: ToolWorld) -> None:
    foreign = await world.new_agent(BOB, human="Bob's secret")
    agent = await world.agent_with("memory", "archival_memory_search", human="x")
    for path in (foreign.id, foreign.blocks[0].id, f"/memories/{foreign.blocks[0].id}"):
        call = json.dumps({"command": "view", "path": path})
        events = await world.send(agent, f"[[call:memory {call}]]", request_id=path)
        assert "no memory block" in results(events)[0].text
    injected = json.dumps({"query": "secret", "archive_ids": list(foreign.archive_ids), "agent_id": foreign.id})
    events = await world.send(agent, f"[[call:archival_memory_search {injected}]]")
    assert "secret" not in results(events)[0].text.lower()


async def test_many_agents_use_one_tool_at_once(world: ToolWorld) -> None:
    agents = await asyncio.gather(*(world.agent_with("memory", human="x") for _ in range(8)))
    call = '[[call:memory {"command": "insert", "path": "/memories/human", "insert_text": "y"}]]'
    ended = await asyncio.gather(*(world.send(agent, f"{call} go") for agent in agents))
    assert all(events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED for events in ended)
