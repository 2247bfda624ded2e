"""llama.cpp's OpenAI-compatible server over a model file: `python -m triptych.cli.up.local_server WEIGHTS PORT`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from triptych.cli.up.model import LOCAL_CONTEXT_WINDOW, LOCAL_MODEL, LOCAL_MOST_TOKENS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    arguments = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = arguments.weights
    params.model_alias = {LOCAL_MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = LOCAL_CONTEXT_WINDOW
    params.n_parallel = 1
    params.n_predict = LOCAL_MOST_TOKENS
    # As the model's makers advise; and DRY, without which it repeats itself until it is cut off.
    params.sampling.temp, params.sampling.top_p = 0.2, 0.9
    params.sampling.dry_multiplier = 0.8
    server = xllamacpp.Server(params)
    print(json.dumps({"service": "local_model", "http": server.listening_address}), flush=True)
    _wait(supervised=arguments.supervised)


def _wait(*, supervised: bool) -> None:
    """Until SIGTERM or SIGINT, or until the supervisor at the other end of stdin is gone."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        threading.Thread(target=_stop_at_end_of_stdin, args=[stop], daemon=True).start()
    stop.wait()


def _stop_at_end_of_stdin(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
