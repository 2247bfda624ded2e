"""The window: the recent part of a conversation that the model sees word for word, kept warm between turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_service.context import tokens as count
from agent_service.context.render import Renderer, render, turns_of
from agent_service.models.messages import Encoded
from agent_service.stores.views import View
from agent_service.tiers import Tiers
from servicekit.principal import Principal
from triptych.recall.v1.recall_pb2 import Message

_SMALLEST_PAGE, _LARGEST_PAGE = 50, 1_000
# For the size of a cold start's pages: a message of this many tokens is a short one.
_SHORT_MESSAGE = 50
_CACHED_CONVERSATIONS = 2_000


@dataclass(frozen=True)
class History:
    """What comes before a turn, in the chat format. `tokens`: estimated. `renderer`: goes on where it ends."""

    messages: Encoded
    tokens: int
    renderer: Renderer


@dataclass
class Window:
    """`view`: as the store has it. `messages`: in order, all of them in recall."""

    view: View = field(default_factory=View)
    messages: list[Message] = field(default_factory=list)
    _renderer: Renderer = field(default_factory=Renderer, init=False)
    _rendered: Encoded = field(default_factory=Encoded, init=False)
    _rendered_count: int = field(default=0, init=False)
    _tokens: int = field(default=0, init=False)
    _revised: dict[str, int] = field(default_factory=dict, init=False)
    _looked_at: int = field(default=0, init=False)

    def before(self, turn_id: str | None, timezone: str = "") -> History:
        """All that comes before that turn (None: all there is). What was rendered for an earlier turn is not again.

        Turns are whole, so what they are rendered to does not depend on what comes behind them.
        """
        end = len(self.messages)
        while end and turn_id is not None and self.messages[end - 1].turn_id == turn_id:
            end -= 1
        notice_step = self.view.notice_step
        same = (self._renderer.timezone, self._renderer.notice_step) == (timezone, notice_step)
        if end < self._rendered_count or not same:  # also if somebody looked at the turn while it was running
            self._rendered, self._rendered_count, self._tokens = Encoded(), 0, 0
            self._renderer = Renderer(timezone, notice_step)
        new = self._renderer.turns(self.messages[self._rendered_count : end])
        self._rendered = self._rendered.extended(new)
        self._tokens += count.of_messages(new)
        self._rendered_count = end
        return History(self._rendered, self._tokens, self._renderer.copy())

    def of_turn(self, turn_id: str) -> list[Message]:
        """What is here of the turn that is running, which is the last."""
        begin = len(self.messages)
        while begin and self.messages[begin - 1].turn_id == turn_id:
            begin -= 1
        return self.messages[begin:]

    @property
    def hidden(self) -> int:
        """How many messages of the conversation are older than what is here."""
        return max(0, self.messages[0].sequence - 1) if self.messages else self.view.hidden

    def revised(self) -> dict[str, int]:
        """The revisions, by id, of the messages that were edited since they were said."""
        for message in self.messages[self._looked_at :]:
            if message.revision > 1:
                self._revised[message.id] = message.revision
        self._looked_at = len(self.messages)
        return dict(self._revised)

    def extend(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)

    def leaving(self, target: int, keep: str | None) -> list[Message]:
        """The oldest whole turns, as few as leave at most `target` tokens before the turn `keep`, which stays."""
        end = len(self.messages) - (len(self.of_turn(keep)) if keep is not None else 0)
        turns = list(turns_of(self.messages[:end]))
        renderer = Renderer(self._renderer.timezone, self.view.notice_step)
        costs = [count.of_messages(renderer.turn(turn)) for turn in turns]
        left, gone = sum(costs), 0
        while gone < len(turns) and left > target:
            left -= costs[gone]
            gone += 1
            if gone < len(turns):  # what is then the first turn is told its time
                told = count.of_messages(Renderer(self._renderer.timezone).turn(turns[gone]))
                left, costs[gone] = left - costs[gone] + told, told
        return [message for turn in turns[:gone] for message in turn]

    def without(self, messages: int, view: View) -> Window:
        """The window when so many of the oldest messages have left it; `view`: what the store then says."""
        return Window(view, self.messages[messages:])


def cost(messages: Sequence[Message]) -> int:
    """Estimated tokens of messages in the chat format."""
    return count.of_messages(render(messages))


class WindowCache:
    """Windows by conversation, least recently used out first. A window not here is read from recall."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._windows: OrderedDict[str, Window] = OrderedDict()

    async def get(self, caller: Principal, agent_id: str, conversation_id: str, view: View, budget: int) -> Window:
        """The conversation's window; when cold, the newest messages in `view` that `budget` tokens can hold.

        A window that is not the one of that view (another process has moved it) is read anew.
        """
        window = await self.look(caller, agent_id, conversation_id, view, budget)
        self._windows[conversation_id] = window
        self._windows.move_to_end(conversation_id)
        while len(self._windows) > _CACHED_CONVERSATIONS:
            self._windows.popitem(last=False)
        return window

    async def look(self, caller: Principal, agent_id: str, conversation_id: str, view: View, budget: int) -> Window:
        """As `get`, but what had to be read is not kept: a turn may be running, whose window this is not."""
        window = self._windows.get(conversation_id)
        if window is not None and window.view == view:
            return window
        return Window(view, await self._read(caller, agent_id, conversation_id, view.start, budget))

    def put(self, conversation_id: str, window: Window) -> None:
        self._windows[conversation_id] = window

    def forget(self, conversation_id: str) -> None:
        """Makes the next turn read it from recall again."""
        self._windows.pop(conversation_id, None)

    def peek(self, conversation_id: str) -> Window | None:
        return self._windows.get(conversation_id)

    async def _read(
        self, caller: Principal, agent_id: str, conversation_id: str, start: int, budget: int
    ) -> list[Message]:
        """Newest first, page by page, until the budget is full: of a long history no more than can be shown."""
        newest_first: list[Message] = []
        token, left = "", budget
        while True:
            size = min(max(left // _SHORT_MESSAGE, _SMALLEST_PAGE), _LARGEST_PAGE)
            page, token = await self._tiers.latest_messages(
                caller, agent_id, conversation_id, page_token=token, size=size
            )
            inside = [message for message in page if message.sequence >= start]
            newest_first.extend(inside)
            left -= cost(inside[::-1])
            if not token or len(inside) < len(page):
                return newest_first[::-1]
            if left < 0:
                return _from_whole_turn(newest_first[::-1])


def _from_whole_turn(messages: list[Message]) -> list[Message]:
    """Without the first turn, of which the beginning may be missing, unless it is the only one."""
    first = next(turns_of(messages), messages)
    return messages[len(first) :] or messages
