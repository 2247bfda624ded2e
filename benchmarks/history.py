"""How long a turn takes when the conversation before it is 10, 1,000, 10,000, 100,000 messages long.

python -m benchmarks.history [--messages 10 1000 10000 100000] [--window 8000] [--turns 60]

Real services, each a process of its own, embedded stores, and a model that answers at once. `warm`: the conversation's
window is in memory. `cold`: the first turn after agent_service was started again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from benchmarks import corpus
from benchmarks.common import percentiles, progress, table, timed
from servicekit.channel import Peer
from tests.support.keys import ANN, signer
from tests.support.processes import Service
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2 import Message
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

_BATCH = 1_000
_COLD_STARTS = 3


class System:
    """The three tiers as processes."""

    def __init__(self, folder: Path, model_url: str) -> None:
        self.environ = {**environment(folder, model_url), "TRIPTYCH_LOG_LEVEL": "error"}
        self._services = {name: Service(name, self.environ) for name in ("recall_service", "archival_service")}
        self._services["agent_service"] = Service("agent_service", self.environ)
        key = signer(folder / "keys")
        self._agent = Peer("agent_service", self.environ["TRIPTYCH_AGENT_ADDRESS"], key)
        self._recall = Peer("recall_service", self.environ["TRIPTYCH_RECALL_ADDRESS"], key)
        self._agents, self._turns = AgentServiceStub(self._agent.channel), TurnServiceStub(self._agent.channel)
        self._messages = RecallServiceStub(self._recall.channel)

    async def new_agent(self, window: int) -> agent_pb2.Agent:
        wanted = agent_pb2.Agent(
            model=agent_pb2.ModelSettings(context_window=window), blocks=[agent_pb2.Block(label="human")]
        )
        request = agent_pb2.CreateAgentRequest(agent=wanted, include_base_tools=True)
        return (await self._agent.unary(self._agents.CreateAgent, request, caller=ANN)).agent

    async def fill(self, agent: agent_pb2.Agent, texts: Sequence[str]) -> None:
        """Puts a history into recall: a message of the user's and an answer a turn."""
        for first in range(0, len(texts), _BATCH):
            messages = [
                Message(
                    text=text,
                    role=type_pb2.ROLE_ASSISTANT if number % 2 else type_pb2.ROLE_USER,
                    turn_id=f"run-{(first + number) // 2}",
                )
                for number, text in enumerate(texts[first : first + _BATCH])
            ]
            request = recall_pb2.AppendMessagesRequest(
                agent_id=agent.id,
                conversation_id=agent.default_conversation_id,
                request_id=str(uuid.uuid4()),
                messages=messages,
            )
            await self._recall.unary(self._messages.AppendMessages, request, caller=ANN, seconds=60)
        await self._embedded(agent, texts[-1])

    async def _embedded(self, agent: agent_pb2.Agent, last: str) -> None:
        """Returns when recall has embedded what it was given: until then it keeps a core busy."""
        mode = type_pb2.SEARCH_MODE_SEMANTIC
        request = recall_pb2.SearchMessagesRequest(query=last, agent_id=agent.id, mode=mode, limit=1)
        while True:
            hits = (await self._recall.unary(self._messages.SearchMessages, request, caller=ANN, seconds=60)).hits
            if hits and hits[0].message.text == last:
                return
            await asyncio.sleep(0.5)

    async def turn(self, agent: agent_pb2.Agent) -> None:
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=str(uuid.uuid4()), messages=[turn_pb2.InputMessage(text="And then?")]
        )
        async for response in self._agent.stream(self._turns.StartTurn, request, caller=ANN):
            done = response.event.done.turn
        assert done.state == turn_pb2.TURN_STATE_COMPLETED, done.error

    async def restart(self) -> None:
        """Stops agent_service and starts it; returns when it answers."""
        self._services["agent_service"].stop()
        self._services["agent_service"] = Service("agent_service", self.environ)
        request = agent_pb2.CountAgentsRequest()
        await self._agent.unary(self._agents.CountAgents, request, caller=ANN)

    def stop(self) -> None:
        for service in self._services.values():
            service.kill()

    async def close(self) -> None:
        await self._agent.close()
        await self._recall.close()


async def main(lengths: Sequence[int], window: int, turns: int) -> None:
    rows: list[tuple[str, str]] = []
    with ExitStack() as stack, progress() as bar:
        model = ScriptedModel().start()
        stack.callback(model.stop)
        task = bar.add_task("histories", total=len(lengths))
        for length in lengths:
            with tempfile.TemporaryDirectory(prefix="triptych-bench-") as folder:
                rows += await _measured(Path(folder), model, length, window, turns)
            bar.advance(task)
    table(f"one turn, one client, a window of {window:,} tokens; p50 / p95", rows)


async def _measured(folder: Path, model: ScriptedModel, length: int, window: int, turns: int) -> list[tuple[str, str]]:
    async with AsyncExitStack() as stack:
        system = System(folder, model.url)
        stack.callback(system.stop)
        stack.push_async_callback(system.close)
        agent = await system.new_agent(window)
        await system.fill(
            agent, [*itertools.islice(corpus.passages(length - 1), length - 1), "the very last: xylophone"]
        )
        other = await system.new_agent(window)
        cold = []
        for _ in range(_COLD_STARTS):
            await system.restart()
            await system.turn(other)  # what the first turn of a process costs is not the history's doing
            cold.append(await timed(lambda: system.turn(agent)))
        took = [await timed(lambda: system.turn(agent)) for _ in range(turns)]
        sent = f"{len(model.requests[-1]['messages']):,} messages, {len(model.bodies[-1]) / 1024:,.0f} KiB"
    return [
        (f"{length:,} messages: warm", f"{percentiles(took)}; the last request: {sent}"),
        (f"{length:,} messages: cold", f"{sorted(cold)[len(cold) // 2]:.1f} ms (median of {len(cold)})"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=[10, 1_000, 10_000, 100_000])
    parser.add_argument("--window", type=int, default=8_000, help="of the model, in tokens")
    parser.add_argument("--turns", type=int, default=60, help="that are measured, one after another")
    given = parser.parse_args()
    asyncio.run(main(given.messages, given.window, given.turns))
