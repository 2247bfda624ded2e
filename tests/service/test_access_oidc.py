"""Tokens of an identity provider: a real key set, real signatures."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.auth import oidc
from tests.support.door import Door, opened
from triptych.errors import NotFound, PermissionDenied, Unauthenticated, Unavailable
from triptych.gateway.v1 import gateway_pb2 as pb

ISSUER, AUDIENCE = "https://id.example", "triptych"


class Provider:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "jwks.json"
        self.new_key("k1")

    def new_key(self, kid: str) -> None:
        """From now on tokens are signed with this one, and it is the only one that the set has."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self.file.write_text(json.dumps({"keys": [{**public, "kid": kid, "alg": "ES256", "use": "sig"}]}))

    def token(self, *, key: Any = None, algorithm: str = "ES256", kid: str = "k1", **changed: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann@example", "exp": int(time.time()) + 60, **changed}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


@pytest.fixture
def served(provider: Provider) -> Iterator[str]:
    """The URL of the provider's key set, over real HTTP."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(provider.file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{provider.file.name}"
        server.shutdown()


def _settings(jwks: str, **changed: str) -> dict[str, str]:
    return {
        "TRIPTYCH_OIDC_ISSUER": ISSUER,
        "TRIPTYCH_OIDC_AUDIENCE": AUDIENCE,
        "TRIPTYCH_OIDC_JWKS": jwks,
        "TRIPTYCH_OIDC_CREATE_USERS": "true",
        **changed,
    }


@pytest.fixture
async def door(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    more = _settings(str(provider.file))
    async with opened(tmp_path, capsys, "gateway", more=more) as opened_door:
        yield opened_door


async def test_a_valid_token_is_its_subject_who_is_made_at_first_sight(door: Door, provider: Provider) -> None:
    async with door.client(provider.token()) as ann:
        me = await ann.users.me()
        assert (me.user.name, me.kind, me.account_id) == ("ann@example", pb.KEY_KIND_UNSPECIFIED, "default")
        with pytest.raises(PermissionDenied):
            await ann.users.create("eve")
    async with door.client(provider.token(exp=int(time.time()) + 90)) as again:
        assert (await again.users.me()).user.id == me.user.id
    async with door.client(provider.token(), user="bob") as pretender:
        with pytest.raises(PermissionDenied):
            await pretender.users.me()
    async with door.client() as admin:
        assert (await admin.users.me()).user.name == "default"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"exp": 1_000},
        {"exp": None},
        {"sub": ""},
        {"sub": "user-00000000-0000-0000-0000-000000000000"},
        {"kid": "k2"},
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_is_refused(door: Door, provider: Provider, changed: dict[str, Any]) -> None:
    async with door.client(provider.token(**changed)) as nobody:
        with pytest.raises(Unauthenticated):
            await nobody.users.me()


async def test_a_forged_signature_is_refused(door: Door, provider: Provider) -> None:
    forged = [
        provider.token(key=ec.generate_private_key(ec.SECP256R1())),
        # What everybody can read, as a shared secret.
        provider.token(key="this everybody may know, at 32 bytes", algorithm="HS256"),
        provider.token()[:-4] + "AAAA",
        "a.b.c",
    ]
    for token in forged:
        async with door.client(token) as nobody:
            with pytest.raises(Unauthenticated):
                await nobody.users.me()


async def test_keys_come_from_a_url_and_a_new_one_is_found(
    tmp_path: Path, provider: Provider, served: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, capsys, "gateway", more=_settings(served)) as door:
        async with door.client(provider.token()) as ann:
            await ann.users.me()
        provider.new_key("k2")
        # Not looked for again so soon, whoever asks.
        async with door.client(provider.token(kid="k2")) as ann:
            with pytest.raises(Unauthenticated):
                await ann.users.me()
        monkeypatch.setattr(oidc, "_LOOK_AGAIN_SECONDS", 0.0)
        async with door.client(provider.token(kid="k2")) as ann:
            assert (await ann.users.me()).user.name == "ann@example"


async def test_a_provider_that_is_away_is_unavailable_and_keys_go_on(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, "gateway", more=_settings("http://127.0.0.1:9/jwks")) as door:
        async with door.http(provider.token()) as http:
            assert (await http.get("/v1/me")).status_code == 503
        async with door.client() as admin:
            assert (await admin.users.me()).user.name == "default"


async def test_users_are_not_made_unless_it_is_allowed_and_the_claim_that_names_them_is_a_choice(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    more = _settings(str(provider.file), TRIPTYCH_OIDC_CREATE_USERS="false", TRIPTYCH_OIDC_CLAIM="email")
    async with opened(tmp_path, capsys, "gateway", more=more) as door:
        token = provider.token(email="ann")
        async with door.client(token) as ann, door.client() as admin:
            with pytest.raises(NotFound):
                await ann.users.me()
            made = await admin.users.create("ann")
            assert (await ann.users.me()).user.id == made.id


async def test_tokens_that_no_provider_answers_for_hold_up_no_other(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, silent = 0, asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            silent.set()
            await asyncio.Event().wait()
        body = provider.file.read_bytes()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    mine = oidc.Oidc(oidc.OidcSettings(ISSUER, AUDIENCE, url, "sub", "default", create=True))
    assert (await mine.verify(provider.token())).user == "ann@example"
    monkeypatch.setattr(oidc, "_LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(oidc, "_FETCH_SECONDS", 0.5)
    forged = [asyncio.create_task(mine.verify(provider.token(kid=f"unknown {number}"))) for number in range(20)]
    await silent.wait()
    assert (await mine.verify(provider.token())).user == "ann@example"
    assert not any(task.done() for task in forged)
    results = await asyncio.gather(*forged, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 20
    assert asked == 2
    server.close()
