"""Puts the parts together into one request, within the model's window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent_service.context import prompt, tokens
from agent_service.context.render import render
from agent_service.models.types import ChatMessage, ToolSchema
from triptych.agent.v1.agent_pb2 import Agent, ContextTokens
from triptych.recall.v1.recall_pb2 import Message

# Kept for the answer: an eighth of the window, this much at the most.
_MOST_FOR_ANSWER = 8_192
# The estimate can be off; what is built stays this far below the window.
_FILL = 0.9


@dataclass(frozen=True)
class Built:
    """`messages`: in the chat format, with the memory `facts` among them."""

    messages: list[ChatMessage]
    facts: str


def history_budget(agent: Agent, tools: list[ToolSchema], window_tokens: int) -> int:
    """Tokens that are left for the conversation itself."""
    answer = min(agent.model.max_output_tokens or window_tokens // 8, _MOST_FOR_ANSWER)
    fixed = tokens.of_text(prompt.compiled(agent)) + tokens.of_tools(tools)
    return max(0, int((window_tokens - answer) * _FILL) - fixed)


def build(agent: Agent, history: list[ChatMessage], turn: list[Message], now: datetime, *, hidden: int) -> Built:
    """The request's messages. `turn`: this turn's own so far; `history`: those before, as far as they are in view.

    `hidden`: how many messages of the conversation are out of view.

    The facts stand in front of the turn's own messages: everything before them is what the last request began with.
    """
    system = prompt.compiled(agent)
    facts = prompt.facts(agent, now=now, hidden_messages=hidden)
    messages: list[ChatMessage] = [
        {"role": "system", "content": system},
        *history,
        {"role": "system", "content": facts},
        *render(turn),
    ]
    return Built(messages, facts)


def measured(agent: Agent, tools: list[ToolSchema], built: Built) -> ContextTokens:
    """How many tokens each part takes, estimated."""
    system = tokens.of_text(prompt.compiled(agent))
    memory = tokens.of_text(prompt.core_memory(agent.blocks))
    facts = tokens.of_text(built.facts)
    parts = ContextTokens(
        system_prompt=system - memory,
        core_memory=memory,
        memory_facts=facts,
        messages=sum(map(tokens.of_message, built.messages)) - system - facts,
        tools=tokens.of_tools(tools),
    )
    parts.total = parts.system_prompt + parts.core_memory + parts.memory_facts + parts.messages + parts.tools
    return parts
