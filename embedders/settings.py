"""Which embedder to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from embedders.protocol import Embedder
from triptych import environment
from triptych.environment import BadEnvironment


@dataclass(frozen=True)
class EmbedderSettings:
    """`kind`: `bundled` or `openai`; the rest is for the latter."""

    kind: str
    base_url: str
    model: str
    api_key: str = field(repr=False)
    dimensions: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> EmbedderSettings:
        """Raises: BadEnvironment naming the variable that is missing or wrong."""
        kind = environment.get(environ, "TRIPTYCH_EMBEDDER")
        if kind not in ("bundled", "openai"):
            raise BadEnvironment(f"TRIPTYCH_EMBEDDER is bundled or openai, not {kind!r}")
        base_url = environment.get(environ, "TRIPTYCH_EMBEDDER_BASE_URL")
        model = environment.get(environ, "TRIPTYCH_EMBEDDER_MODEL")
        dimensions = environment.get(environ, "TRIPTYCH_EMBEDDER_DIMENSIONS")
        length = int(dimensions) if dimensions.isdecimal() else 0
        if kind == "openai" and not (base_url and model and length):
            raise BadEnvironment(
                "TRIPTYCH_EMBEDDER=openai needs TRIPTYCH_EMBEDDER_BASE_URL, TRIPTYCH_EMBEDDER_MODEL and "
                "TRIPTYCH_EMBEDDER_DIMENSIONS (a whole number)"
            )
        api_key = environment.get(environ, "TRIPTYCH_EMBEDDER_API_KEY")
        return cls(kind, base_url, model, api_key, length)


def open_embedder(settings: EmbedderSettings) -> Embedder:
    """Loads it. Raises: BadEnvironment if what it needs is not installed."""
    if settings.kind == "bundled":
        from embedders.bundled import BundledEmbedder

        try:
            return BundledEmbedder()
        except ImportError as error:
            raise BadEnvironment(
                f"TRIPTYCH_EMBEDDER=bundled: {error}; or set TRIPTYCH_EMBEDDER=openai and an endpoint"
            ) from error
    from embedders.openai import OpenAIEmbedder

    return OpenAIEmbedder(settings.base_url.rstrip("/"), settings.model, settings.api_key, settings.dimensions)
