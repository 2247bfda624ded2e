"""Puts the parts together into one request, within the model's window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_service.context import prompt, shorten, summary, tokens
from agent_service.context.budget import Budget
from agent_service.context.prompt import Compiler, Prompt
from agent_service.context.render import notice
from agent_service.context.shorten import Cuts
from agent_service.context.window import History, Window
from agent_service.models.messages import ChatMessage, Encoded
from agent_service.models.types import ToolSchema
from triptych.agent.v1.agent_pb2 import COMPACTION_MODE_ALL, Agent, CompactionMode, ContextTokens
from triptych.errors import FailedPrecondition
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

EVICTED_PART = 0.3
# As long as the conversation before it is there to give way, a turn's tools may fill this part of the room.
_TURN_PART = 0.6
# What stands around the text in the summary's message.
_AROUND_SUMMARY = 45
_NO_CUTS = Cuts()
_NOTICE_TOKENS = tokens.of_message(notice())


@dataclass(frozen=True)
class Built:
    """A request's messages, and how they came about. All tokens are our estimate's.

    `turn`: the running turn in the chat format, before `cuts`. `room`: what history and turn may take together.
    """

    budget: Budget
    prompt: Prompt
    tools: int
    summary: list[ChatMessage]
    history: History
    turn: list[ChatMessage]
    cuts: Cuts
    facts: int
    room: int
    presses: bool

    @property
    def messages(self) -> list[ChatMessage | Encoded]:
        """In the chat format: the system prompt, the summary, what was said before, the running turn."""
        system: ChatMessage = {"role": "system", "content": self.prompt.text}
        return [system, *self.summary, self.history.messages, *self.cuts.apply(self.turn)]

    @property
    def conversation(self) -> int:
        """What history and turn take."""
        return self.history.tokens + self.cuts.cost(self.turn)

    @property
    def fits(self) -> bool:
        return self.conversation <= self.room

    def noticed(self) -> Built:
        """The same, and the agent is told at its end that memory presses."""
        return replace(self, turn=[*self.turn, notice()], facts=self.facts + _NOTICE_TOKENS)

    def parts(self) -> ContextTokens:
        """How many of the model's tokens each part takes."""
        calibrated = self.budget.calibrated
        parts = ContextTokens(
            system_prompt=calibrated(self.prompt.tokens - self.prompt.memory_tokens),
            core_memory=calibrated(self.prompt.memory_tokens),
            memory_facts=calibrated(self.facts),
            summary=calibrated(tokens.of_messages(self.summary)),
            messages=calibrated(max(0, self.conversation - self.facts)),
            tools=calibrated(self.tools),
        )
        parts.total = sum(getattr(parts, field.name) for field in parts.DESCRIPTOR.fields)
        return parts


@dataclass(frozen=True)
class Builder:
    """Builds an agent's requests. `schemas`: of the tools that it may call."""

    compiler: Compiler
    agent: Agent
    schemas: Sequence[ToolSchema]

    def fixed(self, budget: Budget) -> tuple[Prompt, int]:
        """The system prompt, and what the tools take."""
        tools = tokens.of_tools(self.schemas)
        instructions = tokens.of_text(prompt.instructions(self.agent))
        return self.compiler.compile(self.agent, budget.core_memory(instructions, tools)), tools

    def room(self, budget: Budget) -> int:
        """What history and turn may take together."""
        compiled, tools = self.fixed(budget)
        return budget.room(compiled.tokens + tools)

    def build(
        self,
        budget: Budget,
        window: Window,
        turn_id: str | None = None,
        turn: Sequence[Message] = (),
        cuts: Cuts = _NO_CUTS,
    ) -> Built:
        """The request as it would be now; it `fits`, or history has to leave.

        `turn`: the running turn's messages so far. `cuts`: what was left out of it before.
        """
        compiled, tools = self.fixed(budget)
        room = budget.room(compiled.tokens + tools)
        history = window.before(turn_id, self.agent.timezone)
        renderer = history.renderer
        rendered = renderer.turn(turn)
        wanted = max(int(room * _TURN_PART), room - history.tokens)
        kept = shorten.fit(rendered, cuts, wanted=wanted, most=room)
        conversation = history.tokens + kept.cost(rendered)
        presses = budget.soft_room(compiled.tokens + tools) < conversation <= room - _NOTICE_TOKENS
        return Built(
            budget=budget,
            prompt=compiled,
            tools=tools,
            summary=summary.message(window.view.summary, window.hidden, budget.summary - _AROUND_SUMMARY),
            history=history,
            turn=rendered,
            cuts=kept,
            facts=renderer.fact_tokens,
            room=room,
            presses=presses,
        )


def history_target(agent: Agent, mode: CompactionMode.ValueType, tokens_available: int) -> int:
    """What history may take after a compaction, where `tokens_available` is what it could take.

    `mode`: unspecified for what the agent's settings say.
    """
    if (mode or agent.compaction.mode) == COMPACTION_MODE_ALL:
        return 0
    return max(0, int(tokens_available * (1 - (agent.compaction.evicted_part or EVICTED_PART))))


def too_large(built: Built) -> FailedPrecondition:
    """For a request that can't be made to fit: what it has that can't leave is too much."""
    calibrated = built.budget.calibrated
    return FailedPrecondition(
        f"the context does not fit the model's window of {built.budget.window:,} tokens: instructions and core memory "
        f"take about {calibrated(built.prompt.tokens):,}, tools {calibrated(built.tools):,}, the answer "
        f"{built.budget.answer:,}. Shorten them, or use a model with a larger window",
        reason=type_pb2.ERROR_REASON_CONTEXT_OVERFLOW,
    )
