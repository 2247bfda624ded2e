"""Whether an agent on a given model remembers: tasks of memory, each told in one session and asked in another.

python -m benchmarks.agent_quality --base-url http://127.0.0.1:8080/v1 --model NAME [--api-key KEY] [--repeat 3]

It starts services of its own in a temporary folder. Between telling and asking, the conversation is emptied (what was
said is then in recall alone) and agent_service is started again, so that only memory can help. An answer is right if it
has all the wanted words and none of the wrong ones.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.common import console, progress
from servicekit.channel import Peer
from tests.support.keys import ANN, signer
from tests.support.processes import Service
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub


@dataclass(frozen=True)
class Task:
    """`sessions`: what the user says in each, before the question. `wanted`, `wrong`: words, in small letters; of a
    tuple in `wanted` one is enough.
    """

    kind: str
    sessions: Sequence[Sequence[str]]
    question: str
    wanted: Sequence[str | tuple[str, ...]]
    wrong: Sequence[str] = ()


_UNKNOWN = ("don't", "do not", "not sure", "no record", "haven't", "have not", "no information", "unknown", "never")
TASKS = (
    Task("save", [["My name is Ann and I am allergic to hazelnuts."]], "What am I allergic to?", ["hazelnut"]),
    Task("save", [["Please always answer me in one sentence. My dog is called Rufus."]], "My dog's name?", ["rufus"]),
    Task(
        "recall after restart",
        [["We tried three paints for the boat. The blue one, Nordlys 40, held best. Just telling you."]],
        "Which paint held best on my boat?",
        ["nordlys"],
    ),
    Task(
        "update",
        [["I work at Alpha Bakery."], ["I have left the bakery. I work at Beta Library now."]],
        "Where do I work now? Name only the place.",
        ["beta"],
        ["alpha"],
    ),
    Task(
        "contradiction",
        [["My sister Eva lives in Lisbon."], ["No, I told you something wrong: Eva lives in Porto, she always did."]],
        "In which city does Eva live? Name only the city.",
        ["porto"],
        ["lisbon"],
    ),
    Task(
        "date",
        [["Today is 14 March 2026. Yesterday I passed my driving test."]],
        "On which date did I pass my driving test?",
        [("13 march", "march 13", "2026-03-13", "13th of march", "13.03", "march 13th")],
    ),
    Task("absent fact", [["I like tea."]], "What is my brother's birthday?", [_UNKNOWN]),
    Task(
        "many sessions",
        [
            ["My daughter Mia plays the cello."],
            ["I planted six apple trees."],
            ["My car broke down near Hamar."],
            ["I am reading a book about lighthouses."],
            ["Mia has changed to the viola."],
            ["One of the apple trees died."],
        ],
        "Which instrument does Mia play now, and how many apple trees do I have left?",
        ["viola", ("five", "5")],
    ),
)


class System:
    """The three tiers on the given model, and one agent after the other."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ = environ
        self._services = {
            name: Service(name, environ) for name in ("recall_service", "archival_service", "agent_service")
        }
        self._peer = Peer("agent_service", environ["TRIPTYCH_AGENT_ADDRESS"], signer(folder / "keys"))
        self._agents, self._turns = AgentServiceStub(self._peer.channel), TurnServiceStub(self._peer.channel)

    async def new_agent(self) -> agent_pb2.Agent:
        blocks = [agent_pb2.Block(label="human"), agent_pb2.Block(label="persona", value="A helpful friend.")]
        request = agent_pb2.CreateAgentRequest(agent=agent_pb2.Agent(blocks=blocks), include_base_tools=True)
        return (await self._peer.unary(self._agents.CreateAgent, request, caller=ANN)).agent

    async def say(self, agent: agent_pb2.Agent, text: str) -> str:
        """The agent's answer; '' if the turn failed."""
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id,
            request_id=str(uuid.uuid4()),
            messages=[turn_pb2.InputMessage(text=text)],
            max_steps=12,
        )
        said = ""
        async for response in self._peer.stream(self._turns.StartTurn, request, caller=ANN, seconds=600):
            if response.event.HasField("message"):
                said = response.event.message.text or said
            elif response.event.HasField("error"):
                return ""
        return said

    async def new_session(self, agent: agent_pb2.Agent) -> None:
        """What was said is out of view, and the process that heard it is gone."""
        request = agent_pb2.ResetConversationRequest(agent_id=agent.id, request_id=str(uuid.uuid4()))
        await self._peer.unary(self._agents.ResetConversation, request, caller=ANN)
        self._services["agent_service"].stop()
        self._services["agent_service"] = Service("agent_service", self._environ)

    async def close(self) -> None:
        await self._peer.close()
        for service in self._services.values():
            service.kill()


@contextmanager
def _environment(given: argparse.Namespace) -> Iterator[tuple[dict[str, str], Path]]:
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as name:
        folder = Path(name)
        more = {
            "TRIPTYCH_MODEL": given.model,
            "TRIPTYCH_MODEL_API_KEY": given.api_key,
            "TRIPTYCH_MODEL_TOOLS": given.tools,
            "TRIPTYCH_MODEL_CONTEXT_WINDOW": str(given.window),
            "TRIPTYCH_MODEL_TIMEOUT_SECONDS": "300",
            "TRIPTYCH_LOG_LEVEL": "error",
        }
        yield {**environment(folder, given.base_url), **more}, folder


def is_right(task: Task, answer: str) -> bool:
    said = answer.lower().replace("\u2019", "'")
    has = all(any(word in said for word in ((want,) if isinstance(want, str) else want)) for want in task.wanted)
    return has and not any(word in said for word in task.wrong)


async def run(system: System, task: Task) -> tuple[bool, str]:
    """Whether the answer was right, and the answer."""
    agent = await system.new_agent()
    for session in task.sessions:
        for text in session:
            await system.say(agent, text)
        await system.new_session(agent)
    answer = await system.say(agent, task.question)
    return is_right(task, answer), answer


async def main(given: argparse.Namespace) -> int:
    results: list[tuple[Task, bool, str]] = []
    with _environment(given) as (environ, folder), progress() as bar:
        system = System(environ, folder)
        try:
            bars = bar.add_task("tasks", total=len(TASKS) * given.repeat)
            for task in TASKS * given.repeat:
                results.append((task, *await run(system, task)))
                bar.advance(bars)
        finally:
            await system.close()
    _print(given.model, results)
    return 0


def _print(model: str, results: Sequence[tuple[Task, bool, str]]) -> None:
    shown = Table("task", "right", "of", "last answer", title=f"memory tasks on {model or 'the first model listed'}")
    for kind in dict.fromkeys(task.kind for task in TASKS):
        of_kind = [(right, answer) for task, right, answer in results if task.kind == kind]
        shown.add_row(kind, str(sum(right for right, _ in of_kind)), str(len(of_kind)), of_kind[-1][1][:60])
    console.print(shown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True, help="an OpenAI-compatible endpoint, up to and with /v1")
    parser.add_argument("--model", default="", help="its name there; default: the first that is listed")
    parser.add_argument("--api-key", default="", help="the endpoint's key")
    parser.add_argument("--tools", choices=("native", "emulated"), default="native", help="how tools are called")
    parser.add_argument("--window", type=int, default=32_768, help="the model's context window, in tokens")
    parser.add_argument("--repeat", type=int, default=1, help="how often each task is run")
    sys.exit(asyncio.run(main(parser.parse_args())))
