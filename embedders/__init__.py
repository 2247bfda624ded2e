"""Text → vectors, behind one protocol: two bundled ones, any OpenAI-compatible endpoint, models of fastembed."""

from embedders.protocol import Embedder, EmbedderUnavailable, LocalEmbedder, TextsRefused, Vectors
from embedders.settings import EmbedderSettings, open_embedder, open_word_vectors

__all__ = [
    "Embedder",
    "EmbedderSettings",
    "EmbedderUnavailable",
    "LocalEmbedder",
    "TextsRefused",
    "Vectors",
    "open_embedder",
    "open_word_vectors",
]
