"""Server-sent events, as endpoints send them: of each event only its data.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator

from agent_service.models.failures import garbage

_MOST_BYTES = 32_000_000


async def events(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, in whatever pieces its bytes come. Raises: Unavailable MODEL_GARBAGE for one too long."""
    reader = Reader()
    async for piece in pieces:
        for data in reader.feed(piece):
            yield data
    for data in reader.end():
        yield data


class Reader:
    """Lines end with LF or CRLF (what ends them with CR alone is not in use)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The events that are whole with this piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            raise garbage("an event of its stream is too long")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))

    def end(self) -> Iterator[bytes]:
        """What was not ended by an empty line, as some endpoints leave their last event."""
        rest, self._rest = self._rest, b""
        yield from self._line(rest.removesuffix(b"\r"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            yield data
