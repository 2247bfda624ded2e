"""What a chat looks like: text as it is generated, tools and memory edits as they happen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC

from rich.console import Console
from rich.markup import escape

from triptych.agent.v1.agent_pb2 import PreviewContextResponse
from triptych.agent.v1.turn_pb2 import MemoryEdit, TurnEvent
from triptych.cli.context import PARTS
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_BAR_WIDTH = 60
_MOST_SHOWN = 300


class Screen:
    """`console`: where to write. One `Screen` shows one turn after the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._streamed: set[str] = set()
        self._waiting = console.status("thinking", spinner="dots")

    def wait(self) -> None:
        """Shows that the agent is at work, until there is something of it to show."""
        self._waiting.start()

    def stop_waiting(self) -> None:
        self._waiting.stop()

    def event(self, event: TurnEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._streamed.add(event.text_delta.message_id)
            self._console.print(event.text_delta.text, end="", markup=False, highlight=False, soft_wrap=True)
        elif kind == "reasoning_delta":
            self._console.print(escape(event.reasoning_delta.text), end="", style="dim italic", soft_wrap=True)
        elif kind == "message":
            self._message(event.message)
        elif kind == "tool_call":
            self._console.print(
                f"  ⚙ {event.tool_call.name} {_short(event.tool_call.arguments)}", style="cyan", markup=False
            )
        elif kind == "tool_result":
            failed = event.tool_result.tool_return.status == type_pb2.TOOL_STATUS_ERROR
            mark, style = ("✗", "red") if failed else ("✓", "dim")
            self._console.print(f"    {mark} {_short(event.tool_result.text)}", style=style, markup=False)
        elif kind == "memory_edit":
            self._edit(event.memory_edit)
        elif kind == "error":
            self.problem(event.error.message)
        elif kind == "step_restarted":
            self._console.print("\n  (the server was restarted and takes this up again)", style="yellow")

    def problem(self, text: str) -> None:
        self._console.print(text, style="red", markup=False)

    def note(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def messages(self, messages: Iterable[Message]) -> None:
        for message in messages:
            role = type_pb2.Role.Name(message.role).removeprefix("ROLE_").lower()
            when = message.create_time.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            self._console.print(f"  {when}  {role}: {_short(message.text)}", markup=False)

    def context(self, preview: PreviewContextResponse) -> None:
        """The window as bars, part by part."""
        for field, name, _ in PARTS:
            tokens = getattr(preview.tokens, field)
            width = round(_BAR_WIDTH * tokens / max(1, preview.context_window))
            self._console.print(f"  {name:14} {tokens:7,}  {'█' * width}".rstrip(), markup=False)
        self._console.print(f"  about {preview.tokens.total:,} of {preview.context_window:,} tokens", markup=False)
        kept = f"{preview.recall_count:,} messages in recall, {preview.archival_count:,} passages in archival memory"
        self._console.print(f"  {kept}", markup=False)

    def _message(self, message: Message) -> None:
        if message.id in self._streamed:
            self._console.print()
        elif message.text:
            self._console.print(message.text, markup=False, highlight=False)

    def _edit(self, edit: MemoryEdit) -> None:
        old, new = edit.old_value.splitlines(), edit.new_value.splitlines()
        self._console.print(f"  ✎ memory block {edit.label}", style="magenta", markup=False)
        for line in (line for line in old if line not in new):
            self._console.print(f"    - {_short(line)}", style="red", markup=False)
        for line in (line for line in new if line not in old):
            self._console.print(f"    + {_short(line)}", style="green", markup=False)


def _short(text: str) -> str:
    """One line of it."""
    try:
        text = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        text = " ".join(text.split())
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
