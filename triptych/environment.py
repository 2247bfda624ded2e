"""Every environment variable that Triptych reads: one table, for the services, the command and the docs.

A `TRIPTYCH_*` name that is not in it is refused at start, since it is most likely a typing error. Left alone are
`TRIPTYCH_TEST_*` and the `*_SERVICE_HOST`, `*_SERVICE_PORT*` and `*_PORT*` that Kubernetes puts into every pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    name: str
    meaning: str
    default: str = ""
    secret: bool = False


def _variables(*rows: Variable) -> dict[str, Variable]:
    return {row.name: row for row in rows}


def _embedder(prefix: str, default: str = "", of: str = "") -> tuple[Variable, ...]:
    return (
        Variable(
            prefix,
            f"`bundled`, `use`, `wordllama`, `openai` for any /v1/embeddings, or `fastembed` (an extra){of}",
            default,
        ),
        Variable(f"{prefix}_BASE_URL", f"the embeddings endpoint, up to and with /v1{of}"),
        Variable(
            f"{prefix}_MODEL", f"the embedding model's name there, or in fastembed (there also NAME@DIRECTORY){of}"
        ),
        Variable(f"{prefix}_API_KEY", f"that endpoint's key{of}", secret=True),
        Variable(f"{prefix}_DIMENSIONS", f"the embedding's length at that endpoint{of}"),
    )


VARIABLES = _variables(
    # The command and the SDK
    Variable("TRIPTYCH_DATA", "directory of `triptych up`", "~/.triptych"),
    Variable(
        "TRIPTYCH_ADDRESS",
        "host:port of the gateway's gRPC, for the SDK and the command; with https:// in front by TLS",
    ),
    Variable("TRIPTYCH_API_KEY", "key for the SDK and the command", secret=True),
    Variable("TRIPTYCH_USER", "whom they act for: a user, with an application key; user-account for the account"),
    # Where services listen and find each other
    Variable("TRIPTYCH_RECALL_LISTEN", "host:port that recall_service binds", "127.0.0.1:7411"),
    Variable("TRIPTYCH_ARCHIVAL_LISTEN", "host:port that archival_service binds", "127.0.0.1:7412"),
    Variable("TRIPTYCH_AGENT_LISTEN", "host:port that agent_service binds", "127.0.0.1:7413"),
    Variable("TRIPTYCH_GATEWAY_GRPC_LISTEN", "host:port of the gateway's gRPC", "127.0.0.1:7410"),
    Variable("TRIPTYCH_GATEWAY_HTTP_LISTEN", "host:port of the gateway's REST", "127.0.0.1:8283"),
    Variable("TRIPTYCH_RECALL_ADDRESS", "where others reach recall_service", "127.0.0.1:7411"),
    Variable("TRIPTYCH_ARCHIVAL_ADDRESS", "where others reach archival_service", "127.0.0.1:7412"),
    Variable("TRIPTYCH_AGENT_ADVERTISED", "host:port where other replicas reach this one, if not where it binds", ""),
    Variable("TRIPTYCH_AGENT_ADDRESS", "where the gateway reaches agent_service", "127.0.0.1:7413"),
    # Stores
    Variable("TRIPTYCH_RECALL_DSN", "SQLAlchemy URL of recall's store", "sqlite:///recall.db"),
    Variable("TRIPTYCH_ARCHIVAL_DSN", "SQLAlchemy URL of archival's store", "sqlite:///archival.db"),
    Variable("TRIPTYCH_ARCHIVAL_INDEX", "directory of the embedded Qdrant Edge index", "archival-index"),
    Variable(
        "TRIPTYCH_ARCHIVAL_QDRANT_URL",
        "a Qdrant server's gRPC (http://HOST:6334) to use in place of Edge",
    ),
    Variable("TRIPTYCH_ARCHIVAL_QDRANT_API_KEY", "that server's key", secret=True),
    Variable("TRIPTYCH_ARCHIVAL_QDRANT_PREFIX", "how the names of our collections there begin", "triptych"),
    Variable("TRIPTYCH_ARCHIVAL_QDRANT_REPLICAS", "copies of each shard there", "1"),
    Variable("TRIPTYCH_ARCHIVAL_QDRANT_SHARDS", "shards of the collection there", "1"),
    Variable("TRIPTYCH_ARCHIVAL_QDRANT_PROMOTED", "owners with shards of their own there: account/user,account/user"),
    Variable("TRIPTYCH_AGENT_DSN", "SQLAlchemy URL of agent_service's store", "sqlite:///agent.db"),
    Variable("TRIPTYCH_GATEWAY_DSN", "SQLAlchemy URL of the gateway's store", "sqlite:///gateway.db"),
    # Documents in archival memory
    Variable("TRIPTYCH_DOCUMENT_MAX_MB", "MiB; the largest file that archival_service takes in", "64"),
    Variable("TRIPTYCH_DOCUMENT_READ_SECONDS", "CPU seconds that reading one file may take", "120"),
    Variable("TRIPTYCH_DOCUMENT_READ_MB", "MiB of memory (address space) that reading one file may take", "1536"),
    # Who may call whom
    Variable("TRIPTYCH_GATEWAY_SIGNING_KEY_FILE", "the gateway's Ed25519 private key (PEM)"),
    Variable("TRIPTYCH_GATEWAY_VERIFY_KEY_FILE", "the gateway's public key (PEM), for the tiers"),
    Variable("TRIPTYCH_AGENT_SIGNING_KEY_FILE", "agent_service's Ed25519 private key (PEM)"),
    Variable(
        "TRIPTYCH_AGENT_SECRET_FILE",
        "file with a secret of 16 bytes or more, which encrypts users' secrets; default: agent_service's signing key",
    ),
    Variable("TRIPTYCH_AGENT_FORMER_SECRET_FILE", "the one before, if it was changed: the start encrypts them anew"),
    Variable("TRIPTYCH_AGENT_VERIFY_KEY_FILE", "agent_service's public key (PEM), for recall and archival"),
    Variable("TRIPTYCH_FIRST_KEY_FILE", "file with the first API key (an operator's), which the gateway makes valid"),
    Variable(
        "TRIPTYCH_GATEWAY_SECRET_FILE",
        "file with a secret of 16 bytes or more, by which API keys are kept; default: the gateway's signing key",
    ),
    Variable("TRIPTYCH_TLS_CERT_FILE", "certificate (PEM, with its chain) for the gateway's gRPC and REST"),
    Variable("TRIPTYCH_TLS_KEY_FILE", "its private key (PEM)"),
    Variable("TRIPTYCH_CORS_ORIGINS", "origins whose pages may call REST: https://a.example,https://b.example; or *"),
    # What each user may use, unless an admin sets other limits
    Variable("TRIPTYCH_LIMIT_REQUESTS_PER_SECOND", "requests of a user in a second; 0: any number", "5000"),
    Variable("TRIPTYCH_LIMIT_LIVE_TURNS", "turns of a user under way at once; 0: any number", "1000"),
    Variable("TRIPTYCH_LIMIT_TOKENS_PER_DAY", "model tokens of a user in a day (UTC); 0: any number", "0"),
    Variable("TRIPTYCH_LIMIT_STORED_MB", "MiB of text that a user may have kept; 0: any number", "0"),
    # Tokens of an identity provider
    Variable("TRIPTYCH_OIDC_ISSUER", "the `iss` of tokens that are accepted beside API keys; empty: none are"),
    Variable("TRIPTYCH_OIDC_AUDIENCE", "the `aud` that they must have"),
    Variable("TRIPTYCH_OIDC_JWKS", "URL or file of the issuer's JSON Web Key Set"),
    Variable("TRIPTYCH_OIDC_CLAIM", "the claim that names the user", "sub"),
    Variable("TRIPTYCH_OIDC_ACCOUNT", "id of the account whose users they are", "default"),
    Variable("TRIPTYCH_OIDC_CREATE_USERS", "`true` makes a user at first sight", "false"),
    # The model
    Variable("TRIPTYCH_MODEL_BASE_URL", "an OpenAI-compatible endpoint, up to and with /v1"),
    Variable("TRIPTYCH_MODEL", "the default model's name at that endpoint"),
    Variable("TRIPTYCH_MODEL_API_KEY", "the endpoint's key", secret=True),
    Variable("TRIPTYCH_MODEL_CONTEXT_WINDOW", "tokens; for models whose window is not known", "32768"),
    Variable("TRIPTYCH_MODEL_TIMEOUT_SECONDS", "longest wait for one answer of the model", "120"),
    Variable("TRIPTYCH_MODEL_TOOLS", "how tools are called: native, prompted or emulated (docs/models.md)", "native"),
    Variable("TRIPTYCH_MODEL_ENDPOINTS", "JSON file with further endpoints (docs/models.md)"),
    Variable("TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES", "whether users' model providers may be in this network", "off"),
    Variable("TRIPTYCH_TURN_SECONDS", "longest work on one turn, waiting for people apart; 0: any", "3600"),
    Variable("TRIPTYCH_TURN_QUEUE_SECONDS", "longest wait of a turn for those before it in its conversation", "600"),
    Variable(
        "TRIPTYCH_TURN_WORDS_SECONDS",
        "how long after its end a turn's journal keeps its words beside recall; then recall is asked for them",
        "3600",
    ),
    Variable("TRIPTYCH_MODEL_PRICES", "JSON file with models' prices, for the cost of steps (docs/context.md)"),
    # Tools of others
    Variable("TRIPTYCH_MCP_TIMEOUT_SECONDS", "longest wait for an MCP server, to connect and to answer", "60"),
    Variable("TRIPTYCH_MCP_PRIVATE_ADDRESSES", "whether users' MCP servers may be in this network", "off"),
    Variable("TRIPTYCH_MCP_STDIO", "whether users may have programs of this machine run as MCP servers", "off"),
    Variable("TRIPTYCH_PYTHON_TOOLS", "whether users may have Python run here; read docs/tools.md first", "off"),
    Variable("TRIPTYCH_PYTHON_TOOLS_SECONDS", "longest run of such a tool, of wall time and of CPU", "30"),
    # The embedder
    *_embedder("TRIPTYCH_EMBEDDER", "bundled"),
    *_embedder("TRIPTYCH_RECALL_EMBEDDER", of="; for recall alone"),
    *_embedder("TRIPTYCH_ARCHIVAL_EMBEDDER", of="; for archival alone"),
    Variable("TRIPTYCH_EMBEDDER_REQUESTS_PER_SECOND", "most requests to an embeddings endpoint; 0: any number", "0"),
    Variable(
        "TRIPTYCH_EMBEDDER_CACHE_MB", "memory for vectors of texts embedded lately (not those of bundled ones)", "16"
    ),
    Variable("TRIPTYCH_EMBEDDER_TIMEOUT_SECONDS", "longest wait for an embedder, its retries included", "60"),
    # Running
    *(
        Variable(f"TRIPTYCH_{service}_METRICS_LISTEN", f"host:port of {name}'s /metrics for Prometheus; empty: none")
        for service, name in (
            ("RECALL", "recall_service"),
            ("ARCHIVAL", "archival_service"),
            ("AGENT", "agent_service"),
            ("GATEWAY", "the gateway"),
        )
    ),
    Variable("TRIPTYCH_LOG_LEVEL", "debug, info, warning or error", "info"),
    Variable("TRIPTYCH_LOG_FORMAT", "`json` or `console`", "json"),
    Variable("TRIPTYCH_DRAIN_SECONDS", "how long a stopping service lets calls finish", "10"),
    Variable("TRIPTYCH_REFLECTION", "`true` serves gRPC reflection", "false"),
)

_LEFT_ALONE = re.compile(r"TRIPTYCH_(TEST_.*|.*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT(_\d+_(TCP|UDP)(_.*)?)?)")


class BadEnvironment(ValueError):
    """An environment variable is not known or has no usable value. The message says which, and what to do."""


def check(environ: Mapping[str, str]) -> None:
    """Refuses `TRIPTYCH_*` names that are not in the table.

    Raises: BadEnvironment naming the first unknown one and the nearest known.
    """
    import difflib

    for name in sorted(environ):
        if not name.startswith("TRIPTYCH_") or name in VARIABLES or _LEFT_ALONE.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, VARIABLES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadEnvironment(f"{name} is not a setting of Triptych.{hint} Unset it, or see docs/configuration.md.")


def get(environ: Mapping[str, str], name: str) -> str:
    """The variable's value, or the table's default. Raises: KeyError for a name that is not in the table."""
    return environ.get(name) or VARIABLES[name].default
