"""Which tier of memory answers what? The same facts and questions, with each tier alone, all, and none.

python examples/ablate_tiers.py [--ask 'Answer in one word: {question}']

Facts go into the tier under test only; each question is asked in a fresh conversation, so that what was said before is
not in the window. An answer counts if it holds the expected word.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from triptych import Triptych
from triptych.agent.v1.agent_pb2 import Agent


@dataclass(frozen=True)
class Probe:
    fact: str
    question: str
    expected: str


PROBES = (
    Probe("My sister Eva lives in Porto.", "Where does my sister live?", "Porto"),
    Probe("I am allergic to walnuts.", "What am I allergic to?", "walnuts"),
    Probe("My dog is called Bruno.", "What is my dog called?", "Bruno"),
)
# What an agent with this tier alone may call.
TOOLS = {
    "none": [],
    "core": [],
    "recall": ["conversation_search"],
    "archival": ["archival_memory_search"],
    "all": ["conversation_search", "archival_memory_search"],
}


def prepared(client: Triptych, tier: str) -> Agent:
    """An agent that knows the facts by this tier."""
    facts = [probe.fact for probe in PROBES]
    core = "\n".join(facts) if tier in ("core", "all") else ""
    agent = client.agents.create(
        f"ablation {tier}", blocks={"human": core}, tools=TOOLS[tier], include_base_tools=False
    )
    if tier in ("recall", "all"):
        client.memory.add([{"role": "user", "content": fact} for fact in facts], agent_id=agent.id)
    if tier in ("archival", "all"):
        client.memory.add(facts=facts, agent_id=agent.id)
    return agent


def score(client: Triptych, agent: Agent, ask: str) -> tuple[int, int]:
    """(answers that hold the expected word, tokens)"""
    right = tokens = 0
    for probe in PROBES:
        thread = client.agents.new_conversation(agent.id)
        reply = client.turns.send(agent.id, ask.format(question=probe.question), conversation_id=thread.id)
        right += probe.expected.lower() in reply.text.lower()
        tokens += reply.usage.total_tokens
    return right, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ask", default="{question}", help="how a question is put")
    ask = parser.parse_args().ask
    with Triptych.from_env() as client:
        print(f"{'tier':10} {'right':>7} {'tokens':>8}")
        for tier in TOOLS:
            right, tokens = score(client, prepared(client, tier), ask)
            print(f"{tier:10} {right:>3} / {len(PROBES)} {tokens:>8}")


if __name__ == "__main__":
    main()
