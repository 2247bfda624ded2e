"""WordLlama: token vectors, averaged. No network, no torch; 0.1 ms a text.

Archival's default, and what recall compares single words by.

The weights come in the wheel of the package `wordllama` (MIT). They are read directly: its own loader looks for the
tokenizer in a folder that its wheel does not have, and then asks a hub on the network.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedders.protocol import Vectors, normalised

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WEIGHTS = Path("weights") / "l2_supercat_256.safetensors"
_TOKENIZER = Path("tokenizers") / "l2_supercat_tokenizer_config.json"
# More texts than this are embedded in a thread: the loop must not stand still for longer than about a millisecond.
_INLINE_CHARACTERS = 4_000
# The average of more tokens than this says little; it bounds the memory that one giant text takes.
_MOST_TOKENS = 8_192
# So many tokens, of so many texts, are added up together: they take no more than about 30 MB.
_TOKENS_AT_ONCE, _TEXTS_AT_ONCE = 25_000, 500
# With four tokens a character these are not too many for the tokenizer.
_WORDS_AT_ONCE, _MOST_OF_A_WORD = 50, 40
# Vectors of single words kept: about 20 MB. Half of what is said is said with a few thousand words.
_MOST_KNOWN = 20_000
_FIRST_KNOWN = 1_000


class WordLlamaEmbedder:
    """Raises ImportError if the package `wordllama` is not installed, or is one without these weights."""

    model = "wordllama-l2-supercat-256"
    dimensions = 256

    def __init__(self) -> None:
        folder = _package_folder()
        if not ((folder / _WEIGHTS).is_file() and (folder / _TOKENIZER).is_file()):
            raise ImportError("this version of the package wordllama does not carry the weights l2_supercat_256")
        # Half precision, as they come, and widened as they are averaged.
        self._weights = _mapped(folder / _WEIGHTS)
        self._vocabulary = folder / _TOKENIZER
        self._loading = threading.Lock()
        self._known = _Known()

    @property
    def _tokenizer(self) -> Tokenizer:
        """Loaded when it is first needed: it takes a tenth of a second and 20 MB, and not every service embeds."""
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._vocabulary))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_MOST_TOKENS)
        return tokenizer

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if "_loaded" in vars(self) and sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self.embed_here(texts)
        return await asyncio.to_thread(self.embed_here, texts)

    async def close(self) -> None:
        return None

    def words(self, words: Sequence[str]) -> Vectors:
        """One row a word, of length 1; those asked for lately are remembered. Safe to call from several threads."""
        known = self._known
        if known.full:
            known = self._known = _Known()
        return known.of(words, self._embed_words)

    def _embed_words(self, words: Sequence[str]) -> Vectors:
        """As `embed_here` of each word's beginning, in a third of the time."""
        vectors: Vectors = np.zeros((len(words), self.dimensions), dtype=np.float32)
        for start in range(0, len(words), _WORDS_AT_ONCE):
            part = [word[:_MOST_OF_A_WORD] for word in words[start : start + _WORDS_AT_ONCE]]
            encoded = self._tokenizer.encode(part, is_pretokenized=True, add_special_tokens=False)
            if encoded.ids:
                of = np.array(encoded.word_ids)
                firsts = np.flatnonzero(np.diff(of, prepend=-1))
                tokens = self._weights[encoded.ids].astype(np.float32)
                # Sums do for averages: they are of length 1 in the end.
                vectors[start + of[firsts]] = np.add.reduceat(tokens, firsts, axis=0)
        return normalised(vectors)

    def embed_here(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        # Without the tokens' places in the text, which nobody asks for: in two thirds of the time.
        tokens = [each.ids for each in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        first = 0
        while first < len(tokens):
            ends = np.cumsum([len(each) for each in tokens[first : first + _TEXTS_AT_ONCE]])
            behind = first + max(1, int(np.searchsorted(ends, _TOKENS_AT_ONCE)))
            self._add_up(tokens[first:behind], vectors[first:behind])
            first = behind
        return normalised(vectors)

    def _add_up(self, texts: Sequence[Sequence[int]], sums: Vectors) -> None:
        """Of each text's tokens, into zeros. Sums do for averages: they are of length 1 in the end."""
        ids = np.fromiter(chain.from_iterable(texts), dtype=np.intp)
        # Most are there many times: each is read from the file and widened once.
        different, at = np.unique(ids, return_inverse=True)
        wide = self._weights[different].astype(np.float32)
        begin = 0
        for text, row in zip(texts, sums, strict=True):
            np.add.reduce(wide[at[begin : begin + len(text)]], axis=0, out=row)
            begin += len(text)


class _Known:
    """Vectors of words, in one table."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._used = 0
        self._table: Vectors = np.empty((_FIRST_KNOWN, WordLlamaEmbedder.dimensions), dtype=np.float32)

    @property
    def full(self) -> bool:
        return self._used > _MOST_KNOWN

    def of(self, words: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        """One row a word; `embed` gives those that are not known."""
        rows = self._rows
        try:
            at = [rows[word] for word in words]
        except KeyError:
            new = [word for word in dict.fromkeys(words) if word not in rows]
            self._add(new, embed(new))
            at = [rows[word] for word in words]
        return self._table[at]

    def _add(self, words: list[str], vectors: Vectors) -> None:
        with self._lock:
            first = self._used
            if first + len(words) > len(self._table):
                more = np.empty_like(self._table, shape=(2 * (first + len(words)), self._table.shape[1]))
                more[:first] = self._table[:first]
                self._table = more
            # Another thread may have added one of them meanwhile: then it has two rows, which say the same.
            self._used += len(words)
            self._table[first : first + len(words)] = vectors
            self._rows.update(zip(words, range(first, first + len(words)), strict=True))


def _mapped(path: Path) -> NDArray[np.float16]:
    """The file's one tensor, in its place: a process holds only the pages with tokens that it has met.

    The format: the header's length (8 bytes, little-endian), the header (JSON), the numbers.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    (tensor,) = (each for name, each in header.items() if name != "__metadata__")
    if tensor["dtype"] != "F16":
        raise ImportError(f"the weights of the package wordllama are {tensor['dtype']}, not F16")
    begins = 8 + length + tensor["data_offsets"][0]
    return np.asarray(np.memmap(path, np.float16, "r", begins, tuple(tensor["shape"])))


def _package_folder() -> Path:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the bundled embedder needs the package wordllama")
    return Path(next(iter(spec.submodule_search_locations)))
