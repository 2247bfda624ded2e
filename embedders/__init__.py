"""Text → vectors, behind one protocol: the bundled default, and any OpenAI-compatible /v1/embeddings."""

from embedders.protocol import Embedder, Vectors
from embedders.settings import EmbedderSettings, open_embedder

__all__ = ["Embedder", "EmbedderSettings", "Vectors", "open_embedder"]
