"""Every endpoint of letta-client that is served and names something, asked for what is not there: a 404, typed."""

from __future__ import annotations

import re
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from gateway.rest.app import make_api
from scripts.generate_letta import endpoints, state

_PARAMETER = re.compile(r"{(\w+)}")
# What a body has to have to be read at all.
_BODIES: dict[str, Any] = {
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/{block_label}": {"value": "v"},
    "PATCH /v1/agents/{agent_id}/tools/approval/{tool_name}": {"requires_approval": True},
    "POST /v1/agents/{agent_id}/archival-memory": {"text": "t"},
    "POST /v1/agents/{agent_id}/messages": {"input": "hello"},
    "POST /v1/agents/{agent_id}/messages/async": {"input": "hello"},
    "POST /v1/agents/{agent_id}/messages/stream": {"input": "hello"},
    "POST /v1/archives/{archive_id}/passages": {"text": "t"},
    "POST /v1/archives/{archive_id}/passages/batch": {"passages": [{"text": "t"}]},
    "POST /v1/conversations/{conversation_id}/messages": {"input": "hello"},
    "PATCH /v1/mcp-servers/{mcp_server_id}": {"config": {"server_url": "http://127.0.0.1:1"}},
}
_QUERIES = {"GET /v1/agents/{agent_id}/archival-memory/search": {"query": "q"}}


def _named() -> list[str]:
    served = make_api().openapi()["paths"]
    supported = [(method, path) for method, path in endpoints() if state(method, path, served) == "supported"]
    return [f"{method} {path}" for method, path in supported if _PARAMETER.search(path)]


def _missing(match: re.Match[str]) -> str:
    kind = match.group(1).removesuffix("_id").rpartition("_")[2].replace("folder", "archive")
    return f"{kind}-00000000-0000-0000-0000-000000000000"


async def _asked(letta: AsyncLetta, endpoint: str) -> object:
    method, path = endpoint.split(" ")
    options: Any = {"params": _QUERIES.get(endpoint, {})}
    url = _PARAMETER.sub(_missing, path)
    if method == "GET":
        return await letta.get(url, cast_to=object, options=options)
    send = {"POST": letta.post, "PATCH": letta.patch, "PUT": letta.put, "DELETE": letta.delete}[method]
    if path.endswith("/upload"):
        file = ("a.txt", b"words", "text/plain")
        return await letta.post(
            url,
            cast_to=object,
            body={},
            files={"file": file},
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )
    return await send(url, cast_to=object, body=_BODIES.get(endpoint, {}), options=options)


@pytest.mark.parametrize("endpoint", _named())
async def test_what_is_not_there_is_a_404_with_a_sentence(letta: AsyncLetta, endpoint: str) -> None:
    with pytest.raises(letta_client.NotFoundError) as refused:
        await _asked(letta, endpoint)
    body: Any = refused.value.body
    assert "not found" in body["detail"]
