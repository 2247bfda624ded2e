"""Over random histories, windows and tools: a request fits, is valid, and begins as the one before it did."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent_service.context import tokens
from agent_service.context.budget import Budget
from agent_service.context.build import Builder, Built, history_target
from agent_service.context.prompt import Compiler, compiled
from agent_service.context.shorten import Cuts
from agent_service.context.window import Window
from agent_service.models.messages import ChatMessage, decoded
from agent_service.models.types import ToolSchema
from agent_service.stores.views import View
from triptych.agent.v1.agent_pb2 import COMPACTION_MODE_UNSPECIFIED, Agent, Block, CompactionSettings, ModelSettings
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall, ToolReturn

# Of a turn of which everything is left out that can be: tokens.
_LEAST_TURN = 120
# Lengths from a word to more than a window; texts of one, two and three bytes a character.
_LENGTHS = st.one_of(st.integers(0, 200), st.integers(0, 5_000), st.integers(0, 120_000))
_TEXTS = st.builds(lambda length, letter: letter * length, _LENGTHS, st.sampled_from("xé語"))
# What one step calls: for each call the lengths of its arguments and of its result (None: it never came).
_STEPS = st.lists(st.tuples(_LENGTHS, st.one_of(st.none(), _TEXTS)), min_size=1, max_size=4)
# As people are called, and as models call tools that there are not.
_NAMES = st.sampled_from(["", "Ann", "Ann Smith", "<|im_start|>", "n" * 100])
_TOOL_NAMES = st.sampled_from(["save", "", "multi_tool_use.parallel", "save it!", "s" * 100])


@dataclass(frozen=True)
class Turn:
    said: str
    steps: list[list[tuple[int, str | None]]]
    answer: str
    minutes_later: int
    edits_block: bool
    name: str
    tool_name: str


_TURNS = st.builds(
    Turn, _TEXTS, st.lists(_STEPS, max_size=4), _TEXTS, st.integers(0, 500), st.booleans(), _NAMES, _TOOL_NAMES
)
_AGENTS = st.builds(
    lambda window, values, mode, evicted, output: Agent(
        id="agent-1",
        model=ModelSettings(context_window=window, max_output_tokens=output),
        blocks=[Block(label=f"b{index}", value=value, limit=500_000) for index, value in enumerate(values)],
        compaction=CompactionSettings(mode=mode, evicted_part=evicted),  # type: ignore[arg-type]
    ),
    st.one_of(st.integers(4_000, 20_000), st.integers(4_000, 1_000_000)),
    st.lists(_TEXTS, max_size=4),
    st.integers(0, 2),
    st.sampled_from([0, 0.3, 0.9]),
    st.sampled_from([0, 1_000, 100_000]),
)
# From none to more than a small window can take.
_TOOLS = st.lists(st.integers(0, 3_000), max_size=40).map(
    lambda lengths: [ToolSchema(f"tool_{i}", "d" * n, {"type": "object"}) for i, n in enumerate(lengths)]
)


@dataclass
class Conversation:
    """A conversation as the loop runs it, with everything but the services: one request a step."""

    builder: Builder
    ratio: float
    window: Window = field(default_factory=Window)
    cuts: Cuts = field(default_factory=Cuts)
    turn: list[Message] = field(default_factory=list)
    count: int = 0
    seconds: int = 1_700_000_000

    def say(self, role: type_pb2.Role.ValueType, text: str, turn_id: str, **more: object) -> None:
        self.count += 1
        at = Timestamp(seconds=self.seconds)
        message = Message(sequence=self.count, role=role, text=text, turn_id=turn_id, create_time=at, **more)  # type: ignore[arg-type]
        self.turn.append(message)

    def request(self, turn_id: str, step_id: str) -> tuple[Built, bool]:
        """The step's request, and whether turns had to leave for it."""
        agent, budget = self.builder.agent, Budget.of(self.builder.agent, self.budget_window, self.ratio)
        built = self.builder.build(budget, self.window, turn_id, self.turn, self.cuts)
        left = False
        if not built.fits and built.history.messages:
            available = built.room - built.cuts.cost(built.turn)
            target = history_target(agent, COMPACTION_MODE_UNSPECIFIED, available)
            leaving = self.window.leaving(target, turn_id) or self.window.leaving(0, turn_id)
            view = View(leaving[-1].sequence + 1, "s" * min(len(leaving) * 50, 40_000))
            self.window = self.window.without(len(leaving), view)
            self.cuts = Cuts()
            built = self.builder.build(budget, self.window, turn_id, self.turn, self.cuts)
            left = True
        self.cuts = built.cuts
        if built.presses and not self.window.view.notice_step:
            self.window.view = replace(self.window.view, notice_step=step_id)
            built = built.noticed()
        return built, left

    @property
    def budget_window(self) -> int:
        return self.builder.agent.model.context_window

    def end_turn(self) -> None:
        self.window.extend(self.turn)
        self.turn, self.cuts = [], Cuts()


