"""Routes that are not tried would not have matched, and what is remembered of a request is right for the next."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Annotated

import httpx
import pytest
from fastapi import Query, Request
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from gateway.rest.app import make_api
from gateway.rest.endpoints import Given, Router
from gateway.rest.routing import Api, RouteIndex

_METHODS = ("GET", "PATCH")
_OF_EACH = 2


def _first(routes: Iterable[BaseRoute], path: str, method: str) -> BaseRoute | None:
    partial = None
    for route in routes:
        match, _ = route.matches({"type": "http", "path": path, "method": method, "root_path": "", "headers": []})
        if match is Match.FULL:
            return route
        if match is Match.PARTIAL and partial is None:
            partial = route
    return partial


def _paths(route: str, words: list[str], chance: random.Random) -> Iterable[str]:
    """Of the route, and of what looks like it: other words, a part more, a part less."""
    for _ in range(_OF_EACH):
        parts = [
            chance.choice(words) if "{" in part and chance.random() < 0.5 else part for part in route.split("/")[1:]
        ]
        if chance.random() < 0.4:
            parts[chance.randrange(len(parts))] = chance.choice(words)
        if chance.random() < 0.2:
            parts.append(chance.choice(words))
        elif chance.random() < 0.1:
            parts.pop()
        yield "/" + "/".join(parts)


def test_a_path_has_the_first_route_that_matches() -> None:
    routes = make_api().router.routes
    tried, chance = RouteIndex(routes).tried, random.Random(7)
    paths = [str(getattr(route, "path", "/")) for route in routes]
    words = sorted({part for path in paths for part in path.split("/")[1:] if "{" not in part})
    for path in paths:
        for looked_for in _paths(path, words, chance):
            for method in _METHODS:
                expected = _first(routes, looked_for, method)
                assert _first(tried(looked_for), looked_for, method) is expected, (method, looked_for)
    assert max(len(tried(path)) for path in paths if path.startswith("/v1/")) < len(routes) / 10


class _Named(BaseModel):
    name: str


async def _caller(request: Request) -> str:
    return request.headers.get("caller", "")


async def _listed(
    thing_id: str, caller: Annotated[str, Given(_caller)], limit: Annotated[int, Query(ge=1)] = 50
) -> JSONResponse:
    return JSONResponse([thing_id, caller, limit])


async def _made(thing_id: str, body: _Named, request: Request) -> JSONResponse:
    return JSONResponse([thing_id, body.name, request.method])


async def test_what_is_remembered_of_a_query_says_nothing_of_the_rest() -> None:
    router, app = Router(), Api()
    router.get("/things/{thing_id}")(_listed)
    router.post("/things/{thing_id}")(_made)
    app.router.routes.extend(router.routes)
    parameters = app.openapi()["paths"]["/things/{thing_id}"]["get"]["parameters"]
    assert [each["name"] for each in parameters] == ["thing_id", "limit"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as http:
        for thing in ("a", "b"):
            for caller in ("ann", "bob"):
                for query, limit in (("", 50), ("?limit=3", 3)):
                    answer = await http.get(f"/things/{thing}{query}", headers={"caller": caller})
                    assert answer.json() == [thing, caller, limit]
            assert [(await http.get(f"/things/{thing}?limit=0")).status_code for _ in range(2)] == [422, 422]
            for name in ("x", "y"):
                assert (await http.post(f"/things/{thing}", json={"name": name})).json() == [thing, name, "POST"]
        assert (await http.post("/things/a", json={})).status_code == 422
        assert (await http.delete("/things/a")).status_code == 405
        assert (await http.get("/nothing")).status_code == 404


_JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b'{"name": "x", "other": 1}', _JSON),
        (b'{"name": "x"}', {"content-type": "application/json; charset=utf-8"}),
        (b'{"name": "x"}', {"content-type": "text/plain"}),
        (b'{"name": 3}', _JSON),
        (b"[]", _JSON),
        (b'{"name": ', _JSON),
        (b"", _JSON),
        (b"", {}),
    ],
)
async def test_a_body_is_read_or_refused_as_fastapi_does(content: bytes, headers: dict[str, str]) -> None:
    """Which reads the first request to a route."""
    answers = []
    for known in (False, True):
        router, app = Router(), Api()
        router.post("/things/{thing_id}")(_made)
        app.router.routes.extend(router.routes)
        app.add_exception_handler(RequestValidationError, request_validation_exception_handler)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as http:
            if known:
                assert (await http.post("/things/b", json={"name": "of another"})).status_code == 200
            answer = await http.post("/things/a", content=content, headers=headers)
            answers.append((answer.status_code, answer.json()))
    assert answers[0] == answers[1]
