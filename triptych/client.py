"""The synchronous client."""

from triptych.sdk.reply import Reply, TurnFailed
from triptych.sdk.sync.client import Triptych

__all__ = ["Reply", "Triptych", "TurnFailed"]
