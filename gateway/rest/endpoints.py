"""How an endpoint gets its parameters.

FastAPI reads and checks them. What it made of a query string it need not make again: to do so takes longer than all
else that the door does for a list. A JSON body that its model takes need not pass through it either: it is for bodies
that are refused, and says why. And what is made of the app, not of the request, it need not know of.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import update_wrapper
from typing import Any, NamedTuple, get_args

from cachetools import LRUCache
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from gateway.rest import bodies

_MOST_QUERIES = 256
_MOST_QUERY_BYTES = 256

Values = Mapping[str, Any]


class Given:
    """Marks, in an annotation, a parameter that `make` makes of the request: no part of what who calls has to know."""

    def __init__(self, make: Callable[[Request], Awaitable[Any]]) -> None:
        self.make = make


class Router(APIRouter):
    """Routes of endpoints that give a Response, with parameters that may be `Given`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, **options)


class Route(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        self._endpoint = _Endpoint(endpoint)
        # What was read of a query string, where all that an endpoint asks for comes from there, stands in the path or
        # is the whole body.
        self._known: LRUCache[bytes, Values] = LRUCache(_MOST_QUERIES)
        super().__init__(path, self._endpoint.collector(), **options)
        self._in_path = [each.name for each in self.dependant.path_params]
        self._framework = AsyncExitStackMiddleware(self.app)
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        values = self._known.get(scope["query_string"])
        if values is not None and self._body is not None:
            read = await self._body.read(request)
            values = None if read is None else {**values, self._body.name: read}
            receive = bodies.giving(await request.body(), receive)
        if values is None:
            await self._framework(scope, receive, send)
            return
        in_path = {name: scope["path_params"][name] for name in self._in_path}
        response = await self._endpoint.call(request, {**values, **in_path})
        await response(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Any]:
        read, dependant = super().get_route_handler(), self.dependant
        self._body = _WholeBody.of(self._endpoint.parameters, dependant)
        lasting = _of_query_alone(dependant) and (self._body is not None or not dependant.body_params)

        async def handler(request: Request) -> Response:
            collected = await read(request)
            assert isinstance(collected, _Collected)
            query: bytes = request.scope["query_string"]
            if lasting and len(query) <= _MOST_QUERY_BYTES:
                kept = {**collected.values}
                if self._body is not None:
                    del kept[self._body.name]
                self._known[query] = kept
            return await self._endpoint.call(request, {**collected.values})

        return handler


class _WholeBody(NamedTuple):
    """The parameter that the whole JSON body is read into."""

    name: str
    model: type[BaseModel]

    @classmethod
    def of(cls, parameters: Iterable[inspect.Parameter], dependant: Dependant) -> _WholeBody | None:
        """None if there is none, or nothing so simple. `parameters`: the endpoint's."""
        kinds = {each.name: each.annotation for each in parameters if each.default is each.empty}
        in_body = [each.name for each in dependant.body_params]
        kind = kinds.get(in_body[0]) if len(in_body) == 1 else None
        return cls(in_body[0], kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else None

    async def read(self, request: Request) -> BaseModel | None:
        """What the body says; None for one that FastAPI has to look at."""
        if request.headers.get("content-type") != "application/json":
            return None
        try:
            return self.model.model_validate(json.loads(await request.body()))
        except ValueError:  # not JSON, or not what the model takes
            return None


class _Endpoint:
    def __init__(self, endpoint: Callable[..., Awaitable[Response]]) -> None:
        self._endpoint = endpoint
        self._signature = inspect.signature(endpoint, eval_str=True)
        self.parameters = list(self._signature.parameters.values())
        self._given = {each.name: given.make for each in self.parameters if (given := _given(each.annotation))}
        self._asking = [each.name for each in self.parameters if each.annotation is Request]

    def collector(self) -> Callable[..., Awaitable[Response]]:
        """What FastAPI is to take for the endpoint: with those of its parameters that are in requests."""
        own = {*self._given, *self._asking}
        seen = [each for each in self._signature.parameters.values() if each.name not in own]

        async def collect(**values: Any) -> Response:
            return _Collected(values)

        update_wrapper(collect, self._endpoint)
        del collect.__wrapped__  # type: ignore[attr-defined] # or FastAPI would look at what it is not to see
        collect.__signature__ = self._signature.replace(parameters=seen)  # type: ignore[attr-defined]
        return collect

    async def call(self, request: Request, values: dict[str, Any]) -> Response:
        for name, make in self._given.items():
            values[name] = await make(request)
        for name in self._asking:
            values[name] = request
        return await self._endpoint(**values)


class _Collected(Response):
    """The values of parameters, as an answer that FastAPI hands on as it is."""

    def __init__(self, values: Values) -> None:
        self.values, self.background = values, None


def _given(annotation: Any) -> Given | None:
    return next((each for each in get_args(annotation) if isinstance(each, Given)), None)


def _of_query_alone(dependant: Dependant) -> bool:
    """Whether all values but the body come from the query string, or are the endpoint's own plain texts in the path."""
    plain = all(each.field_info.annotation is str and not each.field_info.metadata for each in dependant.path_params)
    others = (
        dependant.header_params,
        dependant.cookie_params,
        dependant.request_param_name,
        dependant.http_connection_param_name,
        dependant.security_scopes_param_name,
    )
    return (
        plain
        and not any(others)
        and all(
            not each.path_params and not each.body_params and _of_query_alone(each) for each in dependant.dependencies
        )
    )
