"""Which processes make a system, and the environment of each."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triptych.cli.up import signing_keys
from triptych.cli.up.data_dir import DataDir
from triptych.cli.up.model import LOCAL_CONTEXT_WINDOW, LOCAL_MODEL, LOCAL_TIMEOUT_SECONDS, ModelChoice
from triptych.cli.up.process import Process, clean_environment
from triptych.environment import VARIABLES

_TIMEOUT = "TRIPTYCH_MODEL_TIMEOUT_SECONDS"
SERVICES = ("recall_service", "archival_service", "agent_service", "gateway")
# Settings that a user may give in the environment of `up` and that go on to the services they are for.
_PASSED_ON = {
    "recall_service": (
        "TRIPTYCH_EMBEDDER",
        "TRIPTYCH_RECALL_EMBEDDER",
        "TRIPTYCH_RECALL_METRICS",
        "TRIPTYCH_LOG",
        "TRIPTYCH_DRAIN",
        "TRIPTYCH_REFLECTION",
    ),
    "archival_service": (
        "TRIPTYCH_EMBEDDER",
        "TRIPTYCH_ARCHIVAL_EMBEDDER",
        "TRIPTYCH_ARCHIVAL_QDRANT",
        "TRIPTYCH_ARCHIVAL_METRICS",
        "TRIPTYCH_DOCUMENT",
        "TRIPTYCH_LOG",
        "TRIPTYCH_DRAIN",
        "TRIPTYCH_REFLECTION",
    ),
    "agent_service": (
        "TRIPTYCH_MODEL_CONTEXT_WINDOW",
        "TRIPTYCH_MODEL_ENDPOINTS",
        "TRIPTYCH_MODEL_PRICES",
        _TIMEOUT,
        "TRIPTYCH_MODEL_TOOLS",
        "TRIPTYCH_PROVIDER",
        "TRIPTYCH_TURN",
        "TRIPTYCH_MCP",
        "TRIPTYCH_PYTHON_TOOLS",
        "TRIPTYCH_AGENT_METRICS",
        "TRIPTYCH_AGENT_SECRET",
        "TRIPTYCH_AGENT_FORMER_SECRET",
        "TRIPTYCH_LOG",
        "TRIPTYCH_DRAIN",
        "TRIPTYCH_REFLECTION",
    ),
    "gateway": (
        "TRIPTYCH_OIDC",
        "TRIPTYCH_LIMIT",
        "TRIPTYCH_CORS",
        "TRIPTYCH_GATEWAY_SECRET",
        "TRIPTYCH_GATEWAY_METRICS",
        "TRIPTYCH_LOG",
        "TRIPTYCH_DRAIN",
        "TRIPTYCH_REFLECTION",
    ),
}
# Settings that `up` itself reads, and those of programs that use what it started.
_OWN = (
    "TRIPTYCH_DATA",
    "TRIPTYCH_ADDRESS",
    "TRIPTYCH_API_KEY",
    "TRIPTYCH_USER",
    "TRIPTYCH_MODEL",
    "TRIPTYCH_MODEL_BASE_URL",
    "TRIPTYCH_MODEL_API_KEY",
)


def stores(path: Path) -> dict[str, dict[str, str]]:
    """Where each service keeps what it has, in the data directory `path`."""
    return {
        "recall_service": {"TRIPTYCH_RECALL_DSN": f"sqlite:///{path / 'recall.db'}"},
        "archival_service": {
            "TRIPTYCH_ARCHIVAL_DSN": f"sqlite:///{path / 'archival.db'}",
            "TRIPTYCH_ARCHIVAL_INDEX": str(path / "archival-index"),
        },
        "agent_service": {"TRIPTYCH_AGENT_DSN": f"sqlite:///{path / 'agent.db'}"},
        "gateway": {"TRIPTYCH_GATEWAY_DSN": f"sqlite:///{path / 'gateway.db'}"},
    }


def passed_on(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What of a user's environment is for this service."""
    passed = {key: value for key, value in environ.items() if key.startswith(_PASSED_ON[service])}
    keys = _keys_of_endpoints(environ) if service == "agent_service" else ()
    return passed | {key: environ[key] for key in keys if key in environ}


def _keys_of_endpoints(environ: Mapping[str, str]) -> set[str]:
    """The variables that the file of TRIPTYCH_MODEL_ENDPOINTS names. What is wrong with the file the service says."""
    try:
        endpoints = json.loads(Path(environ["TRIPTYCH_MODEL_ENDPOINTS"]).read_text())
        return {str(each["api_key_variable"]) for each in endpoints.values() if "api_key_variable" in each}
    except (KeyError, OSError, ValueError, AttributeError, TypeError):
        return set()


