"""Stored messages as the OpenAI chat format has them.

What a message is rendered to depends on nothing that comes behind it, so that a conversation which grows is rendered to
what it was before and more: providers' prompt caches live on that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from agent_service.context import tokens
from agent_service.models.messages import IMAGES, ChatMessage
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall

_ROLES = {
    type_pb2.ROLE_SYSTEM: "system",
    type_pb2.ROLE_USER: "user",
    type_pb2.ROLE_ASSISTANT: "assistant",
    type_pb2.ROLE_TOOL: "tool",
}
# A turn that begins this long after the last time told is told its own.
_TIME_GOES_STALE_SECONDS = 300
# What the API takes in no name of a speaker, and in none of a tool: one that a model made up would spoil every later
# request.
_NOT_IN_SPEAKER, _NOT_IN_TOOL = re.compile(r"[\s<|\\/>]"), re.compile(r"[^a-zA-Z0-9_-]")
_MOST_OF_NAME = 64

PRESSURE_NOTICE = (
    "<memory_pressure>The oldest messages of this conversation will soon be out of view. Save now what will matter "
    "later and is not yet in memory. Do not mention this to the user.</memory_pressure>"
)


def render(messages: Iterable[Message]) -> list[ChatMessage]:
    """Always valid for the API: a tool's message without its call is left out, an unanswered call is answered."""
    rendered: list[ChatMessage] = []
    open_calls: dict[str, str] = {}
    for message in messages:
        if message.role == type_pb2.ROLE_TOOL:
            if open_calls.pop(message.tool_return.tool_call_id, None) is not None:
                rendered.append(_tool(message.tool_return.tool_call_id, message.text))
            continue
        rendered.extend(_tool(call_id, "outcome unknown") for call_id in open_calls)
        open_calls = {call.id: call.name for call in message.tool_calls}
        rendered.append(_spoken(message))
    rendered.extend(_tool(call_id, "outcome unknown") for call_id in open_calls)
    return rendered


@dataclass
class Renderer:
    """Renders turn by turn, in order, with the time in front of a turn wherever it has gone stale.

    `timezone`: an IANA name, '' for UTC. `notice_step`: the step in front of whose answer the agent is told that memory
    presses; '' for none. `fact_tokens`: what times and notice have taken so far, estimated.
    """

    timezone: str = ""
    notice_step: str = ""
    told_seconds: int | None = None
    fact_tokens: int = 0

    def copy(self) -> Renderer:
        return replace(self)

    def turns(self, messages: Sequence[Message]) -> list[ChatMessage]:
        """Any number of whole turns."""
        rendered: list[ChatMessage] = []
        for turn in turns_of(messages):
            rendered.extend(self.turn(turn))
        return rendered

    def turn(self, turn: Sequence[Message]) -> list[ChatMessage]:
        """One turn, or as much of it as there is."""
        rendered = self._time(turn[0]) if turn else []
        for index, message in enumerate(turn):
            if self.notice_step and message.step_id == self.notice_step:
                return [*rendered, *render(turn[:index]), self._counted(notice()), *render(turn[index:])]
        return [*rendered, *render(turn)]

    def _time(self, first: Message) -> list[ChatMessage]:
        seconds = first.create_time.seconds
        if not seconds or (self.told_seconds is not None and seconds - self.told_seconds < _TIME_GOES_STALE_SECONDS):
            return []
        self.told_seconds = seconds
        local = first.create_time.ToDatetime(UTC).astimezone(ZoneInfo(self.timezone) if self.timezone else UTC)
        told = f"It is {local:%A, %Y-%m-%d %H:%M} ({self.timezone or 'UTC'})."
        return [self._counted({"role": "system", "content": told})]

    def _counted(self, fact: ChatMessage) -> ChatMessage:
        self.fact_tokens += tokens.of_message(fact)
        return fact


def notice() -> ChatMessage:
    """Tells the agent that memory presses."""
    return {"role": "system", "content": PRESSURE_NOTICE}


def turns_of(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The turns that messages in order belong to. What belongs to none is taken from one user's message to the next."""
    start = 0
    for index in range(1, len(messages) + 1):
        if index == len(messages) or _begins_turn(messages[index - 1], messages[index]):
            yield messages[start:index]
            start = index


def _begins_turn(before: Message, message: Message) -> bool:
    if message.turn_id != before.turn_id:
        return True
    return not message.turn_id and message.role == type_pb2.ROLE_USER


def _tool(call_id: str, text: str) -> ChatMessage:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _spoken(message: Message) -> ChatMessage:
    rendered: ChatMessage = {"role": _ROLES.get(message.role, "user"), "content": message.text}
    if message.name:
        rendered["name"] = _NOT_IN_SPEAKER.sub("_", message.name)[:_MOST_OF_NAME]
    if message.image_urls:
        rendered[IMAGES] = list(message.image_urls)
    if message.tool_calls:
        rendered["content"] = message.text or None
        rendered["tool_calls"] = [_call(call) for call in message.tool_calls]
    return rendered


def _call(call: ToolCall) -> dict[str, Any]:
    name = _NOT_IN_TOOL.sub("_", call.name)[:_MOST_OF_NAME] or "_"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": call.arguments or "{}"}}
