"""Documents are cut along their structure, and nothing of them is lost."""

from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from archival_service.chunking import LEAST, OVERLAP, TARGET, Chunk, chunks
from archival_service.readers.text import Block, Document, Unreadable, assemble

SENTENCES = " ".join(f"This is sentence number {number}." for number in range(200))

texts = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab .\n", max_size=3000),
    st.text(alphabet="é\u0301\u200d👩🏽", min_size=900, max_size=2000),
    st.builds(str.__mul__, st.sampled_from(["word ", "x", "a. ", "   ", "。"]), st.integers(0, 900)),
)
blocks = st.builds(Block, texts, st.integers(0, 6), st.integers(0, 3))


def cut(*parts: Block) -> tuple[Document, list[Chunk]]:
    document = assemble(parts)
    return document, list(chunks(document))


@settings(deadline=None)  # a busy machine is no fault of the chunks
@given(st.lists(blocks, max_size=30))
def test_chunks_are_the_documents_own_text_in_order_and_all_of_it(parts: list[Block]) -> None:
    try:
        document, found = cut(*parts)
    except Unreadable:
        assert not any(part.text.replace("\0", "").strip() for part in parts)
        return
    covered = 0
    for before, chunk in zip([None, *found], found, strict=False):
        assert chunk.text == document.text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert not document.text[covered : chunk.start].strip()
        assert len(chunk.text) <= TARGET + 2 * OVERLAP
        assert before is None or (before.start < chunk.start and before.end < chunk.end)
        covered = chunk.end
    assert covered == len(document.text)


def test_a_long_paragraph_is_cut_between_sentences_and_neighbours_share_one() -> None:
    _, found = cut(Block(SENTENCES))
    assert len(found) > 5
    for one, two in itertools.pairwise(found):
        assert one.text.endswith(".")
        assert two.text.startswith("This is")
        assert 0 < one.end - two.start <= OVERLAP


def test_a_word_is_cut_only_if_it_is_longer_than_a_passage() -> None:
    words = " ".join(f"word{number}" for number in range(2000))
    _, found = cut(Block(words))
    assert {word for chunk in found for word in chunk.text.split()} == set(words.split())
    _, found = cut(Block("x" * 3 * TARGET))
    assert [len(chunk.text) for chunk in found] == [TARGET] * 3


def test_no_character_is_cut_from_its_accents() -> None:
    _, found = cut(Block("e\u0301" * TARGET))
    assert all(re.fullmatch("(e\u0301)+", chunk.text) for chunk in found)


def test_a_section_begins_a_passage_and_is_named_in_it() -> None:
    long = "word " * (LEAST // 5)
    _, found = cut(
        Block("Boats", 1), Block(long), Block("Cost", 2), Block(long), Block("In May", 2), Block(long), Block("Cats", 1)
    )
    assert [chunk.headings for chunk in found] == [("Boats",), ("Boats", "Cost"), ("Boats", "In May"), ("Cats",)]
    assert [chunk.text.split("\n")[0] for chunk in found] == ["Boats", "Cost", "In May", "Cats"]


def test_a_heading_stays_with_what_it_is_the_heading_of() -> None:
    _, found = cut(Block("a " * 50), Block("Cost", 1), Block("b " * 380))
    assert [chunk.text[:4] for chunk in found] == ["a a ", "Cost"]


def test_a_heading_as_long_as_a_paragraph_is_none() -> None:
    _, found = cut(Block("word " * 300, 1), Block("word " * 100))
    assert {chunk.headings for chunk in found} == {()}


def test_short_sections_share_a_passage() -> None:
    _, found = cut(*(block for number in range(4) for block in (Block(f"Q{number}", 1), Block("short"))))
    assert len(found) == 1


def test_a_passage_knows_the_page_that_what_is_new_in_it_begins_on() -> None:
    _, found = cut(Block("a " * 300, page=1), Block("b " * 300, page=2), Block("c " * 300, page=3))
    assert [chunk.page for chunk in found] == [1, 2, 3]
    assert found[1].text.startswith("a")
