"""A history that is kept encoded makes the same requests as the messages that it was made of."""

from __future__ import annotations

from typing import Any

import pytest

from agent_service.models import bodies
from agent_service.models.messages import IMAGES, ChatMessage, Encoded, decoded
from agent_service.models.types import ModelRequest, Quirks, ToolMode, ToolSchema

SYSTEM: ChatMessage = {"role": "system", "content": "Be brief."}
CALL = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a": "ü\\n"}'}}
HISTORY: list[ChatMessage] = [
    {"role": "user", "content": 'Grüße, "Ann"\n\u2028 und 🙂', "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call-1", "content": "3"},
    {"role": "assistant", "content": "3"},
]
NOW: ChatMessage = {"role": "user", "content": "And then?"}
PICTURED: ChatMessage = {"role": "user", "content": "What is this?", IMAGES: ["https://example.org/quince.png"]}

Schema = dict[str, Any]
TOOL: Schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
# An integer that only Python's own encoder takes.
HUGE: Schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 10**40}}, "required": ["a"]}

QUIRKS = [
    Quirks(),
    Quirks(strict_roles=True),
    Quirks(tools=ToolMode.PROMPTED),
    Quirks(tools=ToolMode.EMULATED),
    Quirks(without=frozenset({IMAGES})),
]


@pytest.mark.parametrize("schema", [TOOL, HUGE], ids=["tool", "huge number"])
@pytest.mark.parametrize("history", [[], HISTORY, [*HISTORY, PICTURED]], ids=["empty", "plain", "pictured"])
@pytest.mark.parametrize("quirks", QUIRKS, ids=["usual", "strict", "prompted", "emulated", "no images"])
def test_the_body_is_the_same(quirks: Quirks, history: list[ChatMessage], schema: Schema) -> None:
    tools = [ToolSchema("add", "Adds.", schema)]

    def sent(*messages: ChatMessage | Encoded) -> bytes:
        return bodies.serialized(bodies.body(ModelRequest("m", messages, tools), quirks))

    assert sent(SYSTEM, Encoded().extended(history), NOW) == sent(SYSTEM, *history, NOW)


def test_it_grows_by_what_is_added_and_stays_what_it_was() -> None:
    first = Encoded().extended(HISTORY[:1])
    second = first.extended(HISTORY[1:])
    assert (len(first), len(second)) == (1, 4)
    assert second.json.startswith(first.json)
    assert decoded([SYSTEM, second, NOW]) == [SYSTEM, *HISTORY, NOW]
    assert first.decoded() == HISTORY[:1]
    assert second.extended([]) is second
    assert not Encoded()
