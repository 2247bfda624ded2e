"""The synchronous client."""

from triptych.sdk.reply import Reply
from triptych.sdk.sync.client import Triptych
from triptych.sdk.sync.turns import TurnFailed

__all__ = ["Reply", "Triptych", "TurnFailed"]
