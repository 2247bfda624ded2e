"""Which route serves a request. FastAPI would try one after another, of two hundred, each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

_DONE_WITH = ("fastapi_middleware_astack", "fastapi_inner_astack", "fastapi_function_astack")


class Api(FastAPI):
    """An app of which nothing is asked that the door before it does: unexpected errors pass, bodies have their size."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)
        for name in _DONE_WITH:  # a stream that goes on behind the framework would keep them
            scope.pop(name, None)

    def build_middleware_stack(self) -> ASGIApp:
        return ExceptionMiddleware(_Routes(self.router.routes), handlers=self.exception_handlers)


class RouteIndex:
    """Finds, of all routes, the few that could serve a path; in their order, since the first that matches serves."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._all = routes
        self._by_shape: dict[_Shape, list[BaseRoute]] = {}
        for route in routes:
            shape = _shape(getattr(route, "path", ""))
            if not any(map(_varies, shape.beginning)):
                shape = shape._replace(end=_ANY) if _varies(shape.end) else shape
                self._by_shape[shape] = [each for each in routes if _could_serve(each, shape)]

    def tried(self, path: str) -> Sequence[BaseRoute]:
        shape = _shape(path)
        return self._by_shape.get(shape) or self._by_shape.get(shape._replace(end=_ANY)) or self._all


class _Routes:
    """As Starlette's router, but for the routes that it does not try."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._index = RouteIndex(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        partial: tuple[BaseRoute, Scope] | None = None
        for route in self._index.tried(scope["path"]):
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                await route.handle(scope, receive, send)
                return
            if match is Match.PARTIAL and partial is None:
                partial = route, found
        if partial is None:
            raise HTTPException(404)
        route, found = partial  # which says that the method is not allowed
        scope.update(found)
        await route.handle(scope, receive, send)


class _Shape(NamedTuple):
    """What tells routes apart: how many parts a path has, the first two, and the last (_ANY: none that routes name)."""

    length: int
    beginning: tuple[str, ...]
    end: str


_ANY = ""


def _shape(path: str) -> _Shape:
    parts = path.split("/")[1:]
    return _Shape(len(parts), tuple(parts[:2]), parts[-1] if parts else _ANY)


def _varies(part: str) -> bool:
    return "{" in part


def _could_serve(route: BaseRoute, shape: _Shape) -> bool:
    """Whether the route may match a path of that shape."""
    path: str | None = getattr(route, "path", None)
    if path is None or not hasattr(route, "path_regex") or not hasattr(route, "methods"):
        return True  # no plain route, but a mount or the like
    parts = path.split("/")[1:]
    if ":path}" in path:  # of which nothing is known from the first parameter on
        fixed = next(place for place, part in enumerate(parts) if _varies(part))
        return all(part == given for part, given in zip(parts[:fixed], shape.beginning, strict=False))
    own = _shape(path)
    pairs = [*zip(own.beginning, shape.beginning, strict=False), (own.end, shape.end)]
    return own.length == shape.length and all(_varies(part) or part == given for part, given in pairs)
