"""The window: the recent part of a conversation that the model sees word for word, kept warm between turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from agent_service.context import tokens as count
from agent_service.context.render import render
from agent_service.models.types import ChatMessage
from agent_service.tiers import Tiers
from servicekit.principal import Principal
from triptych.recall.v1.recall_pb2 import Message

_PAGE = 200
# A cold start reads this many messages at the most; a window of a million tokens holds fewer.
_MOST_MESSAGES = 20_000
_CACHED_CONVERSATIONS = 2_000
_REFILL = 0.7


@dataclass
class Window:
    """`start`: sequence of the first message in view. `messages`: in order, all of them in recall."""

    start: int
    messages: list[Message] = field(default_factory=list)
    tokens: int = field(init=False)
    _rendered: list[ChatMessage] = field(default_factory=list, init=False)
    _rendered_count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.tokens = cost(self.messages)

    def before(self, turn_id: str) -> list[ChatMessage]:
        """All that comes before that turn, in the chat format. What was rendered for an earlier turn is not again.

        Turns are whole, so what they are rendered to does not depend on what comes behind them.
        """
        end = len(self.messages)
        while end and self.messages[end - 1].turn_id == turn_id:
            end -= 1
        if end < self._rendered_count:  # somebody looked at the turn while it was running
            self._rendered, self._rendered_count = [], 0
        self._rendered.extend(render(self.messages[self._rendered_count : end]))
        self._rendered_count = end
        return list(self._rendered)

    @property
    def hidden(self) -> int:
        """How many messages of the conversation are older than what is here."""
        return max(0, self.messages[0].sequence - 1) if self.messages else 0

    def of_turn(self, turn_id: str) -> list[Message]:
        """What is here of the turn that is running, which is the last."""
        return [message for message in self.messages if message.turn_id == turn_id]

    def extend(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)
        self.tokens += cost(messages)

    def fit(self, budget: int, tail: list[Message], keep: str) -> bool:
        """Drops whole turns from the front until the window with `tail` (not yet in it) is well within `budget` tokens.

        It drops down to 70%, so that the front, and with it the provider's cached prefix, then stays for many turns.
        The turn `keep`, which is running, stays whole. Returns whether anything was dropped.
        """
        total = self.tokens + cost(tail)
        if total <= budget:
            return False
        turns = [list(group) for _, group in groupby(self.messages, key=lambda message: message.turn_id)]
        costs = [cost(turn) for turn in turns]
        dropped = 0
        while dropped < len(turns) and total > budget * _REFILL and turns[dropped][0].turn_id != keep:
            total -= costs[dropped]
            dropped += 1
        self.messages = [message for turn in turns[dropped:] for message in turn]
        self.tokens = sum(costs[dropped:])
        self._rendered, self._rendered_count = [], 0
        if self.messages:
            self.start = self.messages[0].sequence
        return dropped > 0


def cost(messages: Sequence[Message]) -> int:
    """Estimated tokens of messages in the chat format."""
    return sum(map(count.of_message, render(messages)))


class WindowCache:
    """Windows by conversation, least recently used out first. A window not here is read from recall."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._windows: OrderedDict[str, Window] = OrderedDict()

    async def get(self, caller: Principal, agent_id: str, conversation_id: str, start: int, budget: int) -> Window:
        """The conversation's window; when cold, the newest messages from `start` on that `budget` tokens can hold."""
        window = self._windows.get(conversation_id)
        if window is None:
            window = Window(start, await self._read(caller, agent_id, conversation_id, start, budget))
            self._windows[conversation_id] = window
        self._windows.move_to_end(conversation_id)
        while len(self._windows) > _CACHED_CONVERSATIONS:
            self._windows.popitem(last=False)
        return window

    def forget(self, conversation_id: str) -> None:
        """Makes the next turn read it from recall again."""
        self._windows.pop(conversation_id, None)

    def peek(self, conversation_id: str) -> Window | None:
        return self._windows.get(conversation_id)

    async def _read(
        self, caller: Principal, agent_id: str, conversation_id: str, start: int, budget: int
    ) -> list[Message]:
        newest_first: list[Message] = []
        token, size = "", 0
        while len(newest_first) < _MOST_MESSAGES:
            page, token = await self._tiers.latest_messages(
                caller, agent_id, conversation_id, page_token=token, size=_PAGE
            )
            inside = [message for message in page if message.sequence >= start]
            newest_first.extend(inside)
            size += cost(inside)
            if not token or len(inside) < len(page) or size > budget:
                break
        return newest_first[::-1]
