"""The Ed25519 key pairs by which the services know each other: made once, kept in the data directory."""

from __future__ import annotations

from pathlib import Path

from triptych.cli.up.data_dir import write_private


def ensure(folder: Path, issuer: str) -> tuple[Path, Path]:
    """The files of the issuer's private and public key (PEM)."""
    private, public = folder / f"{issuer}.pem", folder / f"{issuer}.pub.pem"
    if not (private.is_file() and public.is_file()):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        private_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public_pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_private(private, private_pem.decode())
        write_private(public, public_pem.decode())
    return private, public
