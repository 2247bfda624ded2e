"""A turn that is cancelled while it waits for the one before it: its message does not come into that one's middle."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.service.test_agent_replicas import insert
from tests.service.test_tools import ToolWorld
from tests.service.test_waiting_turns import SERVICES
from tests.support.keys import ANN
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import step_pb2, turn_pb2
from triptych.agent.v1.step_pb2_grpc import StepServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub


async def test_its_message_comes_behind_the_running_turn(tmp_path: Path, model: ScriptedModel) -> None:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = ToolWorld(stack)
        agent = await world.agent_with("memory_insert", human="x")
        await world.send(agent, "before", request_id="before")
        words = f"{insert('one')} [[wait:1]] {insert('two')} first"
        first = asyncio.create_task(world.send(agent, words, request_id="first"))
        await asyncio.to_thread(model.waiting.wait, 20)
        peer, recall = stack.peer("agent_service"), stack.peer("recall_service")
        turns = TurnServiceStub(peer.channel)
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id="second", messages=[turn_pb2.InputMessage(text="taken back")]
        )
        turn_id = ""
        async for response in peer.stream(turns.StartTurn, request, caller=ANN):
            turn_id = response.event.turn_id
            break
        cancelled = await peer.unary(turns.CancelTurn, turn_pb2.CancelTurnRequest(turn_id=turn_id), caller=ANN)
        assert cancelled.turn.state == turn_pb2.TURN_STATE_CANCELLED
        await asyncio.sleep(0.5)  # time for it to go astray
        model.release()
        steps = list(dict.fromkeys(event.step_id for event in await first if event.step_id))

        async def said() -> list[str]:
            wanted = recall_pb2.ListMessagesRequest(conversation_id=agent.default_conversation_id, page_size=100)
            listed = await recall.unary(RecallServiceStub(recall.channel).ListMessages, wanted, caller=ANN)
            return [message.text for message in listed.messages]

        heard = await eventually(said, lambda texts: "taken back" in texts)
        assert heard[-2:] == ["ok: first", "taken back"]
        last = step_pb2.GetStepContextRequest(step_id=steps[-1])
        replayed = await peer.unary(StepServiceStub(peer.channel).GetStepContext, last, caller=ANN)
        assert json.loads(replayed.request_json)["messages"] == model.requests[-1]["messages"]
        await peer.close()
        await recall.close()
