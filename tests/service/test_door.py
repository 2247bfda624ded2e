"""The door itself: TLS, CORS, headers, and clients that send too much, too slowly, or never read."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.rest import connection
from servicekit.settings import Environment
from tests.support.door import FIRST_KEY, Door, opened
from tests.support.stack import environment
from triptych.environment import BadEnvironment
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceStub

ORIGIN = "https://app.example"
METADATA = (("authorization", f"Bearer {FIRST_KEY}"),)


@pytest.fixture
async def door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, "gateway") as opened_door:
        yield opened_door


def _certificate(folder: Path) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"TRIPTYCH_TLS_CERT_FILE": str(cert_file), "TRIPTYCH_TLS_KEY_FILE": str(key_file)}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[dict[str, str], bytes]:
    """The settings of a certificate for localhost, and itself as PEM."""
    files = _certificate(tmp_path)
    return files, Path(files["TRIPTYCH_TLS_CERT_FILE"]).read_bytes()


async def test_both_ways_in_speak_tls_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], certificate: tuple[dict[str, str], bytes]
) -> None:
    files, pem = certificate
    more = {**files, "TRIPTYCH_GATEWAY_GRPC_LISTEN": "127.0.0.1:0"}
    async with opened(tmp_path, capsys, "gateway", more=more) as door:
        port = door.address.rpartition(":")[2]
        async with grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(pem)) as channel:
            me = await GatewayServiceStub(channel).WhoAmI(pb.WhoAmIRequest(), metadata=METADATA, timeout=10)
            assert me.user.name == "default"
        # The SDK by its environment alone.
        named = {"TRIPTYCH_ADDRESS": f"https://localhost:{port}", "TRIPTYCH_API_KEY": FIRST_KEY}
        roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": files["TRIPTYCH_TLS_CERT_FILE"]}
        code = "from triptych import Triptych; print(Triptych.from_env().users.me().user.name)"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env={**os.environ, **named, **roots}, stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0] == b"default\n"
        assert door.http_url.startswith("https://")
        trusted = ssl.create_default_context(cadata=pem.decode())
        url = door.http_url.replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(verify=trusted) as http:
            answer = await http.get(f"{url}/v1/health")
            assert (answer.status_code, "strict-transport-security" in answer.headers) == (200, True)
            with pytest.raises(httpx.HTTPError):
                await http.get(f"{url.replace('https', 'http')}/v1/health")


@pytest.mark.parametrize("missing", ["TRIPTYCH_TLS_CERT_FILE", "TRIPTYCH_TLS_KEY_FILE"])
def test_a_certificate_needs_its_key(tmp_path: Path, missing: str) -> None:
    from gateway.config import Settings

    environ = {**environment(tmp_path), **_certificate(tmp_path)}
    assert Settings.read(Environment(environ)).tls is not None
    del environ[missing]
    with pytest.raises(BadEnvironment, match=missing):
        Settings.read(Environment(environ))


async def test_pages_of_named_origins_may_call_and_others_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], door: Door
) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    async with httpx.AsyncClient() as http:
        refused = await http.options(f"{door.http_url}/v1/agents", headers=asked)
        assert "access-control-allow-origin" not in refused.headers
        more = {"TRIPTYCH_CORS_ORIGINS": ORIGIN}
        async with opened(tmp_path / "other", capsys, "gateway", more=more) as open_door:
            url = f"{open_door.http_url}/v1/agents"
            assert (await http.options(url, headers=asked)).headers["access-control-allow-origin"] == ORIGIN
            other = await http.options(url, headers={**asked, "origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers


async def test_answers_and_errors_tell_browsers_not_to_guess_frame_or_keep(door: Door) -> None:
    async with httpx.AsyncClient(base_url=door.http_url) as http:
        for path in ("/v1/health", "/v1/agents", "/no/such"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def _said(door: Door, *pieces: bytes) -> bytes:
    """All that the server answers to these bytes before it hangs up."""
    host, _, port = door.http_url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        f"Authorization: Bearer wrong\r\nAuthorization: Bearer {FIRST_KEY}\r\n",
        f"Authorization: Bearer {FIRST_KEY}\r\nAuthorization: Bearer {FIRST_KEY}\r\n",
        f"Authorization: Bearer {FIRST_KEY}\r\nTriptych-User: a\r\nTriptych-User: b\r\n",
        f"Authorization: Bearer {FIRST_KEY}\r\nContent-Length: 0\r\nContent-Length: 5\r\n",
        f"Authorization: Bearer {FIRST_KEY}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        f"Authorization : Bearer {FIRST_KEY}\r\n",
        f"Authorization:\r\n Bearer {FIRST_KEY}\r\n",
        f"Authorization: Bearer {FIRST_KEY} {FIRST_KEY}\r\n",
        f"X-Api-Key: {FIRST_KEY}\r\n",
        f"Cookie: authorization=Bearer {FIRST_KEY}\r\n",
        "Triptych-Principal: e30.e30.\r\n",
    ],
)
async def test_a_key_that_is_there_twice_or_in_the_wrong_place_opens_nothing(door: Door, headers: str) -> None:
    answer = await _said(door, f"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())
    status = answer.split(b" ", 2)[1] if answer else b""
    assert status in (b"", b"400", b"401", b"422"), answer[:200]


async def test_a_key_in_the_address_opens_nothing(door: Door) -> None:
    async with httpx.AsyncClient(base_url=door.http_url) as http:
        for query in ({"authorization": f"Bearer {FIRST_KEY}"}, {"api_key": FIRST_KEY}, {"token": FIRST_KEY}):
            assert (await http.get("/v1/me", params=query)).status_code == 401


async def test_a_head_without_end_is_cut(door: Door) -> None:
    piece = b"x" * 65536
    answer = await _said(door, b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Long: ", *([piece] * 64))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


_CHUNKED = b"POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
_BLOCK = b'\r\n1c\r\n{"label":"x","value":"word"}\r\n0\r\n'


async def test_a_key_behind_the_body_opens_nothing(door: Door) -> None:
    trailer = f"Authorization: Bearer {FIRST_KEY}\r\n\r\n".encode()
    answer = await _said(door, _CHUNKED + b"Connection: close\r\n" + _BLOCK + trailer)
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("piece", [b"x" * 10_000 + b"\r\nX-Trailer: ", b"x" * 10_000])
async def test_trailers_without_end_are_cut(door: Door, piece: bytes) -> None:
    answer = await _said(door, _CHUNKED + _BLOCK + b"X-Trailer: ", *([piece] * 64))
    assert answer == b"" or b"HTTP/1.1 400" in answer


async def test_the_rest_of_a_request_that_is_answered_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    head = b"POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    assert (await _said(door, head + b"x")).startswith(b"HTTP/1.1 401")


async def test_a_head_that_does_not_come_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    assert await _said(door) == b""
    assert await _said(door, b"GET /v1/me HTTP/1.1\r\nHost: x\r\n") == b""
    async with door.http() as http:
        assert [(await http.get("/v1/me")).status_code for _ in range(3)] == [200] * 3


async def test_grpc_metadata_over_the_limit_is_refused(door: Door) -> None:
    async with grpc.aio.insecure_channel(door.address) as channel:
        call = GatewayServiceStub(channel).WhoAmI
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(pb.WhoAmIRequest(), metadata=(*METADATA, ("x-long", "x" * 100_000)), timeout=10)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await call(pb.WhoAmIRequest(), metadata=METADATA, timeout=10)).user.name == "default"
