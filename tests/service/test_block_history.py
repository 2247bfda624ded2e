"""Blocks: limits and read-only for everybody, and every edit with its author, to be seen and taken back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.service.test_agent_service import World, results, world
from tests.support.keys import ANN, BOB
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

__all__ = ["world"]


async def ask(world: World, method: str, request: Any) -> Any:
    return await world.peer.unary(getattr(world.agents, method), request, caller=ANN)


async def write(world: World, block_id: str, value: str) -> pb.Block:
    request = pb.UpdateBlockRequest(block=pb.Block(id=block_id, value=value), update_mask={"paths": ["value"]})
    return (await ask(world, "UpdateBlock", request)).block


async def history(world: World, block_id: str) -> list[pb.BlockRevision]:
    """Newest first."""
    return list((await ask(world, "ListBlockRevisions", pb.ListBlockRevisionsRequest(block_id=block_id))).revisions)


async def undo(world: World, block_id: str, revision: int, request_id: str = "") -> pb.Block:
    request = pb.UndoBlockRevisionRequest(block_id=block_id, revision=revision, request_id=request_id)
    return (await ask(world, "UndoBlockRevision", request)).block


async def new_block(world: World, value: str, **more: Any) -> pb.Block:
    block = pb.Block(label="notes", value=value, **more)
    return (await ask(world, "CreateBlock", pb.CreateBlockRequest(block=block))).block


async def test_every_edit_is_a_revision_with_its_author(world: World) -> None:
    agent = await world.new_agent(human="one")
    await write(world, agent.blocks[0].id, "two")
    call = json.dumps({"label": "human", "new_string": "three"})
    made = json.dumps({"label": "plans", "new_memory": "four"})
    events = await world.send(agent, f"[[call:memory_insert {call}]] [[call:memory_rethink {made}]]")
    first, second, third = (await history(world, agent.blocks[0].id))[::-1]
    assert [first.value, second.value, third.value] == ["one", "two", "two\nthree"]
    assert first.edited_by.type == second.edited_by.type == pb.AUTHOR_TYPE_USER
    turn_id = events[-1].done.turn.id
    assert third.edited_by == pb.RevisionAuthor(
        type=pb.AUTHOR_TYPE_TOOL_CALL, agent_id=agent.id, turn_id=turn_id, step=1, call=0
    )
    plans = next(block for block in (await world.get_agent(agent.id)).blocks if block.label == "plans")
    assert {each.edited_by.step for each in await history(world, plans.id)} == {2}


async def test_a_limit_and_read_only_hold_for_tools_and_for_the_api(world: World) -> None:
    small = await new_block(world, "12345", limit=5)
    fixed = (
        await ask(world, "CreateBlock", pb.CreateBlockRequest(block=pb.Block(label="fixed", value="a", read_only=True)))
    ).block
    request = pb.CreateAgentRequest(agent=pb.Agent(), block_ids=[small.id, fixed.id], include_base_tools=True)
    agent = (await ask(world, "CreateAgent", request)).agent
    edits = [json.dumps({"label": label, "new_string": "more"}) for label in ("notes", "fixed")]
    events = await world.send(agent, " ".join(f"[[call:memory_insert {edit}]]" for edit in edits))
    assert [each.tool_return.status for each in results(events)] == [type_pb2.TOOL_STATUS_ERROR] * 2
    with pytest.raises(InvalidArgument) as over:
        await write(world, small.id, "123456")
    assert over.value.reason == type_pb2.ERROR_REASON_BLOCK_OVER_LIMIT
    with pytest.raises(FailedPrecondition) as refused:
        await write(world, fixed.id, "b")
    assert refused.value.reason == type_pb2.ERROR_REASON_BLOCK_READ_ONLY
    assert [len(await history(world, block.id)) for block in (small, fixed)] == [1, 1]


async def test_a_diff_tells_what_changed(world: World) -> None:
    block = await new_block(world, "one\ntwo")
    await write(world, block.id, "one\n2")
    shown = await ask(world, "DiffBlockRevisions", pb.DiffBlockRevisionsRequest(block_id=block.id))
    assert shown.diff.splitlines()[2:] == ["@@ -1,2 +1,2 @@", " one", "-two", "+2"]
    assert (shown.older.revision, shown.newer.revision) == (1, 2)
    with pytest.raises(NotFound):
        await ask(world, "DiffBlockRevisions", pb.DiffBlockRevisionsRequest(block_id=block.id, to_revision=9))


async def test_undo_takes_back_one_edit_once_and_leaves_later_ones(world: World) -> None:
    block = await new_block(world, "one\ntwo\nthree")
    await write(world, block.id, "ONE\ntwo\nthree")
    await write(world, block.id, "ONE\ntwo\nTHREE")
    for _ in range(2):
        assert (await undo(world, block.id, 2, "once")).value == "one\ntwo\nTHREE"
    newest = (await history(world, block.id))[0]
    assert (newest.revision, newest.undone_revision) == (4, 2)


async def test_undo_is_refused_where_a_later_edit_is_in_the_way_and_changes_nothing(world: World) -> None:
    block = await new_block(world, "one")
    await write(world, block.id, "two")
    await write(world, block.id, "three")
    with pytest.raises(FailedPrecondition, match="later edit"):
        await undo(world, block.id, 2)
    with pytest.raises(FailedPrecondition, match="revision 1"):
        await undo(world, block.id, 1)
    assert len(await history(world, block.id)) == 3


async def test_memory_as_of_a_time_has_the_blocks_and_values_of_then(world: World) -> None:
    agent = await world.new_agent(human="early", plans="none")
    human, plans = agent.blocks
    await write(world, human.id, "late")
    await ask(world, "DetachBlock", pb.DetachBlockRequest(agent_id=agent.id, block_id=plans.id))
    late, early = await history(world, human.id)

    async def at(time: Timestamp) -> list[tuple[str, str]]:
        request = pb.GetCoreMemoryAsOfRequest(agent_id=agent.id, time=time)
        found = (await ask(world, "GetCoreMemoryAsOf", request)).blocks
        return [(each.revision.label, each.revision.value) for each in found]

    assert await at(late.create_time) == [("human", "late"), ("plans", "none")]
    now = Timestamp()
    now.GetCurrentTime()
    assert await at(now) == [("human", "late")]
    request = pb.GetBlockAsOfRequest(block_id=human.id, time=early.create_time)
    assert (await ask(world, "GetBlockAsOf", request)).revision.value == "early"
    assert await at(Timestamp(seconds=1)) == []
    with pytest.raises(NotFound):
        await ask(world, "GetBlockAsOf", pb.GetBlockAsOfRequest(block_id=human.id, time=Timestamp(seconds=1)))
    with pytest.raises(NotFound):
        await world.peer.unary(
            world.agents.UndoBlockRevision, pb.UndoBlockRevisionRequest(block_id=human.id, revision=2), caller=BOB
        )
