"""Settings of agent_service, read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent_service.models.types import ToolMode
from agent_service.tool_settings import McpSettings, PythonSettings
from servicekit.settings import Environment, Running
from triptych.environment import BadEnvironment


@dataclass(frozen=True)
class ModelEndpoint:
    """`model`: the default model's name; '' takes the first that the endpoint lists. `context_window`: tokens.

    `prices`: a price list (see agent_service.models.prices), if there is one.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)
    context_window: int
    timeout_seconds: float
    tool_mode: ToolMode
    prices: Path | None = None

    @classmethod
    def read(cls, env: Environment) -> ModelEndpoint:
        try:
            tool_mode = ToolMode(env.text("TRIPTYCH_MODEL_TOOLS"))
        except ValueError:
            raise BadEnvironment("TRIPTYCH_MODEL_TOOLS is native or emulated") from None
        return cls(
            base_url=env.text("TRIPTYCH_MODEL_BASE_URL"),
            model=env.text("TRIPTYCH_MODEL"),
            api_key=env.text("TRIPTYCH_MODEL_API_KEY"),
            context_window=env.integer("TRIPTYCH_MODEL_CONTEXT_WINDOW"),
            timeout_seconds=env.number("TRIPTYCH_MODEL_TIMEOUT_SECONDS"),
            tool_mode=tool_mode,
            prices=Path(prices) if (prices := env.text("TRIPTYCH_MODEL_PRICES")) else None,
        )


@dataclass(frozen=True)
class Settings:
    """`advertised`: where other replicas reach this one; '' for the address that it binds."""

    listen: str
    advertised: str
    dsn: str
    recall_address: str
    archival_address: str
    signing_key: Path
    gateway_key: Path
    model: ModelEndpoint
    mcp: McpSettings
    python: PythonSettings
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
            model=ModelEndpoint.read(env),
            mcp=McpSettings(
                private_addresses=env.flag("TRIPTYCH_MCP_PRIVATE_ADDRESSES"),
                stdio=env.flag("TRIPTYCH_MCP_STDIO"),
                timeout_seconds=env.number("TRIPTYCH_MCP_TIMEOUT_SECONDS"),
            ),
            python=PythonSettings(
                enabled=env.flag("TRIPTYCH_PYTHON_TOOLS"), seconds=env.number("TRIPTYCH_PYTHON_TOOLS_SECONDS")
            ),
            running=Running.read(env),
        )
