"""`triptych archival migrate` and `reembed`, on the directory of a stopped system."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from tests.support.qdrant_facade import serving
from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, run, up


async def test_passages_move_to_a_server_and_are_found_there(tmp_path: Path, model: ScriptedModel) -> None:
    data = ["--data", str(tmp_path)]
    command = partial(asyncio.to_thread, run)

    def fill() -> None:
        with up(tmp_path, "--model-base-url", model.url) as system, system.http() as http:
            agent_id = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
            for text in ("a red boat", "a blue boat"):
                http.post(f"/v1/agents/{agent_id}/archival-memory", json={"text": text})

    await asyncio.to_thread(fill)
    async with serving() as facade:
        done = await command("archival", "migrate", facade.url, *data)
        assert done.returncode == 0, done.stderr
        assert "2 passages are there, counted and found" in done.stdout
        environ = {"TRIPTYCH_ARCHIVAL_QDRANT_URL": facade.url}
        system = await asyncio.to_thread(partial(Up, tmp_path, "--model-base-url", model.url, environ=environ))
        try:
            found = await command("archival", "search", "blue", *data)
            assert "a blue boat" in found.stdout
        finally:
            await asyncio.to_thread(system.stop)
    gone = await command("archival", "migrate", facade.url, *data)
    assert gone.returncode == 1
    assert facade.url in gone.stderr


def test_reembedding_with_the_same_embedder_has_nothing_to_do(tmp_path: Path) -> None:
    done = run("archival", "reembed", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "all vectors are of the configured embedder" in done.stdout
