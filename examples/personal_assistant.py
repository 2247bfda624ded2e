"""An assistant that remembers you, in the terminal; start it again, and it goes on where you left off.

python examples/personal_assistant.py [NAME]        Ctrl-D ends it
"""

from __future__ import annotations

import sys

from triptych import Triptych
from triptych.agent.v1.agent_pb2 import Agent


def assistant_of(client: Triptych, name: str) -> Agent:
    """Yours from last time, or a new one."""
    agent_name = f"assistant of {name}"
    for agent in client.agents.list(name=agent_name):
        return agent
    return client.agents.create(
        agent_name,
        blocks={
            "human": f"Name: {name}.",
            "persona": "I am a personal assistant. I note in `human` what I learn about the person I help.",
        },
    )


def say(client: Triptych, agent: Agent, text: str) -> None:
    """One turn, printed as it happens."""
    streamed = set()
    for event in client.turns.stream(agent.id, text):
        if event.HasField("text_delta"):
            print(event.text_delta.text, end="", flush=True)
            streamed.add(event.text_delta.message_id)
        elif event.HasField("message") and event.message.id not in streamed:  # one that came whole
            print(event.message.text, end="")
        elif event.HasField("memory_edit"):
            print(f"[{event.memory_edit.label}] {event.memory_edit.new_value}")
        elif event.HasField("error"):
            print(f"! {event.error.message}", end="")
    print()


def main(name: str = "Ann") -> None:
    with Triptych.from_env() as client:
        agent = assistant_of(client, name)
        for line in sys.stdin:
            if line.strip():
                say(client, agent, line.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
