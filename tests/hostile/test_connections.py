"""Clients that break off, smuggle and play with paths: nobody else notices, and nothing opens that was closed."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from urllib.parse import urlsplit

import pytest

from tests.support.recall import eventually
from tests.tenancy.world import World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
_LINGER_NOT = struct.pack("ii", 1, 0)


async def _opened(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(str(world.http.base_url))
    return await asyncio.open_connection(address.hostname, address.port)


def _request(world: World, path: str, body: object) -> bytes:
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {world.http.headers['authorization']}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def _reset(writer: asyncio.StreamWriter) -> None:
    """Hangs up without a goodbye: what is under way is lost, and the other side gets an error for its next write."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


async def _answer(world: World, raw: bytes) -> bytes:
    """All that comes before the server hangs up, or falls silent."""
    reader, writer = await _opened(world)
    said = b""
    try:
        writer.write(raw)
        await writer.drain()
        async with asyncio.timeout(0.5):
            while piece := await reader.read(65_536):
                said += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return said


@IN_ONE_LOOP
async def test_a_request_that_breaks_off_at_any_byte_is_forgotten(world: World) -> None:
    before = (await world.http.get("/v1/agents/count")).json()
    raw = _request(world, "/v1/agents", {"name": "broken off"})
    for at in range(len(raw)):
        _, writer = await _opened(world)
        writer.write(raw[:at])
        await writer.drain()
        if at % 2:
            _reset(writer)
        else:
            writer.close()
    assert (await world.http.get("/v1/agents/count")).json() == before


@IN_ONE_LOOP
async def test_a_stream_left_at_any_byte_still_ends_its_turn(world: World) -> None:
    agent = await world.make("ann", "agent")
    raw = _request(world, f"/v1/agents/{agent}/messages/stream", {"input": "said to nobody", "stream_tokens": True})
    whole = len(await _answer(world, raw))
    places = range(0, whole, max(1, whole // 24))
    for at in places:
        reader, writer = await _opened(world)
        writer.write(raw)
        await writer.drain()
        if at:
            await reader.readexactly(at)
            _reset(writer)
        else:
            writer.close()

    async def said() -> list[str]:
        listed = (await world.http.get(f"/v1/agents/{agent}/messages", params={"limit": 1000})).json()
        return [message["message_type"] for message in listed if message["message_type"] != "system_message"]

    # One who hung up before a byte came may not have been heard; whoever was answered was heard to the end.
    heard = 2 * len(places)
    kinds = await eventually(said, lambda kinds: len(kinds) >= heard and len(kinds) % 2 == 0)
    assert kinds.count("user_message") == kinds.count("assistant_message")


@pytest.mark.parametrize(
    "smuggled",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: 0, 0\r\n\r\n",
        "Content-Length: 0x0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "X: a\x00b\r\n\r\n",
        "X: a\rY: b\r\n\r\n",
    ],
)
@IN_ONE_LOOP
async def test_a_request_hidden_in_anothers_body_is_not_served(world: World, smuggled: str) -> None:
    hidden = f"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: {world.http.headers['authorization']}\r\n\r\n"
    said = await _answer(world, f"POST /v1/agents/search HTTP/1.1\r\nHost: x\r\n{smuggled}{hidden}".encode("latin-1"))
    assert b" 200 " not in said
    assert b"ann" not in said


@pytest.mark.parametrize(
    "path",
    [
        *(
            "//v1/agents",
            "/v1//agents",
            "/v1/./agents",
            "/docs/../v1/agents",
            "/docs/..%2fv1/agents",
            "/v1/health/../me",
        ),
        *("/%76%31/agents", "/v1/agents;a=b", "/v1\\agents", "/v1/agents%00", "/v1/agents%0d%0aX:%20y", "/V1/AGENTS"),
        *(
            "/swagger-static/../../../../etc/passwd",
            "/swagger-static/..%2f..%2f..%2fetc/passwd",
            "/openapi.json/../v1/me",
        ),
        *("http://elsewhere/v1/agents", "*", "/v1/agents#", "/" + "a/" * 3_000, "/v1/agents/%ff%fe", "/\u00e9"),
    ],
)
@IN_ONE_LOOP
async def test_no_path_leads_past_the_door(world: World, path: str) -> None:
    said = await _answer(world, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    status = int(said.split(b" ", 2)[1]) if said else 400
    assert status in (400, 401, 404, 405, 414), said[:300]
    assert b"root:" not in said
