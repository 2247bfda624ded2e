"""A real HTTP server that answers /v1/embeddings as a test wants it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 4

# Given the texts: the status and the body.
Answer = Callable[[list[str]], tuple[int, bytes]]


def vectors(texts: list[str]) -> tuple[int, bytes]:
    """A good answer, its rows in reverse: a text's vector points along the axis of its length modulo 4."""
    rows = [
        {"index": at, "embedding": [3.0 if axis == len(text) % DIMENSIONS else 0.0 for axis in range(DIMENSIONS)]}
        for at, text in enumerate(texts)
    ]
    return 200, json.dumps({"object": "list", "data": rows[::-1]}).encode()


class EmbeddingsServer:
    """`answers`: used up one a request, then `vectors`. `asked`: the bodies that came. `headers`: of each answer."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.always: Answer = vectors
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.base_url = ""
        self.headers: dict[str, str] = {}

    def answer(self, body: dict[str, Any], key: str) -> tuple[int, bytes]:
        self.asked.append(body)
        self.keys.append(key)
        answer = self.answers.pop(0) if self.answers else self.always
        return answer(body["input"])


@contextmanager
def serving() -> Iterator[EmbeddingsServer]:
    script = EmbeddingsServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = script.answer(body, self.headers.get("authorization", ""))
            if self.path != "/v1/embeddings":
                status = 404
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
