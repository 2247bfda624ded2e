"""Settings of the gateway, read once."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.auth.oidc import OidcSettings
from gateway.stores.usage import Limits
from servicekit.server import Tls
from servicekit.settings import Environment, Running
from triptych.environment import BadEnvironment


@dataclass(frozen=True)
class Settings:
    """`secret`: a file from which the gateway's secrets derive. `first_key`: one with the first API key, or None."""

    grpc_listen: str
    http_listen: str
    dsn: str
    agent_address: str
    recall_address: str
    archival_address: str
    signing_key: Path
    secret: Path
    first_key: Path | None
    oidc: OidcSettings | None
    limits: Limits
    tls: Tls | None
    cors_origins: tuple[str, ...]
    metrics_listen: str
    running: Running

    @classmethod
    def read(cls, env: Environment) -> Settings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        signing_key = env.file("TRIPTYCH_GATEWAY_SIGNING_KEY_FILE")
        return cls(
            grpc_listen=env.listen("TRIPTYCH_GATEWAY_GRPC_LISTEN"),
            http_listen=env.listen("TRIPTYCH_GATEWAY_HTTP_LISTEN", sockets=False),
            dsn=env.text("TRIPTYCH_GATEWAY_DSN"),
            agent_address=env.text("TRIPTYCH_AGENT_ADDRESS"),
            recall_address=env.text("TRIPTYCH_RECALL_ADDRESS"),
            archival_address=env.text("TRIPTYCH_ARCHIVAL_ADDRESS"),
            signing_key=signing_key,
            secret=_file(env, "TRIPTYCH_GATEWAY_SECRET_FILE") or signing_key,
            first_key=_file(env, "TRIPTYCH_FIRST_KEY_FILE"),
            oidc=_oidc(env),
            tls=_tls(env),
            cors_origins=_origins(env),
            limits=Limits(
                requests_per_second=env.number("TRIPTYCH_LIMIT_REQUESTS_PER_SECOND"),
                live_turns=env.integer("TRIPTYCH_LIMIT_LIVE_TURNS"),
                tokens_per_day=env.integer("TRIPTYCH_LIMIT_TOKENS_PER_DAY"),
                stored_bytes=env.integer("TRIPTYCH_LIMIT_STORED_MB") * 1024 * 1024,
            ),
            metrics_listen=env.optional_listen("TRIPTYCH_GATEWAY_METRICS_LISTEN"),
            running=Running.read(env),
        )


def _file(env: Environment, name: str) -> Path | None:
    return env.file(name) if env.text(name) else None


def _oidc(env: Environment) -> OidcSettings | None:
    """Raises: BadEnvironment if only a part of it is set."""
    issuer = env.text("TRIPTYCH_OIDC_ISSUER")
    if not issuer:
        return None
    jwks = env.required("TRIPTYCH_OIDC_JWKS")
    if not jwks.startswith(("http://", "https://")) and not Path(jwks).is_file():
        raise BadEnvironment("TRIPTYCH_OIDC_JWKS is neither a URL nor a file")
    return OidcSettings(
        issuer=issuer,
        audience=env.required("TRIPTYCH_OIDC_AUDIENCE"),
        jwks=jwks,
        claim=env.text("TRIPTYCH_OIDC_CLAIM"),
        account_id=env.text("TRIPTYCH_OIDC_ACCOUNT"),
        create=env.flag("TRIPTYCH_OIDC_CREATE_USERS"),
    )


def _tls(env: Environment) -> Tls | None:
    """Raises: BadEnvironment if there is a certificate without a key, or a key without a certificate."""
    names = ("TRIPTYCH_TLS_CERT_FILE", "TRIPTYCH_TLS_KEY_FILE")
    if not any(env.text(name) for name in names):
        return None
    certificate, key = (env.file(name) for name in names)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise BadEnvironment(f"{certificate} and {key} are no PEM certificate and its key: {error.strerror}") from None
    return Tls(certificate, key)


def _origins(env: Environment) -> tuple[str, ...]:
    """Raises: BadEnvironment for what is no origin."""
    origins = tuple(origin.strip() for origin in env.text("TRIPTYCH_CORS_ORIGINS").split(",") if origin.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
            raise BadEnvironment(f"TRIPTYCH_CORS_ORIGINS: {origin!r} is no origin such as https://example.org")
    return origins
