"""Calls a model's endpoint, and learns what it does not take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from agent_service.models import arguments, bodies, dialects, emulation, failures, quirks
from agent_service.models.assembly import Assembly
from agent_service.models.http import Http
from agent_service.models.types import Deltas, ModelAnswer, ModelRequest, Quirks, ToolMode
from triptych.errors import DeadlineExceeded
from triptych.type.v1 import type_pb2

if TYPE_CHECKING:
    from agent_service.config import ModelEndpoint

_log = structlog.get_logger("models")
_MODELS_FRESH_SECONDS = 60.0
_MODELS_TIMEOUT_SECONDS = 10.0
# Characters of an answer that is read in a thread: of what only nearly is a call, that may take a while.
_LONG = 5_000
# How many things an endpoint may have against one request.
_MOST_LESSONS = 5


class ModelClient:
    """One endpoint."""

    def __init__(self, endpoint: ModelEndpoint) -> None:
        self._endpoint = endpoint
        self._http = Http(endpoint.base_url, endpoint.api_key, endpoint.public_only)
        self._models: tuple[float, list[str]] = (0.0, [])
        self._quirks: dict[str, Quirks] = {}
        # Models whose calls the endpoint reads: what they write in text is text.
        self._calls_natively: set[str] = set()
        # Models whose answers begin in the middle of their thoughts.
        self._begin_in_thoughts: set[str] = set()

    async def complete(self, request: ModelRequest, deltas: Deltas | None) -> ModelAnswer:
        """One answer. With `deltas`, text is handed on while it is generated. `request.model`: the endpoint's name.

        What the endpoint refuses to take of a request is left out, from then on.

        Raises: FailedPrecondition (MODEL_NOT_CONFIGURED, MODEL_REFUSED, CONTEXT_OVERFLOW), Unavailable
        (MODEL_UNAVAILABLE, MODEL_GARBAGE; CutOff), DeadlineExceeded (MODEL_TIMEOUT).
        """
        for _ in range(_MOST_LESSONS):
            as_known = self._quirks_of(request.model)
            try:
                return await self._complete(request, as_known, deltas)
            except (failures.Refused, failures.Failed) as error:
                body = bodies.body(request, as_known)
                learned = quirks.learned(as_known, body, error.told)
                if learned is None and quirks.is_about_an_image(body, error.told):
                    # It may be this one (gone, too large, broken): others are shown.
                    return await self._complete(request, quirks.without_images(as_known), deltas)
                if learned is None:
                    raise
                self._quirks[request.model] = learned
                _log.info("the endpoint takes less than was sent", model=request.model, told=error.told[:200])
        return await self._complete(request, self._quirks_of(request.model), deltas)

    def _quirks_of(self, model: str) -> Quirks:
        return self._quirks.get(model) or Quirks(tools=self._endpoint.tool_mode)

    async def _complete(self, request: ModelRequest, known: Quirks, deltas: Deltas | None) -> ModelAnswer:
        emulated = bodies.is_emulated(request, known)
        written = known.tools is ToolMode.PROMPTED or request.model not in self._calls_natively
        tools = request.tools if written and not emulated else ()
        begun = request.model in self._begin_in_thoughts
        assembly = Assembly(None if emulated else deltas, [tool.name for tool in tools], begun=begun)
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                await self._stream(bodies.body(request, known), assembly)
        except TimeoutError:
            raise self._timed_out() from None
        answer = replace(assembly.answer(), model=request.model, quirks=known)
        (self._begin_in_thoughts.add if assembly.began_in_thoughts else self._begin_in_thoughts.discard)(request.model)
        if emulated:
            may_call = not emulation.is_stuck(request.plain)
            spoken = await _beside(answer, lambda: emulation.read(answer, may_call=may_call))
            if deltas and spoken.text:
                deltas.text(spoken.text)
            return await _beside(spoken, lambda: arguments.settled(spoken))
        if answer.tool_calls:
            self._calls_natively.add(request.model)
        read = await _beside(answer, lambda: dialects.read(answer, tools))
        if read is answer:
            assembly.release()
        return await _beside(read, lambda: arguments.settled(read))

    async def list_models(self) -> list[str]:
        """Names of the endpoint's models, at most a minute old. Raises: as `complete`."""
        fetched, names = self._models
        if names and time.monotonic() - fetched < _MODELS_FRESH_SECONDS:
            return names
        try:
            async with asyncio.timeout(_MODELS_TIMEOUT_SECONDS):
                listing = await self._reached().get("/models")
            names = [str(model["id"]) for model in listing["data"]]
        except TimeoutError:
            raise self._timed_out() from None
        except (KeyError, TypeError):
            raise failures.garbage("its list of models is not in the OpenAI format") from None
        self._models = (time.monotonic(), names)
        return names

    async def default_model(self) -> str:
        """The model that is meant where none is named.

        Raises: FailedPrecondition MODEL_NOT_CONFIGURED if there is none; as `complete`.
        """
        if self._endpoint.model:
            return self._endpoint.model
        names = [name for name in await self.list_models() if "embed" not in name]
        if not names:
            raise failures.not_configured("the model's endpoint lists no models: set TRIPTYCH_MODEL")
        return names[0]

    async def close(self) -> None:
        await self._http.close()

    def warm_up(self) -> None:
        """Imports what the first call needs."""
        if self._endpoint.base_url:
            self._http.warm_up()

    async def _stream(self, body: dict[str, Any], assembly: Assembly) -> None:
        async with aclosing(self._reached().stream("/chat/completions", bodies.serialized(body))) as chunks:
            try:
                async for chunk in chunks:
                    assembly.add(chunk)
            except failures.CutOff:
                if not assembly.is_whole:
                    raise

    def _reached(self) -> Http:
        if not self._endpoint.base_url:
            raise failures.not_configured("no model is configured: set TRIPTYCH_MODEL_BASE_URL (and TRIPTYCH_MODEL)")
        return self._http

    def _timed_out(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the model did not answer within {self._endpoint.timeout_seconds:g} seconds; the turn can be sent again",
            reason=type_pb2.ERROR_REASON_MODEL_TIMEOUT,
        )


async def _beside(answer: ModelAnswer, reading: Callable[[], ModelAnswer]) -> ModelAnswer:
    """What `reading` makes of the answer, without holding up others."""
    size = len(answer.text) + sum(len(call.arguments) for call in answer.tool_calls)
    return await asyncio.to_thread(reading) if size > _LONG else reading()