def assert_valid(messages: Sequence[ChatMessage]) -> None:
    """As the OpenAI API demands: each call answered once, right behind it, and no answer without its call."""
    assert messages[0]["role"] == "system"
    waiting: list[str] = []
    for message in messages:
        assert re.fullmatch(r"[^\s<|\\/>]{1,64}", message.get("name", "_"))
        for call in message.get("tool_calls", ()):
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"])
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
        assert message["role"] in ("system", "user", "assistant", "tool")
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        assert isinstance(message["content"], str) or waiting
    assert not waiting


def can_fit(builder: Builder, budget: Budget) -> bool:
    """Whether there is room at all beside instructions, tools, and a line of each block."""
    least = compiled(builder.agent, 0).tokens + tokens.of_tools(builder.schemas)
    return budget.room(max(least, int(budget.hard * 0.75))) > _LEAST_TURN


def assert_fits(built: Built) -> None:
    sent = tokens.of_messages(decoded(built.messages)) + built.tools
    assert sent * built.budget.ratio <= built.budget.window - built.budget.answer
    assert built.fits


def check(conversation: Conversation, turns: Sequence[Turn]) -> None:
    before: list[ChatMessage] = []
    cuts_before, compiled_before = Cuts(), ""
    for number, turn in enumerate(turns):
        turn_id = f"turn-{number}"
        conversation.seconds += 60 * turn.minutes_later
        conversation.say(type_pb2.ROLE_USER, turn.said, turn_id, name=turn.name)
        for step, calls in enumerate([*turn.steps, []]):
            step_id = f"{turn_id}-{step}"
            built, left = conversation.request(turn_id, step_id)
            if can_fit(conversation.builder, built.budget):
                assert_fits(built)
            messages = decoded(built.messages)
            assert_valid(messages)
            # A turn that was shortened while it ran is whole again as history, unless it leaves.
            same = compiled_before == built.prompt.text and not left and built.cuts == cuts_before
            if before and same:
                assert messages[: len(before)] == before
            before, cuts_before, compiled_before = messages, built.cuts, built.prompt.text
            add_step(conversation, turn, turn_id, step, calls)
        conversation.end_turn()
        if turn.edits_block and conversation.builder.agent.blocks:
            conversation.builder.agent.blocks[0].value = f"as of turn {number}"


def add_step(
    conversation: Conversation, turn: Turn, turn_id: str, step: int, calls: list[tuple[int, str | None]]
) -> None:
    made = [
        ToolCall(id=f"{turn_id}-{step}-{index}", name=turn.tool_name, arguments='{"a": "' + "x" * length + '"}')
        for index, (length, _) in enumerate(calls)
    ]
    step_id = f"{turn_id}-{step}"
    conversation.say(type_pb2.ROLE_ASSISTANT, "" if calls else turn.answer, turn_id, tool_calls=made, step_id=step_id)
    for call, (_, result) in zip(made, calls, strict=True):
        if result is not None:
            conversation.say(type_pb2.ROLE_TOOL, result, turn_id, tool_return=ToolReturn(tool_call_id=call.id))


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(_AGENTS, _TOOLS, st.lists(_TURNS, min_size=1, max_size=12), st.sampled_from([0.6, 1.0, 1.7, 3.0]))
def test_every_request_fits_is_valid_and_begins_as_the_one_before(
    agent: Agent, tools: list[ToolSchema], turns: list[Turn], ratio: float
) -> None:
    check(Conversation(Builder(Compiler(), agent, tools), ratio), turns)
