"""A chat with an agent that somebody else shares."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from triptych.agent.v1.sharing_pb2 import SharedAgent
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.cli.chat.screen import Screen
from triptych.cli.chat.session import Talk
from triptych.cli.errors import CommandError
from triptych.client import Triptych

HELP = """\
  /history           what you and the agent have said to each other, the last twenty messages
  /help              this
  /quit              leave (Ctrl-D does too)
Ctrl-C leaves an answer, which is finished without you."""
_LAST = 20


def find(client: Triptych, wanted: str) -> SharedAgent:
    """The shared agent of that id or name. Raises: CommandError if there is none, or more than one."""
    found = [agent for agent in client.shared_agents.list() if wanted in (agent.agent_id, agent.name)]
    if len(found) != 1:
        problem = f"{len(found)} agents named {wanted} are" if found else f"no agent {wanted} is"
        raise CommandError(f"{problem} shared with you; `triptych agents shared` lists them by id")
    return found[0]


class GuestSession(Talk):
    def __init__(self, client: Triptych, agent: SharedAgent, screen: Screen) -> None:
        self._client, self._agent = client, agent
        super().__init__(screen, {"/history": self._history, "/help": lambda _: self._screen.note(HELP)})

    def _events(self, text: str) -> Iterator[TurnEvent]:
        return self._client.shared_agents.stream(self._agent.agent_id, text)

    def _stopped(self, turn_id: str) -> str:
        return "the answer goes on without you; /history shows it"

    def _history(self, _: str) -> None:
        self._screen.messages(deque(self._client.shared_agents.messages(self._agent.agent_id), _LAST))
