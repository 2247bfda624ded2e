"""Every REST route × {own, foreign, missing, malformed id, id in another case}."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from gateway.rest.app import make_api
from tests.tenancy.rest_rows import PARAMETERS, ROWS, Row
from tests.tenancy.variants import check_no_leak, kinds_in, malformed, missing, plain, with_id
from tests.tenancy.world import World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
_PARAMETER = re.compile(r"\{(\w+)\}")


def _routes() -> list[str]:
    paths = make_api().openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def template(route: str) -> Any:
    """All of a request that has placeholders."""
    row = ROWS.get(route, Row())
    path = {name: row.path.get(name, PARAMETERS.get(name, "")) for name in _PARAMETER.findall(route)}
    return {"path": path, "query": row.query, "body": row.body}


def path_of(route: str, filled: Any) -> str:
    """Where a request goes whose template was filled."""
    path = route.split(" ", 1)[1]
    for name, value in filled["path"].items():
        path = path.replace(f"{{{name}}}", quote(value, safe="") or "none")
    return path


def _uncovered(route: str) -> str:
    method, path = route.split(" ", 1)
    known = ROWS[route].path if route in ROWS else {}
    for name in _PARAMETER.findall(path):
        if name not in PARAMETERS and name not in known:
            return f"{route}: what is {{{name}}}? Add it to PARAMETERS, or a Row with `path`"
    if method != "GET" and route not in ROWS:
        return f"{route}: add a Row with a body (or {{+kind}} for what it deletes) that succeeds for Ann"
    return ""


ROUTES = _routes()
COVERED = [route for route in ROUTES if not _uncovered(route)]
CASES = [(route, kind) for route in COVERED for kind in kinds_in(template(route))]
# An agent's own conversation is also named by the agent: by its id in the conversation's place, or beside `default`.
OF_CONVERSATIONS = [route for route in COVERED if "/conversations/{conversation_id}" in route]
BY_AGENT = [(route, way) for route in OF_CONVERSATIONS for way in ("id", "query", "body")]


def named_by_agent(route: str, way: str) -> Any:
    """`template(route)`, with the agent in the place of the conversation."""
    found = template(route)
    if way == "id":
        return {**found, "path": {**found["path"], "conversation_id": "{agent}"}}
    beside = {way: {**(found[way] or {}), "agent_id": "{agent}"}}
    return {**found, **beside, "path": {**found["path"], "conversation_id": "default"}}


def test_every_route_is_in_the_matrix() -> None:
    problems = [problem for problem in map(_uncovered, ROUTES) if problem]
    assert not problems, "tests/tenancy/rest_rows.py: " + "; ".join(problems)
    assert not ROWS.keys() - set(ROUTES), f"no such route: {sorted(ROWS.keys() - set(ROUTES))}"


async def _answer(world: World, route: str, template: Any, asked: str = "") -> tuple[int, bytes]:
    """The status, and the headers and body without what differs by chance. Nothing of the others may be in it."""
    filled = await world.fill("ann", template)
    method = route.split(" ", 1)[0]
    response = await world.http.request(method, path_of(route, filled), params=filled["query"], json=filled["body"])
    headers = sorted(f"{name}: {value}" for name, value in response.headers.items() if name != "date")
    raw = "\n".join(headers).encode() + b"\n" + response.content
    check_no_leak(world, raw, asked)
    assert response.status_code < 500, response.text
    return response.status_code, plain(raw)


@pytest.mark.parametrize("route", COVERED)
@IN_ONE_LOOP
async def test_ones_own_is_served(world: World, route: str) -> None:
    row = ROWS.get(route, Row())
    assert (await _answer(world, route, template(route)))[0] in row.status


@pytest.mark.parametrize(("route", "kind"), CASES)
@IN_ONE_LOOP
async def test_the_foreign_and_the_missing_are_the_same_bytes(world: World, route: str, kind: str) -> None:
    foreign, absent = world.stranger(kind), missing(world.stranger(kind))
    answers = [await _answer(world, route, with_id(template(route), kind, asked), asked) for asked in (foreign, absent)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("route", "way"), BY_AGENT)
@IN_ONE_LOOP
async def test_a_foreign_agents_conversation_is_as_missing_as_one_that_is_not(
    world: World, route: str, way: str
) -> None:
    asked = named_by_agent(route, way)
    foreign, absent = world.stranger("agent"), missing(world.stranger("agent"))
    answers = [await _answer(world, route, with_id(asked, "agent", each), each) for each in (foreign, absent)]
    assert answers[0] == answers[1]
    assert answers[0][0] in (404, 405, 422)


@pytest.mark.parametrize(("route", "kind"), CASES)
@IN_ONE_LOOP
async def test_an_id_in_another_case_is_another_id(world: World, route: str, kind: str) -> None:
    own = world.ids["ann"][kind]
    answers = [
        (await _answer(world, route, with_id(template(route), kind, asked), asked))[0]
        for asked in (own.upper(), missing(own).upper())
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("route", "kind"), CASES)
@IN_ONE_LOOP
async def test_a_malformed_id_is_refused_or_not_found(world: World, route: str, kind: str) -> None:
    for asked in malformed():
        status, _ = await _answer(world, route, with_id(template(route), kind, asked), asked)
        assert status in (200, 204, 403, 404, 405, 422), asked
