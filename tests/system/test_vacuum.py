"""What was deleted is gone: from every answer at once, and after `triptych vacuum` from every file."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.scripted_model import ScriptedModel
from tests.support.up import run, up

# One a tier and one for what passes through the journal: single words, so that an index of words must drop them too. It
# keeps stems, which these are, and without the beginning that a word shares with the one before.
CORE, RECALL, ARCHIVAL, REPLACED = "qxvyplum", "jxvyfig", "wxvyoak", "vxvyash"
KEPT = "staysforever"


def _files_with(folder: Path, word: str) -> list[str]:
    return [str(file) for file in folder.rglob("*") if file.is_file() and word[1:].encode() in _content(file)]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # Edge writes beside a file and renames: what it wrote is then under the other name
        return b""


def test_a_deleted_agent_leaves_no_byte_in_any_file(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system, system.http() as http:
        kept, gone = (http.post("/v1/agents/", json={"name": name}).json()["id"] for name in ("kept", "gone"))
        blocks = [{"label": "human", "value": REPLACED}]
        gone_too = http.post("/v1/agents/", json={"name": "with-block", "memory_blocks": blocks}).json()["id"]

        def send(agent_id: str, text: str) -> None:
            answer = http.post(f"/v1/agents/{agent_id}/messages", json={"input": text})
            assert answer.status_code == 200, answer.text

        edit = json.dumps({"label": "human", "new_string": CORE})
        send(gone_too, f"[[call:memory_insert {edit}]] note")
        send(gone, f"{RECALL} under the flowerpot")
        fact = json.dumps({"content": f"{ARCHIVAL} is a glaciologist"})
        send(gone, f"[[call:archival_memory_insert {fact}]] save")
        send(kept, KEPT)
        for word in (CORE, RECALL, ARCHIVAL, REPLACED):
            assert _files_with(tmp_path, word), f"the test looks where nothing is: {word}"
        for agent_id in (gone, gone_too):
            assert http.delete(f"/v1/agents/{agent_id}").status_code == 200
        refused = run("vacuum", "--data", str(tmp_path))
        assert (refused.returncode, "Stop that one" in refused.stderr) == (1, True)
        system.stop()
    done = run("vacuum", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for word in (CORE, RECALL, ARCHIVAL, REPLACED):
        assert _files_with(tmp_path, word) == []
    assert _files_with(tmp_path, KEPT)
    with up(tmp_path, "--model-base-url", model.url) as system, system.http() as http:
        assert [agent["name"] for agent in http.get("/v1/agents/").json()] == ["kept"]
        found = http.post("/v1/messages/search", json={"query": KEPT}).json()
        assert found


def test_vacuum_of_no_directory_says_so(tmp_path: Path) -> None:
    done = run("vacuum", "--data", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "there is no" in done.stderr
    assert not (tmp_path / "none").exists()
