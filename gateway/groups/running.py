"""What a group does with a message: its agents' turns, one after another or as the manager asks for them.

Each turn has a `request_id` that derives from the message's and from its place, and is noted when it is accepted: the
same message sent again attaches to the turns that there are, and runs those that there are not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from gateway.groups.groups import SUPERVISOR, Groups
from gateway.stores import groups as store
from gateway.stores.groups import Group, GroupTurn, Member
from gateway.stores.requests import Once
from servicekit import ids, principal
from triptych.agent.v1 import agent_pb2
from triptych.agent.v1 import turn_pb2 as pb
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

# What others said that an agent is told of: the newest.
_MOST_UNSEEN = 50
# How many of those that a manager asks work at a time.
_AT_A_TIME = 4
_SPEECH = "send_message"
_ASK_ALL, _ASK_ONE = "send_message_to_all_agents_in_group", "send_message_to_agent_in_group"


@dataclass
class Run:
    """Of one message. `start`: as it was sent, with the caller's `request_id`. `turns`: those that were run before."""

    groups: Groups
    group: Group
    start: pb.StartTurnRequest
    sequence: int = 0
    names: dict[str, str] = field(default_factory=dict)
    turns: list[GroupTurn] = field(default_factory=list)
    # What its own turns have said so far, in their order: which agent, and the words.
    said: list[tuple[str, str]] = field(default_factory=list)
    begun: bool = False
    # The turn that ended last, or waits, and at which of its events.
    last: pb.Turn = field(default_factory=pb.Turn)
    waits_at: int = 0

    async def events(self) -> AsyncIterator[pb.TurnEvent]:
        """Those of all turns; at the end one `done` for all of them.

        Raises: NotFound for an agent that is gone; FailedPrecondition REQUEST_ID_REUSED; what StartTurn raises. A turn
        that fails ends the run.
        """
        async with self.groups.lock(self.group.id):
            await self._begin()
            running = self._supervised() if self.group.manager_type == SUPERVISOR else self._in_turn()
            async with aclosing(running) as events:
                async for event in events:
                    yield event
        yield pb.TurnEvent(turn_id=self.last.id, done=pb.TurnDone(turn=await self._total()))

    async def _total(self) -> pb.Turn:
        """The last turn, with what all of them used."""
        back, total = self.groups.backends, pb.Turn()
        total.CopyFrom(self.last)
        total.usage.Clear()
        for noted in await self.groups.turns(self.group.id):
            if noted.sequence == self.sequence:
                turn = await back.agent_peer.unary(back.turns.GetTurn, pb.GetTurnRequest(turn_id=noted.turn_id))
                _add(total.usage, turn.turn.usage)
        return total

    async def _begin(self) -> None:
        tenant, request_id, inputs = principal.tenant(), self.start.request_id, len(self.start.messages)
        back = self.groups.backends
        for member in (*self.group.members, *filter(None, [self.group.manager])):
            asked = agent_pb2.GetAgentRequest(agent_id=member.agent_id)
            self.names[member.agent_id] = (await back.agent_peer.unary(back.agents.GetAgent, asked)).agent.name
        said = pb.StartTurnRequest(messages=self.start.messages).SerializeToString(deterministic=True)
        once = Once(tenant, "SendGroupMessage", ids.derived("message", self.group.id, request_id), said)

        def begin(connection: Connection) -> int:
            once.first(connection)
            return store.begin(connection, tenant, self.group.id, request_id, inputs)

        self.sequence = await self.groups.store.write(begin, alone=tenant)
        turns = await self.groups.turns(self.group.id)
        self.turns = [turn for turn in turns if turn.sequence <= self.sequence]

    async def _in_turn(self) -> AsyncGenerator[pb.TurnEvent, None]:
        """Round robin: each is told what was asked, and what the others have said since it spoke last."""
        members = self.group.members
        for place in range(self.group.settings.get("max_turns") or len(members)):
            member = members[place % len(members)]
            asked = self.start.messages if place < len(members) else []
            messages = [*await self._unseen(member), *asked]
            if not messages:  # alone in its group, or nobody said a word
                return
            async for event in self._turn(str(place), member, messages):
                for shown in self._shown(event, member):
                    yield shown
            if self.last.state != pb.TURN_STATE_COMPLETED:
                return

    async def _supervised(self) -> AsyncGenerator[pb.TurnEvent, None]:
        """The manager's turn, which waits while those it asks answer. What they do is not shown: it is told of it."""
        manager, back = self.group.manager, self.groups.backends
        assert manager is not None
        async for event in self._turn("manager", manager, self.start.messages, self._tools()):
            for shown in self._shown(event, manager):
                yield shown
        while self.last.state == pb.TURN_STATE_WAITING:
            calls = [pending.call for pending in self.last.pending_calls]
            if any(call.name not in (_ASK_ALL, _ASK_ONE) for call in calls):  # a person has to say a word
                return
            proceed = pb.ContinueTurnRequest(
                turn_id=self.last.id,
                request_id=ids.derived("call", self.last.id, self.waits_at),
                tool_returns=[await self._returned(number, call) for number, call in enumerate(calls)],
            )
            async for continued in back.agent_peer.stream(back.turns.ContinueTurn, proceed):
                for shown in self._shown(continued.event, manager):
                    yield shown

    async def _returned(self, number: int, call: type_pb2.ToolCall) -> pb.ClientToolReturn:
        """What the manager's call returns: the answers of those that it asks, who are asked at the same time."""
        asked, message = self._addressed(call)
        if not asked:
            text = f"give a message, and one of these agents: {', '.join(self._participants())}"
            return pb.ClientToolReturn(tool_call_id=call.id, text=text, status=type_pb2.TOOL_STATUS_ERROR)
        places = asyncio.Semaphore(_AT_A_TIME)

        async def answer(place: int, member: Member) -> dict[str, str]:
            async with places:
                return await self._answer(f"{self.waits_at}/{number}/{place}", member, message)

        answers = await asyncio.gather(*(answer(place, member) for place, member in enumerate(asked)))
        return pb.ClientToolReturn(tool_call_id=call.id, text=json.dumps(answers, ensure_ascii=False))

    async def _answer(self, key: str, member: Member, message: str) -> dict[str, str]:
        assert self.group.manager is not None
        words, turn, said = pb.InputMessage(text=message, name=self.names[self.group.manager.agent_id]), pb.Turn(), []
        async for event in self._turn(key, member, [words]):
            if event.HasField("message") and (text := spoken(event.message)):
                said.append(text)
            for kind in ("done", "approval_request"):
                if event.HasField(kind):
                    turn = getattr(event, kind).turn
        answer = {"agent_name": self.names[member.agent_id], "response": "\n".join(said)}
        if turn.HasField("error"):
            answer["error"] = turn.error.message
        return answer

    def _addressed(self, call: type_pb2.ToolCall) -> tuple[list[Member], str]:
        try:
            arguments: Any = json.loads(call.arguments)
            message = str(arguments["message"])
            name = str(arguments["agent_name"]) if call.name == _ASK_ONE else ""
        except (ValueError, KeyError, TypeError):
            return [], ""
        participants = self._participants()
        return ([participants[name]] if name in participants else [] if name else list(self.group.members)), message

    def _participants(self) -> dict[str, Member]:
        return {self.names[member.agent_id]: member for member in self.group.members}

    def _tools(self) -> list[pb.ClientTool]:
        message = {"message": {"type": "string", "description": "What to say to them. They see nothing else of this."}}
        names = list(self._participants())
        all_of_them = ", ".join(names)
        one = {"agent_name": {"type": "string", "enum": names, "description": "Whom to ask."}, **message}
        return [
            pb.ClientTool(
                name=_ASK_ALL,
                description=f"Sends a message to all agents of your group ({all_of_them}) and returns their answers.",
                parameters=json.dumps({"type": "object", "properties": message, "required": ["message"]}),
            ),
            pb.ClientTool(
                name=_ASK_ONE,
                description="Sends a message to one agent of your group and returns its answer.",
                parameters=json.dumps({"type": "object", "properties": one, "required": ["agent_name", "message"]}),
            ),
        ]

    async def _turn(
        self,
        key: str,
        member: Member,
        messages: Iterable[pb.InputMessage],
        tools: Sequence[pb.ClientTool] = (),
    ) -> AsyncIterator[pb.TurnEvent]:
        """The turn of that key: run now, or as it was run."""
        back = self.groups.backends
        known = next((turn for turn in self.turns if (turn.sequence, turn.key) == (self.sequence, key)), None)
        if known is not None:
            resume = pb.ResumeTurnRequest(turn_id=known.turn_id, deltas=self.start.deltas)
            async for resumed in back.agent_peer.stream(back.turns.ResumeTurn, resume):
                yield resumed.event
            return
        start = pb.StartTurnRequest(
            agent_id=member.agent_id,
            conversation_id=member.conversation_id,
            request_id=ids.derived("call", self.group.id, self.sequence, self.start.request_id, key),
            messages=messages,
            max_steps=self.start.max_steps,
            model=self.start.model,
            deltas=self.start.deltas,
            client_tools=tools,
        )
        async for started in back.agent_peer.stream(back.turns.StartTurn, start):
            if started.event.HasField("accepted"):
                noted = GroupTurn(self.sequence, 0, key, member.agent_id, started.event.turn_id, 0)
                await self.groups.note(self.group.id, noted)
            yield started.event

    def _shown(self, event: pb.TurnEvent, member: Member) -> list[pb.TurnEvent]:
        """What of it goes to the caller, with who speaks; of the turns' beginnings the first, of their ends none."""
        kind = event.WhichOneof("event")
        if kind == "accepted" and not self.begun:
            self.begun = True
            return [event]
        if kind == "message":
            event.message.name = self.names[member.agent_id]
            if words := spoken(event.message):
                self.said.append((member.agent_id, words))
        if kind in ("done", "approval_request"):
            self.last, self.waits_at = getattr(event, kind).turn, event.sequence
        return [] if kind in ("accepted", "done", "approval_request") else [event]

    async def _unseen(self, member: Member) -> list[pb.InputMessage]:
        """What the others have said since the member spoke last, also for earlier messages to the group."""
        mine = [number for number, (agent_id, _) in enumerate(self.said) if agent_id == member.agent_id]
        told = self.said[mine[-1] + 1 :] if mine else [*await self._before(member), *self.said]
        return [
            pb.InputMessage(text=f"{self.names[agent_id]}: {words}", name=self.names[agent_id])
            for agent_id, words in told[-_MOST_UNSEEN:]
        ]

    async def _before(self, member: Member) -> list[tuple[str, str]]:
        """What was said for earlier messages, after the member's last turn. Who has left the group is left out."""
        earlier = [turn for turn in self.turns if turn.sequence < self.sequence]
        own = [number for number, turn in enumerate(earlier) if turn.agent_id == member.agent_id]
        since = earlier[own[-1] + 1 if own else 0 :]
        told = [await self._told(turn) for turn in since[-_MOST_UNSEEN:] if turn.agent_id in self.names]
        return [line for lines in told for line in lines]

    async def _told(self, turn: GroupTurn) -> list[tuple[str, str]]:
        """What an earlier turn said."""
        back, request = self.groups.backends, pb.ListTurnEventsRequest(turn_id=turn.turn_id)
        events = (await back.agent_peer.unary(back.turns.ListTurnEvents, request)).events
        said = [spoken(event.message) for event in events if event.HasField("message")]
        return [(turn.agent_id, words) for words in said if words]


def spoken(message: Message) -> str:
    """What an assistant's message says to whom it talks with; older agents say it by a call."""
    said = [message.text] if message.text else []
    for call in message.tool_calls:
        if call.name == _SPEECH:
            try:
                said.append(str(json.loads(call.arguments)["message"]))
            except (ValueError, KeyError, TypeError):
                continue
    return "\n".join(said)


def _add(total: pb.Usage, more: pb.Usage) -> None:
    for each in pb.Usage.DESCRIPTOR.fields:
        value = getattr(more, each.name)
        setattr(total, each.name, value if each.name == "context_tokens" else getattr(total, each.name) + value)
