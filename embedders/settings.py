"""Which embedder to use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedders.protocol import Embedder
from triptych import environment
from triptych.environment import BadEnvironment

if TYPE_CHECKING:
    from embedders.wordllama import WordLlamaEmbedder

_COMMON = "TRIPTYCH_EMBEDDER"
_NEEDS = {
    "openai": ("BASE_URL", "MODEL", "DIMENSIONS"),
    "fastembed": ("MODEL",),
    "bundled": (),
    "use": (),
    "wordllama": (),
}
# What `bundled` means. Recall's texts are few and short, and asked for in other words: a better model pays there.
# Archival takes documents by the thousand passages, for which only the faster one will do. docs/retrieval.md measures.
_BUNDLED = {"RECALL": "use"}
_BUNDLED_ELSEWHERE = "wordllama"


@dataclass(frozen=True)
class EmbedderSettings:
    """`kind`: `use`, `wordllama`, `openai` or `fastembed`; `dimensions`: 0 where the model says it itself."""

    kind: str
    base_url: str
    model: str
    api_key: str = field(repr=False)
    dimensions: int
    per_second: float
    cache_bytes: int
    deadline_seconds: float

    @classmethod
    def read(cls, environ: Mapping[str, str], service: str = "") -> EmbedderSettings:
        """The embedder of `service` (`RECALL` or `ARCHIVAL`) if that has one of its own, else the common one.

        One of its own is wholly its own: a key is never sent to an endpoint that it was not given for.
        Raises: BadEnvironment naming the variable that is missing or wrong.
        """
        prefix = _prefix(environ, service)
        kind = environment.get(environ, prefix)
        if kind not in _NEEDS:
            raise BadEnvironment(f"{prefix} is bundled or openai or fastembed or use or wordllama, not {kind!r}")
        if kind == "bundled":
            kind = _BUNDLED.get(service, _BUNDLED_ELSEWHERE)
        base_url, model, api_key, dimensions = (
            environment.get(environ, f"{prefix}_{name}") for name in ("BASE_URL", "MODEL", "API_KEY", "DIMENSIONS")
        )
        length = int(dimensions) if dimensions.isdecimal() else 0
        given = {"BASE_URL": base_url, "MODEL": model, "DIMENSIONS": length}
        if not all(given[name] for name in _NEEDS[kind]):
            needed = ", ".join(f"{prefix}_{name}" for name in _NEEDS[kind])
            raise BadEnvironment(f"{prefix}={kind} needs {needed} (DIMENSIONS: a whole number)")
        return cls(
            kind,
            base_url,
            model,
            api_key,
            length,
            per_second=_number(environ, "TRIPTYCH_EMBEDDER_REQUESTS_PER_SECOND"),
            cache_bytes=int(_number(environ, "TRIPTYCH_EMBEDDER_CACHE_MB") * 1024 * 1024),
            deadline_seconds=_number(environ, "TRIPTYCH_EMBEDDER_TIMEOUT_SECONDS", least=0.1),
        )


def _prefix(environ: Mapping[str, str], service: str) -> str:
    own = f"TRIPTYCH_{service}_EMBEDDER"
    if service and environ.get(own):
        return own
    if service and (stray := [name for name in sorted(environ) if name.startswith(f"{own}_") and environ[name]]):
        raise BadEnvironment(f"{stray[0]} is set and {own} is not: set that too, or TRIPTYCH_EMBEDDER… for both tiers")
    return _COMMON


def _number(environ: Mapping[str, str], name: str, least: float = 0.0) -> float:
    text = environment.get(environ, name)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value < float("inf"):
        raise BadEnvironment(f"{name} must be a number of {least:g} or more, not {text!r}")
    return value


def open_embedder(settings: EmbedderSettings) -> Embedder:
    """Loads it. All but the bundled ones are wrapped: a cache without, within it a breaker and a deadline.

    Raises: BadEnvironment if what it needs is not installed, or its model can't be had.
    """
    if settings.kind in ("use", "wordllama"):
        return _open_bundled(settings.kind)
    from embedders.breaker import BreakingEmbedder
    from embedders.cached import CachedEmbedder

    plain = _open_fastembed(settings) if settings.kind == "fastembed" else _open_openai(settings)
    return CachedEmbedder(
        BreakingEmbedder(plain, deadline_seconds=settings.deadline_seconds), most_bytes=settings.cache_bytes
    )


@functools.cache
def _open_bundled(kind: str) -> Embedder:
    """One for all services of a process: it keeps nothing between texts, and its weights are loaded once."""
    try:
        if kind == "use":
            from embedders.sentence import SentenceEmbedder

            return SentenceEmbedder()
        return open_word_vectors()
    except ImportError as error:
        raise BadEnvironment(
            f"the embedder {kind}: {error}; install 'triptych[server]', or set TRIPTYCH_EMBEDDER=openai and an endpoint"
        ) from error


@functools.cache
def open_word_vectors() -> WordLlamaEmbedder:
    """Vectors of single words, beside any embedder. Raises: ImportError if their package is not installed."""
    from embedders.wordllama import WordLlamaEmbedder

    return WordLlamaEmbedder()


def _open_openai(settings: EmbedderSettings) -> Embedder:
    from embedders.openai import OpenAIEmbedder

    return OpenAIEmbedder(
        settings.base_url.rstrip("/"),
        settings.model,
        settings.api_key,
        settings.dimensions,
        per_second=settings.per_second,
    )


def _open_fastembed(settings: EmbedderSettings) -> Embedder:
    from embedders.fast import FastEmbedder

    try:
        return FastEmbedder(settings.model)
    except ImportError as error:
        raise BadEnvironment("the embedder fastembed is not installed: pip install 'triptych[fastembed]'") from error
    except Exception as error:  # whatever its download raises: the network, a disk, a name that it does not know
        raise BadEnvironment(f"fastembed can't open the model {settings.model!r}: {error}") from error
