"""A chat: which agent, which conversation, and what each line that is typed does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.cli.chat.screen import Screen
from triptych.client import Triptych
from triptych.errors import TriptychError

HELP = """\
  /memory            the agent's core memory
  /recall QUERY      search all that was ever said
  /archival QUERY    search what it has saved
  /context           how full its window is, part by part
  /new               a new conversation, over the same memory
  /help              this
  /quit              leave (Ctrl-D does too)
Ctrl-C stops an answer."""


def find_or_create(client: Triptych, name: str) -> tuple[Agent, bool]:
    """The user's agent of that name, and whether it was made just now."""
    for agent in client.agents.list(name=name):
        return agent, False
    blocks = {"human": "", "persona": f"I am {name}, a friendly companion with a good memory."}
    return client.agents.create(name, blocks=blocks), True


class Talk:
    """Lines that are typed: commands by name, anything else is said to the agent."""

    def __init__(self, screen: Screen, commands: Mapping[str, Callable[[str], None]]) -> None:
        self._screen, self._commands = screen, commands

    def handle(self, line: str) -> bool:
        """Does what the line says; false to leave. Errors are shown, and the chat goes on."""
        line = line.strip()
        if line in ("/quit", "/exit"):
            return False
        try:
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._say(line)
        except TriptychError as error:
            self._screen.problem(error.message)
        return True

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._screen.problem(f"there is no command {name}; /help lists them")
        else:
            command(rest.strip())

    def _say(self, text: str) -> None:
        turn_id = ""
        self._screen.wait()
        try:
            for event in self._events(text):
                turn_id = event.turn_id
                if not event.HasField("accepted"):
                    self._screen.stop_waiting()
                self._screen.event(event)
        except KeyboardInterrupt:
            self._screen.note(f"\n  ({self._stopped(turn_id)})")
        finally:
            self._screen.stop_waiting()

    def _events(self, text: str) -> Iterator[TurnEvent]:
        raise NotImplementedError

    def _stopped(self, turn_id: str) -> str:
        """Does what there is to do when the user has had enough of an answer; gives what to say of it."""
        raise NotImplementedError


class Session(Talk):
    """With an agent of the user's own."""

    def __init__(self, client: Triptych, agent: Agent, screen: Screen) -> None:
        self._client, self._agent = client, agent
        self._conversation_id = ""
        super().__init__(
            screen,
            {
                "/memory": self._memory,
                "/recall": self._recall,
                "/archival": self._archival,
                "/context": self._context,
                "/new": self._new,
                "/help": lambda _: self._screen.note(HELP),
            },
        )

    def _events(self, text: str) -> Iterator[TurnEvent]:
        return self._client.turns.stream(self._agent.id, text, conversation_id=self._conversation_id)

    def _stopped(self, turn_id: str) -> str:
        if turn_id:
            self._client.turns.cancel(turn_id)
        return "stopped"

    def _memory(self, _: str) -> None:
        for block in self._client.agents.get(self._agent.id).blocks:
            flags = " (read-only)" if block.read_only else ""
            self._screen.note(f"  {block.label}{flags}, {len(block.value):,} of {block.limit:,} characters")
            for line in block.value.splitlines() or ["(empty)"]:
                self._screen.note(f"    {line}")

    def _recall(self, query: str) -> None:
        if not query:
            self._screen.problem("what should I look for? /recall QUERY")
            return
        hits = self._client.recall.search(query, agent_id=self._agent.id)
        self._screen.messages(hit.message for hit in hits)
        if not hits:
            self._screen.note("  nothing found")

    def _archival(self, query: str) -> None:
        if not query:
            self._screen.problem("what should I look for? /archival QUERY")
            return
        hits = self._client.archival.search(self._agent, query)
        for hit in hits:
            self._screen.note(f"  {hit.passage.text}")
        if not hits:
            self._screen.note("  nothing found")

    def _context(self, _: str) -> None:
        self._screen.context(self._client.agents.context(self._agent.id, conversation_id=self._conversation_id))

    def _new(self, _: str) -> None:
        self._conversation_id = self._client.agents.new_conversation(self._agent.id).id
        self._screen.note("  a new conversation; the memory is the same")
