"""Whatever is sent to a REST route: never a 500, a stack trace, or another user's byte."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis

from gateway.rest.app import make_api
from tests.hostile.drawing import drawn
from tests.tenancy.test_rest import ROUTES, template
from tests.tenancy.variants import check_no_leak
from tests.tenancy.world import MAKING, World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
_DOCUMENT = make_api().openapi()
_STANDING = re.compile(rf"\{{({'|'.join(MAKING)})\}}")
_SCHEMA = schemathesis.openapi.from_dict(_DOCUMENT)
# JSON that some parser takes, for the place of any field's value.
_STRANGE_JSON = (
    *('"\\ud800"', '"\\u0000"', '"' + "x" * 200_000 + '"', '""', "1e400", "NaN", "-1", "9" * 30, "1.5", "null", "true"),
    *("[]", "{}", "[" * 29 + "]" * 29, '{"a":' * 28 + "1" + "}" * 28, "[" * 500 + "]" * 500),
    '{"a":' * 500 + "1" + "}" * 500,
)
_STRANGE_QUERIES = (
    *("%00", "%ff%fe", "%ed%a0%80", "-1", "9" * 30, "1e9", "", "x" * 20_000, "NaN"),
    "0001-01-01T00:00:00-23:59",
)


def _check(world: World, response: httpx.Response, what: str) -> None:
    said = response.content
    if response.status_code >= 500:
        # What can't be done now, or not here, is said in a sentence: a model or an MCP server that fails.
        assert response.status_code in (501, 503), f"{what}: {response.status_code} {response.text[:300]}"
        assert response.status_code == 501 or re.search("model|MCP server", response.text), (
            f"{what}: {response.text[:300]}"
        )
    assert b"Traceback" not in said, what
    assert b'.py", line' not in said, what
    # Ann is an admin: what Bob did, and the names of his keys, are hers to see.
    check_no_leak(world, said, others=("cyd",) if "/v1/admin/" in what else ("bob", "cyd"))


async def _path(world: World, route: str) -> tuple[str, str, dict[str, str]]:
    """The method, the path of what is Ann's, and the values of its parameters. What is changed is made for it."""
    method, path = route.split(" ", 1)
    parameters = template(route)["path"]
    if method in ("PATCH", "PUT"):
        parameters = {name: _STANDING.sub(r"{+\1}", value) for name, value in parameters.items()}
    values: dict[str, str] = await world.fill("ann", parameters)
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe="") or "none")
    return method, path, values


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = _DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _operation(route: str) -> dict[str, Any]:
    method, path = route.split(" ", 1)
    found: dict[str, Any] = _DOCUMENT["paths"][path][method.lower()]
    return found


def _bodies(route: str, usual: Any) -> list[str]:
    """The usual body with a strange value in the place of each field."""
    content = _operation(route).get("requestBody", {}).get("content", {})
    fields = _resolved(content.get("application/json", {}).get("schema", {})).get("properties", {})
    bodies = list(_STRANGE_JSON) if content else []
    for name in fields:
        rest = json.dumps({key: value for key, value in (usual or {}).items() if key != name})[1:-1]
        bodies += [f"{{{rest}{', ' if rest else ''}{json.dumps(name)}: {value}}}" for value in _STRANGE_JSON]
    return bodies


@pytest.mark.parametrize("route", ROUTES)
@IN_ONE_LOOP
async def test_no_strange_value_of_any_field_is_an_internal_error(world: World, route: str) -> None:
    method, path, _ = await _path(world, route)
    usual = (await world.fill("ann", template(route)))["body"]
    for body in _bodies(route, usual):
        headers = {"content-type": "application/json"}
        response = await world.http.request(method, path, content=body.encode(), headers=headers)
        _check(world, response, f"{route} {body[:200]}")
    for parameter in _operation(route).get("parameters", []):
        for value in _STRANGE_QUERIES if parameter["in"] == "query" else ():
            response = await world.http.request(method, f"{path}?{parameter['name']}={value}", json=usual)
            _check(world, response, f"{route} ?{parameter['name']}={value[:60]}")


@pytest.mark.parametrize("route", ROUTES)
@IN_ONE_LOOP
async def test_no_generated_request_is_an_internal_error(world: World, route: str) -> None:
    method, path = route.split(" ", 1)
    _, _, own = await _path(world, route)
    for number, case in enumerate(drawn(_SCHEMA[path][method].as_strategy())):
        if number % 2:  # half of them reach what is there
            case.path_parameters = own
        sent = requests.Request(**case.as_transport_kwargs(base_url=str(world.http.base_url))).prepare()
        assert sent.url is not None
        headers = {name: value for name, value in sent.headers.items() if name.lower() == "content-type"}
        content = sent.body.encode() if isinstance(sent.body, str) else sent.body
        response = await world.http.request(method, sent.url, content=content, headers=headers)
        _check(world, response, f"{method} {sent.url[:300]} {str(content)[:300]}")
