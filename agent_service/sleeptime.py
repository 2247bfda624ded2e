"""Starts sleep-time turns: looks for conversations that are due, and has each read by a turn of its agent's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection

from agent_service import clock
from agent_service.stores import agents, sleeps, unfinished
from agent_service.stores.replicas import Elsewhere
from agent_service.stores.sleeps import Due, Reading
from agent_service.tools import speech
from agent_service.turns.engine import TurnEngine
from agent_service.turns.parts import Parts
from servicekit import deadline, principal
from servicekit.background import went_well
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import InputMessage, StartTurnRequest, Turn
from triptych.errors import NotFound
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("sleeptime")
_LATER = "sleep time has to wait"
_LOOK_SECONDS = 1.0
_AT_ONCE = 8
_PAGE = 200
# Of one message, and of one turn's reading, in characters: with four to a token it fills half of the model's window.
_MESSAGE_CHARACTERS = 4_000
_MOST_CHARACTERS = 60_000
_CHARACTERS_A_TOKEN, _PART = 4, 0.5
# After a look that failed as a whole: the store, or recall, is away.
_PAUSE_SECONDS = 10.0
_ROLES = {type_pb2.ROLE_USER: "user", type_pb2.ROLE_ASSISTANT: "assistant"}


class SleepTime:
    """`start` it once turns can run."""

    def __init__(self, parts: Parts, engine: TurnEngine) -> None:
        self._parts, self._engine = parts, engine
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        deadline.bind(None)
        while True:
            well = await went_well(self._start_all(), _LATER)
            await asyncio.sleep(_LOOK_SECONDS if well else _PAUSE_SECONDS)

    async def _start_all(self) -> bool:
        """Whether all went well: what fails holds up nobody behind it."""
        found = await self._parts.store.read(lambda c: sleeps.due(c, _AT_ONCE))
        return all([await went_well(self._start(due), _LATER) for due in found])

    async def _start(self, due: Due) -> None:
        """Starts the turn that reads a conversation. Another replica may be faster: then that one does it."""
        principal.bind(Principal(due.tenant))
        store = self._parts.store
        agent = await self._agent(due)
        if agent is None:
            await store.write(lambda c: sleeps.forget(c, due.tenant, due.agent_id))
            return
        await self._engine.acknowledged.mark(store)
        if await store.read(lambda c: unfinished.awaits_recall(c, due.tenant, due.conversation_id)):
            return  # the next look finds it there
        messages = await self._unread(due)
        if not messages:
            await store.write(lambda c: sleeps.skip(c, due))
            return
        transcript, reading = read(due, messages, self._most_characters(agent))
        await store.write(lambda c: sleeps.ensure_conversation(c, due.tenant, due.agent_id))
        request = StartTurnRequest(
            agent_id=due.agent_id,
            conversation_id=sleeps.conversation_of(due.agent_id),
            # Another for each turn: the id of one that failed would give that one again, and nothing would be read.
            request_id=f"sleep-time/{due.conversation_id}/{due.runs}",
            messages=[InputMessage(text=transcript)],
            background=True,
        )

        def also(connection: Connection, turn: Turn) -> None:
            sleeps.begin(connection, reading, turn)

        try:
            await self._engine.launch(due.tenant, request, also)
        except Elsewhere:
            _log.debug("another replica has the agent's sleep time")

    async def _agent(self, due: Due) -> Agent | None:
        """None if sleep time was turned off meanwhile, or the agent is gone."""
        try:
            agent = await self._parts.store.read(lambda c: agents.get(c, due.tenant, due.agent_id))
        except NotFound:
            return None
        return agent if agent.sleep_time.enabled else None

    def _most_characters(self, agent: Agent) -> int:
        settings = agent.sleep_time.model if agent.sleep_time.model.handle else agent.model
        window = settings.context_window or self._parts.model.context_window(settings.handle)
        return min(_MOST_CHARACTERS, int(window * _PART * _CHARACTERS_A_TOKEN))

    async def _unread(self, due: Due) -> list[Message]:
        """What was said since, oldest first."""
        newest_first: list[Message] = []
        token = ""
        while True:
            page, token = await self._parts.tiers.latest_messages(
                Principal(due.tenant), due.agent_id, due.conversation_id, page_token=token, size=_PAGE
            )
            unread = [
                message
                for message in page
                if message.sequence > due.read_through and clock.microseconds(message.create_time) >= due.since
            ]
            newest_first.extend(unread)
            if not token or len(unread) < len(page):
                return newest_first[::-1]


def read(due: Due, messages: Sequence[Message], most_characters: int) -> tuple[str, Reading]:
    """A transcript of the oldest messages that fit, at least one, and what of the conversation it is.

    Messages are numbered by their sequence. Tools' results are left out: what matters of them is said.
    """
    lines: list[str] = []
    sources: dict[str, str] = {}
    size = taken = 0
    for message in messages:
        line = _line(message)
        if line and lines and size + len(line) > most_characters:
            break
        taken += 1
        if line:
            lines.append(line)
            size += len(line)
            sources[str(message.sequence)] = message.id
    told = "\n".join(lines)
    transcript = f"What was said since you last read:\n<transcript>\n{told}\n</transcript>"
    return transcript, Reading(due, messages[taken - 1].sequence, taken == len(messages), sources)


def _line(message: Message) -> str:
    text = message.text or " ".join(filter(None, map(speech.said, message.tool_calls)))
    if message.role not in _ROLES or not text:
        return ""
    at = message.create_time.ToDatetime(UTC)
    if len(text) > _MESSAGE_CHARACTERS:
        text = f"{text[:_MESSAGE_CHARACTERS]} […]"
    return f"[{message.sequence}] {_shown(at)} {message.name or _ROLES[message.role]}: {text}"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
