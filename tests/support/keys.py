"""Key pairs on disk, and users."""

from __future__ import annotations

import uuid
from pathlib import Path

from servicekit.principal import Principal, Signer, Tenant, Verifier
from triptych.cli.up import signing_keys

ANN = Principal(Tenant("account-a", "user-ann"))
BOB = Principal(Tenant("account-a", "user-bob"))


def signer(folder: Path, issuer: str = "gateway") -> Signer:
    return Signer.from_file(issuer, signing_keys.ensure(folder, issuer)[0])


def new_user() -> Principal:
    """One that no other test has, for tests that share a service."""
    return Principal(Tenant(f"account-{uuid.uuid4()}", f"user-{uuid.uuid4()}"))


def verifier(folder: Path, audience: str, issuer: str = "gateway") -> Verifier:
    return Verifier.from_files(audience, {issuer: signing_keys.ensure(folder, issuer)[1]})
