"""Settings of agent_service, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent_service.models import endpoints
from agent_service.models.endpoints import NamedEndpoint
from agent_service.models.types import ToolMode
from agent_service.tool_settings import McpSettings, PythonSettings
from servicekit.settings import Environment, Running
from triptych.environment import BadEnvironment


@dataclass(frozen=True)
class ModelEndpoint:
    """`model`: the default model's name; '' takes the first that the endpoint lists. `context_window`: tokens.

    `public_only`: None for the operator's own; of a user's, whether it must not be in this network.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)
    context_window: int
    timeout_seconds: float
    tool_mode: ToolMode
    public_only: bool | None = None

    @classmethod
    def read(cls, env: Environment) -> ModelEndpoint:
        try:
            tool_mode = ToolMode(env.text("TRIPTYCH_MODEL_TOOLS"))
        except ValueError:
            raise BadEnvironment("TRIPTYCH_MODEL_TOOLS is native, prompted or emulated") from None
        return cls(
            base_url=env.text("TRIPTYCH_MODEL_BASE_URL"),
            model=env.text("TRIPTYCH_MODEL"),
            api_key=env.text("TRIPTYCH_MODEL_API_KEY"),
            context_window=env.integer("TRIPTYCH_MODEL_CONTEXT_WINDOW"),
            timeout_seconds=env.number("TRIPTYCH_MODEL_TIMEOUT_SECONDS"),
            tool_mode=tool_mode,
        )

    def named(self, entry: NamedEndpoint, environ: Mapping[str, str]) -> ModelEndpoint:
        """A further endpoint; what its entry does not say is as here."""
        return ModelEndpoint(
            base_url=entry.base_url,
            model=entry.model,
            api_key=entry.api_key(environ),
            context_window=entry.context_window or self.context_window,
            timeout_seconds=entry.timeout_seconds or self.timeout_seconds,
            tool_mode=entry.tools,
        )


def _read_models(env: Environment) -> dict[str, ModelEndpoint]:
    default = ModelEndpoint.read(env)
    named = endpoints.read(_path(env, "TRIPTYCH_MODEL_ENDPOINTS"))
    return {"": default, **{name: default.named(entry, env.environ) for name, entry in named.items()}}


def _path(env: Environment, name: str) -> Path | None:
    return Path(text).expanduser() if (text := env.text(name)) else None


@dataclass(frozen=True)
class Limits:
    """`turn_seconds`: longest work on one turn; 0 for any. `queue_seconds`: longest wait for the turns before it.

    `words_seconds`: how long after its end a turn's journal keeps what recall keeps too.
    """

    turn_seconds: float
    queue_seconds: float
    words_seconds: float


@dataclass(frozen=True)
class SecretSettings:
    """Files with what encrypts users' secrets, and with what did so before, if it was changed."""

    file: Path
    former: Path | None

    @classmethod
    def read(cls, env: Environment) -> SecretSettings:
        own = env.text("TRIPTYCH_AGENT_SECRET_FILE")
        former = env.text("TRIPTYCH_AGENT_FORMER_SECRET_FILE")
        return cls(
            file=env.file("TRIPTYCH_AGENT_SECRET_FILE" if own else "TRIPTYCH_AGENT_SIGNING_KEY_FILE"),
            former=env.file("TRIPTYCH_AGENT_FORMER_SECRET_FILE") if former else None,
        )


@dataclass(frozen=True)
class Settings:
    """`advertised`: where other replicas reach this one; '' for the address that it binds.

    `models`: endpoints by name, the default one under ''. `prices`: a price list (agent_service.models.prices).
    """

    listen: str
    advertised: str
    dsn: str
    recall_address: str
    archival_address: str
    signing_key: Path
    gateway_key: Path
    models: Mapping[str, ModelEndpoint]
    prices: Path | None
    mcp: McpSettings
    python: PythonSettings
    secrets: SecretSettings
    # Users' model providers may be in this network too.
    private_providers: bool
    limits: Limits
    metrics_listen: str
    running: Running

    @classmethod
    def read(cls, env: Environment) -> Settings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        return cls(
            listen=env.listen("TRIPTYCH_AGENT_LISTEN"),
            advertised=env.text("TRIPTYCH_AGENT_ADVERTISED"),
            dsn=env.text("TRIPTYCH_AGENT_DSN"),
            recall_address=env.text("TRIPTYCH_RECALL_ADDRESS"),
            archival_address=env.text("TRIPTYCH_ARCHIVAL_ADDRESS"),
            signing_key=env.file("TRIPTYCH_AGENT_SIGNING_KEY_FILE"),
            gateway_key=env.file("TRIPTYCH_GATEWAY_VERIFY_KEY_FILE"),
            models=_read_models(env),
            prices=_path(env, "TRIPTYCH_MODEL_PRICES"),
            mcp=McpSettings(
                private_addresses=env.flag("TRIPTYCH_MCP_PRIVATE_ADDRESSES"),
                stdio=env.flag("TRIPTYCH_MCP_STDIO"),
                timeout_seconds=env.number("TRIPTYCH_MCP_TIMEOUT_SECONDS"),
            ),
            python=PythonSettings(
                enabled=env.flag("TRIPTYCH_PYTHON_TOOLS"), seconds=env.number("TRIPTYCH_PYTHON_TOOLS_SECONDS")
            ),
            secrets=SecretSettings.read(env),
            private_providers=env.flag("TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES"),
            limits=Limits(
                turn_seconds=env.number("TRIPTYCH_TURN_SECONDS"),
                queue_seconds=env.number("TRIPTYCH_TURN_QUEUE_SECONDS"),
                words_seconds=env.number("TRIPTYCH_TURN_WORDS_SECONDS"),
            ),
            metrics_listen=env.optional_listen("TRIPTYCH_AGENT_METRICS_LISTEN"),
            running=Running.read(env),
        )