def without_effect(names: Iterable[str]) -> list[str]:
    """Which of these settings `up` has no use for: it makes its own keys, stores and addresses."""
    used = tuple(prefix for prefixes in _PASSED_ON.values() for prefix in prefixes)
    return sorted(name for name in names if name in VARIABLES and name not in _OWN and not name.startswith(used))


@dataclass
class Plan:
    """Call `services` when the local model (if there is one) is up and its URL known."""

    data: DataDir
    model: ModelChoice
    http_port: int
    grpc_port: int
    environ: Mapping[str, str]
    # Sockets have short paths by law of the kernel, and data directories need not.
    sockets: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="triptych-")))

    def local_model(self) -> Process | None:
        if self.model.weights is None:
            return None
        module = "triptych.cli.up.local_server"
        return Process("local_model", module, clean_environment(), self._log("local_model"), [str(self.model.weights)])

    def services(self, model_url: str) -> list[Process]:
        """In the order in which they are named; they may all start at once."""
        own, kept = self._own_settings(model_url), stores(self.data.path)
        return [
            Process(
                name,
                name,
                clean_environment() | passed_on(name, self.environ) | own[name] | kept[name],
                self._log(name),
            )
            for name in SERVICES
        ]

    def remove_sockets(self) -> None:
        for path in self.sockets.iterdir():
            path.unlink()
        self.sockets.rmdir()

    def _own_settings(self, model_url: str) -> dict[str, dict[str, str]]:
        keys = self.data.sub("keys")
        gateway_key, gateway_public = signing_keys.ensure(keys, "gateway")
        agent_key, agent_public = signing_keys.ensure(keys, "agent_service")
        tier = {
            "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(gateway_public),
            "TRIPTYCH_AGENT_VERIFY_KEY_FILE": str(agent_public),
        }
        addresses = {
            "TRIPTYCH_RECALL_ADDRESS": self._socket("recall"),
            "TRIPTYCH_ARCHIVAL_ADDRESS": self._socket("archival"),
            "TRIPTYCH_AGENT_ADDRESS": self._socket("agent"),
        }
        return {
            "recall_service": {
                **tier,
                "TRIPTYCH_RECALL_LISTEN": self._socket("recall"),
            },
            "archival_service": {
                **tier,
                "TRIPTYCH_ARCHIVAL_LISTEN": self._socket("archival"),
            },
            "agent_service": {
                **addresses,
                **self._model_settings(model_url),
                "TRIPTYCH_AGENT_LISTEN": self._socket("agent"),
                "TRIPTYCH_AGENT_SIGNING_KEY_FILE": str(agent_key),
                "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE": str(gateway_public),
            },
            "gateway": {
                **addresses,
                "TRIPTYCH_GATEWAY_GRPC_LISTEN": f"127.0.0.1:{self.grpc_port}",
                "TRIPTYCH_GATEWAY_HTTP_LISTEN": f"127.0.0.1:{self.http_port}",
                "TRIPTYCH_GATEWAY_SIGNING_KEY_FILE": str(gateway_key),
                "TRIPTYCH_FIRST_KEY_FILE": str(keys / "first_api_key"),
            },
        }

    def _model_settings(self, model_url: str) -> dict[str, str]:
        if self.model.weights is not None:
            return {
                "TRIPTYCH_MODEL_BASE_URL": f"{model_url}/v1",
                "TRIPTYCH_MODEL": LOCAL_MODEL,
                "TRIPTYCH_MODEL_CONTEXT_WINDOW": str(LOCAL_CONTEXT_WINDOW),
                "TRIPTYCH_MODEL_TOOLS": "emulated",
                _TIMEOUT: self.environ.get(_TIMEOUT, str(LOCAL_TIMEOUT_SECONDS)),
            }
        return {
            "TRIPTYCH_MODEL_BASE_URL": self.model.base_url,
            "TRIPTYCH_MODEL": self.model.name,
            "TRIPTYCH_MODEL_API_KEY": self.model.api_key,
        }

    def _socket(self, name: str) -> str:
        return f"unix:{self.sockets / name}"

    def _log(self, name: str) -> Path:
        path = self.data.sub("logs") / f"{name}.log"
        if path.exists():
            os.replace(path, path.with_suffix(".log.1"))
        return path
