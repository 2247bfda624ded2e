"""Further endpoints, from a file of the operator's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent_service.models.types import ToolMode
from triptych.environment import BadEnvironment


class NamedEndpoint(BaseModel):
    """`api_key_variable`: the environment variable that holds the key, so that the file holds none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://")
    api_key_variable: str = ""
    model: str = ""
    context_window: int | None = Field(default=None, gt=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    tools: ToolMode = ToolMode.NATIVE

    def api_key(self, environ: Mapping[str, str]) -> str:
        """Raises: BadEnvironment if the variable is named and not set."""
        if self.api_key_variable and not environ.get(self.api_key_variable):
            raise BadEnvironment(f"TRIPTYCH_MODEL_ENDPOINTS names {self.api_key_variable}, which is not set")
        return environ.get(self.api_key_variable, "") if self.api_key_variable else ""


_FILE = TypeAdapter(dict[str, NamedEndpoint])


def read(path: Path | None) -> dict[str, NamedEndpoint]:
    """From a JSON file, by name: {"groq": {"base_url": "https://…/v1", "api_key_variable": "GROQ_API_KEY"}}.

    Raises: BadEnvironment if it is no such file.
    """
    if path is None:
        return {}
    try:
        found = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise BadEnvironment(f"TRIPTYCH_MODEL_ENDPOINTS: {path} can't be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadEnvironment(f"TRIPTYCH_MODEL_ENDPOINTS: {path}: {where}: {first['msg']}") from None
    if bad := [name for name in found if not name or "/" in name]:
        raise BadEnvironment(f"TRIPTYCH_MODEL_ENDPOINTS: {path}: {bad[0]!r} can't be the name of an endpoint")
    return found
