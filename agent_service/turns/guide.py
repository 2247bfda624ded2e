"""What rules and limits say about a running turn, as its journal stands."""

from __future__ import annotations

from agent_service.tools import registry, speech
from agent_service.turns import journal, loops
from agent_service.turns.rules import Done, Rules
from agent_service.turns.running import Running
from triptych.agent.v1 import turn_pb2
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall

# How often a model that answers too early is told what it still has to call.
_MAX_REMINDERS = 3


class Guide:
    """`prepare` it when the turn's toolbox is there."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._rules = Rules([], ())

    def prepare(self) -> None:
        running = self._running
        self._rules = Rules(running.agent.tool_rules, running.toolbox.names)
        running.tools = running.toolbox.schemas(running.toolbox.names)

    def offer(self) -> None:
        """Sets the tools that the next step may call, and the reminder of what is owed."""
        if not self._rules:
            return
        running = self._running
        done = journal.succeeded(running.feed.journalled)
        running.tools = running.toolbox.schemas(self._rules.allowed(running.toolbox.names, done))
        owed = self._rules.owed(done) if self._answered_too_early() else []
        running.reminder = f"Before you end your turn, call: {', '.join(owed)}." if owed else ""

    def ended(self) -> turn_pb2.StopReason.ValueType | None:
        """Why the last step's calls end the turn; None if they don't."""
        running = self._running
        message = self._last_answer()
        if message is None or not message.tool_calls:
            return None
        if loops.is_endless(running.feed.journalled):
            return turn_pb2.STOP_REASON_TOOL_LOOP
        done = journal.succeeded(running.feed.journalled)
        if self._rules.owed(done):
            return None
        of_step = done[len(journal.succeeded(running.feed.journalled, message.step_id)) :]
        if any(self._ends(call) for call in of_step):
            return turn_pb2.STOP_REASON_TOOL_RULE
        spoke = all(call.name == speech.SEND_MESSAGE for call in message.tool_calls)
        spoke = spoke and not self._rules.continues(speech.SEND_MESSAGE)
        return turn_pb2.STOP_REASON_END_TURN if spoke else None

    def may_end(self) -> bool:
        """Whether an answer without calls may be the last."""
        done = journal.succeeded(self._running.feed.journalled)
        return not self._rules.owed(done) or self._answered_too_early() >= _MAX_REMINDERS

    def refusal(self, message: Message, index: int) -> str | None:
        """Why a call of a journalled answer may not run; None if it may."""
        running, call = self._running, message.tool_calls[index]
        if running.toolbox.get(call.name) is None:
            known = ", ".join(running.toolbox.names) or "none"
            return f"There is no tool named {call.name[:100]!r}. There are: {known}."
        times = loops.repeats(running.feed.journalled, call)
        if times >= loops.REFUSED_FROM:
            return f"This is the same call {times} times in a row. It was not run. Do something else, or answer."
        return self._against_rules(message, index, call) if self._rules else None

    def needs_approval(self, call: ToolCall) -> bool:
        return self._rules.needs_approval(call.name) or self._running.toolbox.requires_approval(call.name)

    def _against_rules(self, message: Message, index: int, call: ToolCall) -> str | None:
        done = journal.succeeded(self._running.feed.journalled, message.step_id)
        allowed = self._rules.allowed(self._running.toolbox.names, done)
        if call.name not in allowed:
            return f"{call.name} may not be called now. In this step there are: {', '.join(allowed) or 'no tools'}."
        before = [each.name for each in done] + [each.name for each in message.tool_calls[:index]]
        if self._rules.spent(call.name, before.count(call.name)):
            return f"{call.name} may not be called again in this turn."
        return None

    def _ends(self, call: Done) -> bool:
        exits = self._rules.exits(call.name) or call.name in registry.ENDING
        return exits and not self._rules.continues(call.name)

    def _answered_too_early(self) -> int:
        """How many of the last steps in a row had no calls."""
        count = 0
        for event in reversed(self._running.feed.journalled):
            if event.HasField("message"):
                if event.message.tool_calls:
                    break
                count += 1
        return count

    def _last_answer(self) -> Message | None:
        answers = (event.message for event in reversed(self._running.feed.journalled) if event.HasField("message"))
        return next(answers, None)
