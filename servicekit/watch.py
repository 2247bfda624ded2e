"""Ends a call that lasts when its caller may no longer make it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from triptych.errors import PermissionDenied, TriptychError, Unauthenticated

_log = structlog.get_logger("watch")
EVERY_SECONDS = 2.0


class Watch:
    """Asks every two seconds whether the task that starts it may go on, and cancels it if not.

    `ask`: raises Unauthenticated or PermissionDenied, which is `ended_by` from then on. Costs a short call a timer.
    """

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        self._ask = ask
        self._watched = asyncio.current_task()
        self._asking: asyncio.Task[None] | None = None
        self.ended_by: TriptychError | None = None
        self._timer = self._later()

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(EVERY_SECONDS, self._begin)

    def _begin(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._once())

    async def _once(self) -> None:
        try:
            await self._ask()
        except (Unauthenticated, PermissionDenied) as error:
            self.ended_by = error
            if self._watched is not None:
                self._watched.cancel()
            return
        except TriptychError:  # whether it may is not known now: it is asked again
            pass
        except Exception:  # what nobody foresaw must not end the watch: nobody would look again
            _log.exception("a caller can't be looked at")
        self._timer, self._asking = self._later(), None

    def stop(self) -> None:
        self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def settle(self, error: BaseException | None) -> BaseException | None:
        """`error`, or why the task was cancelled if it was from here."""
        self.stop()
        if self.ended_by is None or not isinstance(error, asyncio.CancelledError):
            return error
        if self._watched is not None:
            self._watched.uncancel()
        return self.ended_by
