"""Text → vectors, behind one protocol: the bundled default, any OpenAI-compatible endpoint, models of fastembed."""

from embedders.protocol import Embedder, EmbedderUnavailable, TextsRefused, Vectors
from embedders.settings import EmbedderSettings, open_embedder

__all__ = ["Embedder", "EmbedderSettings", "EmbedderUnavailable", "TextsRefused", "Vectors", "open_embedder"]
