from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servicekit.principal import Principal, Scope, Signer, Verifier
from tests.support.keys import ANN, signer, verifier
from triptych.errors import Unauthenticated


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    base = {"iss": "gateway", "aud": "recall_service", "acc": "a", "sub": "u", "iat": now, "exp": now + 60}
    return base | changed


def test_a_token_carries_its_principal_to_its_audience(tmp_path: Path) -> None:
    admin = Principal(ANN.tenant, Scope.ADMIN)
    token = signer(tmp_path).token(admin, "recall_service")
    assert verifier(tmp_path, "recall_service").verify(token) == admin


def test_a_token_is_reused_for_a_minute_and_never_for_another_user_or_audience(tmp_path: Path) -> None:
    mine = signer(tmp_path)
    assert mine.token(ANN, "recall_service") == mine.token(ANN, "recall_service")
    assert mine.token(ANN, "recall_service") != mine.token(ANN, "archival_service")


def test_another_audience_is_refused(tmp_path: Path) -> None:
    token = signer(tmp_path).token(ANN, "archival_service")
    with pytest.raises(Unauthenticated):
        verifier(tmp_path, "recall_service").verify(token)


def test_an_issuer_that_is_not_trusted_here_is_refused(tmp_path: Path) -> None:
    token = signer(tmp_path, "agent_service").token(ANN, "recall_service")
    with pytest.raises(Unauthenticated):
        verifier(tmp_path, "recall_service").verify(token)


def test_another_key_under_a_trusted_name_is_refused(tmp_path: Path) -> None:
    forged = Signer("gateway", Ed25519PrivateKey.generate()).token(ANN, "recall_service")
    with pytest.raises(Unauthenticated):
        verifier(tmp_path, "recall_service").verify(forged)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", b"\xff", jwt.encode(claims(), None, algorithm="none")])
def test_what_is_no_signed_token_is_refused(tmp_path: Path, token: str | bytes) -> None:
    with pytest.raises(Unauthenticated):
        verifier(tmp_path, "recall_service").verify(token)


@pytest.mark.parametrize(
    "changed", [{"exp": int(time.time()) - 1}, {"acc": None}, {"scp": "root"}, {"aud": ["x"]}, {"sub": None}]
)
def test_a_token_that_is_expired_or_incomplete_is_refused(changed: dict[str, object]) -> None:
    key = Ed25519PrivateKey.generate()
    content = {name: value for name, value in claims(**changed).items() if value is not None}
    token = jwt.encode(content, key, algorithm="EdDSA")
    with pytest.raises(Unauthenticated):
        Verifier("recall_service", {"gateway": key.public_key()}).verify(token)
