"""What we make of fastembed, which is an extra: here a stand-in with its names, which downloads nothing.

With the real one (0.9.1), offline and with a model's directory, the same was tried by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from embedders import EmbedderSettings, EmbedderUnavailable, open_embedder
from triptych.environment import BadEnvironment

_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class TextEmbedding:
    """As fastembed's: rows of no certain length, one after the other; blank texts would have one too."""

    def __init__(self, model_name: str, specific_model_path: str | None = None) -> None:
        if model_name != _MODEL:
            raise ValueError(f"Model {model_name} is not supported in TextEmbedding.")
        self.directory = specific_model_path

    def embed(self, documents: list[str]) -> Iterator[np.ndarray]:
        for text in documents:
            if text == "breaks":
                raise RuntimeError("onnx")
            yield np.array([3.0, 4.0, float(len(text) % 2)], dtype=np.float32)


@pytest.fixture(autouse=True)
def fastembed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fastembed")
    module.TextEmbedding = TextEmbedding  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastembed", module)


def _settings(model: str) -> EmbedderSettings:
    return EmbedderSettings.read({"TRIPTYCH_EMBEDDER": "fastembed", "TRIPTYCH_EMBEDDER_MODEL": model})


async def test_rows_are_of_length_one_and_blank_texts_zero() -> None:
    embedder = open_embedder(_settings(_MODEL))
    vectors = await embedder.embed(["ab", " ", "abc"])
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 0, 1])
    assert (embedder.model, embedder.dimensions) == (f"fastembed/{_MODEL}", 3)
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["ab", "breaks"])
    await embedder.close()


async def test_a_models_directory_is_taken_in_place_of_a_download_and_is_no_part_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str | None] = []
    first = TextEmbedding.__init__

    def noted(self: TextEmbedding, model_name: str, specific_model_path: str | None = None) -> None:
        first(self, model_name, specific_model_path)
        opened.append(specific_model_path)

    monkeypatch.setattr(TextEmbedding, "__init__", noted)
    for model in (_MODEL, f"{_MODEL}@/models/minilm"):
        embedder = open_embedder(_settings(model))
        assert embedder.model == f"fastembed/{_MODEL}"
        await embedder.close()
    assert opened == [None, "/models/minilm"]


def test_a_model_that_it_does_not_have_is_named() -> None:
    with pytest.raises(BadEnvironment, match="can't open the model 'no/such': Model no/such is not supported"):
        open_embedder(_settings("no/such"))
