"""HTML: what a reader of the page sees, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from archival_service.readers.decoding import decode
from archival_service.readers.text import Block, Unreadable, clean

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = {"script", "style", "template", "noscript", "iframe", "object", "svg", "select", "button"}
# What stands in a line with its neighbours; everything else begins a block of its own.
_INLINE = set(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rp rt ruby s samp small span "
    "strike strong sub sup time tt u var wbr td th img input".split()
)
_CELLS = {"td", "th"}
_SPACE = re.compile(r"\s+")


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable."""
    # libxml2 wants no encoding declared in what is decoded already, so it gets bytes of a known one.
    raw = clean(decode(data)).encode()
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError:
        root = None
    for fault in parser.error_log.filter_from_fatals():  # it stopped there: what comes behind would be left out
        if fault.type == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError
        raise Unreadable("its elements are nested too deep")
    if root is None:
        raise Unreadable("no text found in it")
    yield from _Walk().blocks(root)


class _Walk:
    """Goes through the tree without recursion: pages can be nested deeper than Python can call."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._level = 0
        self._as_it_is = 0
        self._hidden = 0

    def blocks(self, root: etree._Element) -> Iterator[Block]:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            tag = str(element.tag).lower()
            if tag not in _INLINE:
                yield from self._flush()
            if event == "start":
                self._start(tag)
                self._say(element.text)
            else:
                self._end(tag)
                self._say(element.tail)
        yield from self._flush()

    def _start(self, tag: str) -> None:
        self._hidden += tag in _HIDDEN
        self._as_it_is += tag == "pre"
        if tag in _HEADINGS:
            self._level = _HEADINGS[tag]

    def _end(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        self._as_it_is -= tag == "pre"
        if tag in _HEADINGS:
            self._level = 0
        if tag in _CELLS:
            self._words.append(" | ")

    def _say(self, text: str | None) -> None:
        if text and not self._hidden:
            self._words.append(text if self._as_it_is else _SPACE.sub(" ", text))

    def _flush(self) -> Iterator[Block]:
        text = "".join(self._words).strip()
        self._words.clear()
        if not self._as_it_is:
            text = re.sub(r" {2,}", " ", text.removesuffix("|").strip())
        if text:
            yield Block(text, self._level)
