"""The promise of the whole: what an agent was told outlives everything, and only its user sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, run, up
from triptych import Triptych
from triptych.errors import NotFound

HUMAN, RECALLED, ARCHIVED = "allergic to walnuts", "the spare key is under the third flowerpot", "Eva is a glaciologist"


def send(http: httpx.Client, agent_id: str, text: str, path: str = "messages") -> list[dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": text}]}
    answer = http.post(f"/v1/agents/{agent_id}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    messages: list[dict[str, Any]] = answer.json()["messages"]
    return messages


def returned(messages: list[dict[str, Any]]) -> str:
    return next(m["tool_return"] for m in messages if m["message_type"] == "tool_return_message")


def told(http: httpx.Client) -> str:
    """A new agent that has saved a fact in each tier by its own tools."""
    blocks = [{"label": "human", "value": "Name: Ann."}, {"label": "persona", "value": "I am a helper."}]
    agent_id: str = http.post("/v1/agents/", json={"name": "keeper", "memory_blocks": blocks}).json()["id"]
    edit = json.dumps({"label": "human", "new_string": HUMAN})
    send(http, agent_id, f"[[call:memory_insert {edit}]] note")
    send(http, agent_id, RECALLED)
    fact = json.dumps({"content": ARCHIVED, "tags": ["family"]})
    send(http, agent_id, f"[[call:archival_memory_insert {fact}]] save")
    return agent_id


def assert_knows(http: httpx.Client, agent_id: str) -> None:
    assert HUMAN in send(http, agent_id, "[[recite]]")[0]["content"]
    search = json.dumps({"query": "where is the spare key"})
    assert RECALLED in returned(send(http, agent_id, f"[[call:conversation_search {search}]] look"))
    search = json.dumps({"query": "glaciologist"})
    assert ARCHIVED in returned(send(http, agent_id, f"[[call:archival_memory_search {search}]] look"))


def assert_sees_nothing(http: httpx.Client, agent_id: str, others: dict[str, str]) -> None:
    """`others`: ids of the agent's things. Foreign and missing answer alike, byte for byte but for the id."""
    none = "00000000-0000-0000-0000-000000000000"
    paths = {
        f"/v1/agents/{agent_id}": f"/v1/agents/agent-{none}",
        f"/v1/agents/{agent_id}/core-memory": f"/v1/agents/agent-{none}/core-memory",
        f"/v1/agents/{agent_id}/messages": f"/v1/agents/agent-{none}/messages",
        f"/v1/agents/{agent_id}/archival-memory": f"/v1/agents/agent-{none}/archival-memory",
        f"/v1/blocks/{others['block']}": f"/v1/blocks/block-{none}",
        f"/v1/messages/{others['message']}": f"/v1/messages/message-{none}",
        f"/v1/archives/{others['archive']}": f"/v1/archives/archive-{none}",
    }
    for foreign, missing in paths.items():
        for method in ("GET", "DELETE"):
            refused, absent = http.request(method, foreign), http.request(method, missing)
            assert refused.status_code in (404, 405), (method, foreign, refused.text)
            assert refused.text.replace(foreign.split("/")[3], "") == absent.text.replace(missing.split("/")[3], "")
    assert http.get("/v1/agents/").json() == []
    assert http.get("/v1/blocks/").json() == []
    assert http.get("/v1/messages/").json() == []
    assert http.post("/v1/messages/search", json={"query": "spare key flowerpot"}).json() == []
    assert http.post("/v1/passages/search", json={"query": "glaciologist"}).json() == []


def ids_of(http: httpx.Client, agent_id: str) -> dict[str, str]:
    agent = http.get(f"/v1/agents/{agent_id}").json()
    message = http.get(f"/v1/agents/{agent_id}/messages").json()[0]
    return {"block": agent["blocks"][0]["id"], "archive": agent["archive_ids"][0], "message": message["id"]}


def grpc_stranger_sees_nothing(system: Up, key: str, agent_id: str, others: dict[str, str]) -> None:
    with Triptych(system.ready["grpc_address"], key) as client:
        assert list(client.agents.list()) == []
        assert list(client.recall.list(agent_id)) == []
        assert list(client.recall.search("spare key", agent_id=agent_id)) == []
        for refused in (
            lambda: client.agents.get(agent_id),
            lambda: client.blocks.get(others["block"]),
            lambda: client.turns.send(agent_id, "let me in"),
        ):
            try:
                refused()
            except NotFound:
                continue
            raise AssertionError("a stranger was let in")


def test_three_facts_outlive_a_kill_of_everything_and_a_stranger_sees_none(
    tmp_path: Path, model: ScriptedModel
) -> None:
    options = ("--model-base-url", model.url)
    with up(tmp_path, *options) as system:
        with system.http() as http:
            agent_id = told(http)
            assert_knows(http, agent_id)
        key_of_bob = system.new_user("bob")
        system.kill_all()
    with up(tmp_path, *options) as system, system.http() as http:
        assert http.get("/v1/agents/").json()[0]["id"] == agent_id
        assert_knows(http, agent_id)
        chat = run("chat", "--agent", "keeper", "--data", str(tmp_path), stdin="/memory\n/recall spare key\n/quit\n")
        assert HUMAN in chat.stdout
        assert "third flowerpot" in chat.stdout
        others = ids_of(http, agent_id)
        with system.http(key_of_bob) as stranger:
            assert_sees_nothing(stranger, agent_id, others)
        grpc_stranger_sees_nothing(system, key_of_bob, agent_id, others)
        assert_knows(http, agent_id)


def test_a_turn_killed_in_the_middle_is_finished_after_up_and_never_doubled(
    tmp_path: Path, model: ScriptedModel
) -> None:
    options = ("--model-base-url", model.url)
    with up(tmp_path, *options) as system, system.http() as http:
        agent_id = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
        body = {"messages": [{"role": "user", "content": "[[wait]] remember", "otid": "once"}]}
        run_id = http.post(f"/v1/agents/{agent_id}/messages/async", json=body).json()["id"]
        assert model.waiting.wait(20)
        system.kill_all()
        model.release()
    with up(tmp_path, *options) as system, Triptych.from_env(data=tmp_path) as client:
        with system.http() as http:
            answer = http.post(f"/v1/agents/{agent_id}/messages", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["run_ids"] == [run_id]
        assert [m.text for m in client.recall.list(agent_id)] == ["[[wait]] remember", "ok: remember"]
