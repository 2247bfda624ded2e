"""Calls a model's endpoint: the `openai` package for connection, key, retries and Retry-After; our own light parsing.

Ready-made bodies are handed to `post`: the typed `create` walks the whole history, which costs more than a turn.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from agent_service import outbound
from agent_service.models import arguments, bodies, dialects, emulation, failures, quirks
from agent_service.models.assembly import Assembly
from agent_service.models.types import Deltas, ModelAnswer, ModelRequest, Quirks, ToolMode
from triptych.errors import DeadlineExceeded, TriptychError
from triptych.type.v1 import type_pb2

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from agent_service.config import ModelEndpoint

_log = structlog.get_logger("models")
_MODELS_FRESH_SECONDS = 60.0
_MODELS_TIMEOUT_SECONDS = 10.0
# Of a call that got no answer, 408, 409, 429 or 5xx: with exponential backoff and jitter, or as Retry-After says.
_RETRIES = 2
# What an endpoint of a user's may answer at the most.
_MOST_ANSWER_BYTES = 64 * 1024 * 1024
# How many things an endpoint may have against one request.
_MOST_LESSONS = 5


class ModelClient:
    """One endpoint. Made at start; the `openai` package is imported with the first call, since that takes a second."""

    def __init__(self, endpoint: ModelEndpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncOpenAI | None = None
        self._models: tuple[float, list[str]] = (0.0, [])
        self._quirks: dict[str, Quirks] = {}
        # Models whose calls the endpoint reads: what they write in text is text.
        self._calls_natively: set[str] = set()

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
                learned = quirks.learned(as_known, bodies.body(request, as_known), error.told)
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
        assembly = Assembly(None if emulated else deltas, [tool.name for tool in tools])
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                await self._stream(bodies.body(request, known), assembly)
        except TimeoutError:
            raise self._timed_out() from None
        answer = replace(assembly.answer(), model=request.model, quirks=known)
        if emulated:
            answer = emulation.read(answer)
            if deltas and answer.text:
                deltas.text(answer.text)
            return arguments.settled(answer)
        if answer.tool_calls:
            self._calls_natively.add(request.model)
        read = dialects.read(answer, tools)
        if read is answer:
            assembly.release()
        return arguments.settled(read)

    async def list_models(self) -> list[str]:
        """Names of the endpoint's models, at most a minute old. Raises: as `complete`."""
        fetched, names = self._models
        if names and time.monotonic() - fetched < _MODELS_FRESH_SECONDS:
            return names
        try:
            async with asyncio.timeout(_MODELS_TIMEOUT_SECONDS):
                listing = await self._post_or_get("GET", "/models", None)
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
        if self._client is not None:
            await self._client.close()

    def warm_up(self) -> None:
        """Imports what the first call needs."""
        if self._endpoint.base_url:
            self._connect()

    async def _stream(self, body: dict[str, Any], assembly: Assembly) -> None:
        from openai import AsyncStream

        stream = await self._post_or_get("POST", "/chat/completions", body, stream_cls=AsyncStream[object])
        try:
            async for chunk in stream:
                assembly.add(chunk)
        except TriptychError:
            raise
        except Exception as error:
            raise self._mapped(error, begun=True) from error
        finally:
            await stream.close()

    async def _post_or_get(self, verb: str, path: str, body: dict[str, Any] | None, stream_cls: Any = None) -> Any:
        client = self._connect()
        try:
            if verb == "GET":
                return await client.get(path, cast_to=object)
            return await client.post(path, body=body, cast_to=object, stream=True, stream_cls=stream_cls)
        except Exception as error:
            raise self._mapped(error) from error

    def _connect(self) -> AsyncOpenAI:
        if not self._endpoint.base_url:
            raise failures.not_configured("no model is configured: set TRIPTYCH_MODEL_BASE_URL (and TRIPTYCH_MODEL)")
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
                base_url=self._endpoint.base_url,
                api_key=self._endpoint.api_key or "none",
                timeout=self._endpoint.timeout_seconds,
                max_retries=_RETRIES,
                http_client=self._guarded() if self._endpoint.public_only is not None else None,
            )
        return self._client

    def _guarded(self) -> httpx2.AsyncClient:
        """For an endpoint that is not the operator's: it leads nowhere else, and uses nothing of this environment."""
        import httpx2

        private = not self._endpoint.public_only
        transport = outbound.GuardedTransport(private=private, max_bytes=_MOST_ANSWER_BYTES)
        return httpx2.AsyncClient(transport=transport, timeout=self._endpoint.timeout_seconds, trust_env=False)

    def _without_key(self, told: str) -> str:
        """Some endpoints repeat the key that they refuse; what they say gets into events and logs."""
        return told.replace(self._endpoint.api_key, "…") if self._endpoint.api_key else told

    def _timed_out(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the model did not answer within {self._endpoint.timeout_seconds:g} seconds; the turn can be sent again",
            reason=type_pb2.ERROR_REASON_MODEL_TIMEOUT,
        )

    def _mapped(self, error: Exception, *, begun: bool = False) -> TriptychError:
        """An error of the openai package or of what is below it, as ours. `begun`: the answer had begun to come."""
        import httpx
        import openai

        if isinstance(error, TriptychError):
            return error
        if isinstance(error, (openai.APITimeoutError, httpx.TimeoutException)):
            return self._timed_out()
        if isinstance(error, openai.APIStatusError):
            return failures.of_status(error.status_code, self._without_key(str(error.message)))
        if isinstance(error, (openai.APIConnectionError, httpx.HTTPError)):
            return failures.CutOff(type(error).__name__) if begun else failures.hung_up(error)
        if isinstance(error, (ValueError, TypeError, openai.OpenAIError)):
            return failures.garbage(type(error).__name__)
        raise error
