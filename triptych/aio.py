"""The asynchronous client."""

from triptych.sdk.aio.client import AsyncTriptych
from triptych.sdk.aio.turns import TurnFailed
from triptych.sdk.reply import Reply

__all__ = ["AsyncTriptych", "Reply", "TurnFailed"]
