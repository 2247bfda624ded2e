"""Calls a model's endpoint: the `openai` package for connection, key, retries and Retry-After; our own light parsing.

Ready-made bodies are handed to `post`: the typed `create` walks the whole history, which costs more than a turn.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_service.models import emulation
from agent_service.models.assembly import Assembly, garbage
from agent_service.models.types import Deltas, ModelAnswer, ModelRequest, ToolMode
from triptych.errors import DeadlineExceeded, FailedPrecondition, TriptychError, Unavailable
from triptych.type.v1 import type_pb2

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from agent_service.config import ModelEndpoint

_MODELS_FRESH_SECONDS = 60.0
_MODELS_TIMEOUT_SECONDS = 10.0
_RETRIES = 2
# A small model that a grammar keeps inside a JSON string may never find the end of it.
_EMULATED_OUTPUT_TOKENS = 512
# Names that programs put before a model's, of which the endpoint knows nothing.
_PROVIDERS = frozenset({"openai", "openai-proxy", "letta", "local", "lmstudio_openai", "ollama", "vllm", "together"})
_OVERFLOW_SIGNS = ("context_length_exceeded", "maximum context length", "context size", "context window")


class ModelClient:
    """One endpoint. Made at start; the `openai` package is imported with the first call, since that takes a second."""

    def __init__(self, endpoint: ModelEndpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncOpenAI | None = None
        self._models: tuple[float, list[str]] = (0.0, [])

    @property
    def context_window(self) -> int:
        """Tokens, for models whose window is not known."""
        return self._endpoint.context_window

    async def complete(self, request: ModelRequest, deltas: Deltas | None) -> ModelAnswer:
        """One answer. With `deltas`, text is handed on while it is generated.

        Raises: FailedPrecondition (MODEL_NOT_CONFIGURED, MODEL_REFUSED, CONTEXT_OVERFLOW), Unavailable
        (MODEL_UNAVAILABLE, MODEL_GARBAGE), DeadlineExceeded (MODEL_TIMEOUT).
        """
        emulated = self._emulated(request)
        body = self.body(request)
        assembly = Assembly(None if emulated else deltas)
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                await self._stream(body, assembly)
        except TimeoutError:
            raise self._timed_out() from None
        answer = assembly.answer()
        if not emulated:
            return answer
        answer = emulation.read(answer)
        if deltas and answer.text:
            deltas.text(answer.text)
        return answer

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """The request's body as it is sent: the same for the same request."""
        emulated = self._emulated(request)
        if emulated and emulation.is_stuck(request.messages):
            request = replace(request, tools=())
        return self._body(request, emulated=emulated)

    def _emulated(self, request: ModelRequest) -> bool:
        return self._endpoint.tool_mode is ToolMode.EMULATED and bool(request.tools)

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
            raise garbage("its list of models is not in the OpenAI format") from None
        self._models = (time.monotonic(), names)
        return names

    async def resolve(self, handle: str) -> str:
        """The endpoint's name of the model that a handle such as `openai/gpt-4o-mini` means; '' means the default.

        Raises: FailedPrecondition MODEL_NOT_CONFIGURED if there is no default; as `complete`.
        """
        name = handle or self._endpoint.model
        if not name:
            names = [name for name in await self.list_models() if "embed" not in name]
            if not names:
                raise _not_configured("the model's endpoint lists no models: set TRIPTYCH_MODEL")
            return names[0]
        provider, slash, rest = name.partition("/")
        return rest if slash and rest and provider in _PROVIDERS else name

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def warm_up(self) -> None:
        """Imports what the first call needs."""
        if self._endpoint.base_url:
            self._connect()

    def _body(self, request: ModelRequest, *, emulated: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": emulation.messages(request.messages, request.tools) if emulated else list(request.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if emulated:
            body["response_format"] = emulation.response_format(request.tools)  # without tools: a reply
        elif request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
            if request.parallel_tool_calls is not None:
                body["parallel_tool_calls"] = request.parallel_tool_calls
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if limit := request.max_output_tokens or (_EMULATED_OUTPUT_TOKENS if emulated else None):
            body["max_tokens"] = limit
        return body

    async def _stream(self, body: dict[str, Any], assembly: Assembly) -> None:
        from openai import AsyncStream

        stream = await self._post_or_get("POST", "/chat/completions", body, stream_cls=AsyncStream[object])
        try:
            async for chunk in stream:
                assembly.add(chunk)
        except TriptychError:
            raise
        except Exception as error:
            raise self._mapped(error) from error
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
            raise _not_configured("no model is configured: set TRIPTYCH_MODEL_BASE_URL (and TRIPTYCH_MODEL)")
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
                base_url=self._endpoint.base_url,
                api_key=self._endpoint.api_key or "none",
                timeout=self._endpoint.timeout_seconds,
                max_retries=_RETRIES,
            )
        return self._client

    def _timed_out(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the model did not answer within {self._endpoint.timeout_seconds:g} seconds; the turn can be sent again",
            reason=type_pb2.ERROR_REASON_MODEL_TIMEOUT,
        )

    def _mapped(self, error: Exception) -> TriptychError:
        """An error of the openai package or of what is below it, as ours."""
        import httpx
        import openai

        if isinstance(error, TriptychError):
            return error
        if isinstance(error, (openai.APITimeoutError, httpx.TimeoutException)):
            return self._timed_out()
        if isinstance(error, openai.APIStatusError):
            return _status_error(error.status_code, str(error.message))
        if isinstance(error, (openai.APIConnectionError, httpx.HTTPError)):
            return Unavailable(
                f"the model's endpoint can't be reached, or hung up ({type(error).__name__})",
                reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
            )
        if isinstance(error, (ValueError, TypeError, openai.OpenAIError)):
            return garbage(type(error).__name__)
        raise error


def _status_error(status: int, message: str) -> TriptychError:
    short = message[:500]
    if status in (408, 409, 429) or status >= 500:
        return Unavailable(
            f"the model's endpoint answered {status}: {short}", reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE
        )
    if any(sign in message.lower() for sign in _OVERFLOW_SIGNS):
        return FailedPrecondition(
            f"the conversation does not fit the model's context window: {short}",
            reason=type_pb2.ERROR_REASON_CONTEXT_OVERFLOW,
        )
    return FailedPrecondition(
        f"the model's endpoint refused the request with {status}: {short}",
        reason=type_pb2.ERROR_REASON_MODEL_REFUSED,
    )


def _not_configured(message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason=type_pb2.ERROR_REASON_MODEL_NOT_CONFIGURED)
