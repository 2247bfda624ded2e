"""What the SDK does beside turns: single calls of tools, MCP servers changed, files opened, steps judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import mcp_server
from tests.support.door import ALL, FIRST_KEY
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych import AsyncTriptych
from triptych.agent.v1 import step_pb2
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

_OPEN = {"TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on"}


@pytest.fixture
async def client(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[AsyncTriptych]:
    async with (
        running(tmp_path, *ALL, model_url=model.url, more=_OPEN) as stack,
        AsyncTriptych(stack.environ["TRIPTYCH_GATEWAY_GRPC_LISTEN"], FIRST_KEY) as opened,
    ):
        yield opened


async def test_one_call_has_one_effect_however_often_it_is_sent(client: AsyncTriptych) -> None:
    agent = await client.agents.create("ann", blocks={"human": "Ann"})
    tools = {tool.name: tool async for tool in client.tools.list()}
    line = {"label": "human", "new_string": "likes tea"}
    for _ in range(2):
        ran = await client.tools.run(tools["memory_insert"].id, line, agent_id=agent.id, request_id="once")
        assert ran.status == type_pb2.TOOL_STATUS_SUCCESS
    fact = {"content": "Ann likes tea."}
    for _ in range(2):
        await client.tools.run(tools["archival_memory_insert"].id, fact, agent_id=agent.id, request_id="fact")
    (block,) = (await client.agents.get(agent.id)).blocks
    assert block.value == "Ann\nlikes tea"
    assert [passage.text async for passage in client.archival.list(agent)] == ["Ann likes tea."]
    newest = await anext(client.blocks.history(block.id))
    assert newest.author == "user"
    with pytest.raises(FailedPrecondition):  # another call under that id
        await client.tools.run(tools["memory_insert"].id, {**line, "label": "x"}, agent_id=agent.id, request_id="once")
    with pytest.raises(InvalidArgument, match="agent"):
        await client.tools.run(tools["memory_insert"].id, line)
    with pytest.raises(FailedPrecondition, match="has no tool"):
        await client.tools.run(tools["send_message"].id, {"message": "x"}, agent_id=agent.id)


async def test_an_mcp_server_is_reached_otherwise_and_keeps_its_headers(client: AsyncTriptych) -> None:
    with mcp_server.running("http") as url:
        made = await client.mcp_servers.create("kit", url, headers={"Authorization": mcp_server.TOKEN})
        changed = await client.mcp_servers.update(
            made.server.id, url=url + "?again=1", headers={"Authorization": "", "X-More": "more"}
        )
        assert (changed.server.url, dict(changed.server.headers)) == (
            url + "?again=1",
            {"Authorization": "", "X-More": ""},
        )
        add = next(tool for tool in changed.tools if tool.mcp_tool_name == "add")
        assert (await client.tools.run(add.id, {"a": 2, "b": 3})).text == "5"


async def test_a_part_of_a_file_is_opened_and_closed(client: AsyncTriptych, tmp_path: Path) -> None:
    path = tmp_path / "fruit.txt"
    path.write_text("Quinces are best in October.")
    agent = await client.agents.create("ann")
    added = await client.documents.add(path, agent.archive_ids[0], create_archive_name="ann's")
    opened = await client.agents.open_file(agent.id, added.document.id, start=8, characters=8)
    assert [(view.text, view.start, view.characters) for view in opened.agent.open_files] == [("are best", 8, 28)]
    assert [view.text for each in [a async for a in client.agents.list()] for view in each.open_files] == [""]
    with pytest.raises(InvalidArgument):
        await client.agents.open_file(agent.id, added.document.id, start=28)
    closed = await client.agents.close_files(agent.id)
    assert [view.file_name for view in closed.closed_files] == ["fruit.txt"]
    assert not closed.agent.open_files
    with pytest.raises(NotFound):
        await client.agents.open_file(agent.id, "document-x")


async def test_a_step_is_judged(client: AsyncTriptych) -> None:
    agent = await client.agents.create("ann")
    await client.turns.send(agent.id, "hello")
    (step,) = [step async for step in client.steps.list()]
    judged = await client.steps.judge(step.id, good=False, tags=["invented"])
    assert (judged.feedback, list(judged.feedback_tags)) == (step_pb2.STEP_FEEDBACK_NEGATIVE, ["invented"])
    assert (await client.steps.judge(step.id, good=None)).feedback == step_pb2.STEP_FEEDBACK_UNSPECIFIED
