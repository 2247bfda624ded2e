"""Bad input gets a clear error, ends no service, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, up
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.gateway.v1 import gateway_pb2
from triptych.recall.v1 import recall_pb2

METHODS = [
    (f"/{service.full_name}/{method.name}", method.server_streaming)
    for module in (agent_pb2, turn_pb2, archival_pb2, recall_pb2, gateway_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    model = ScriptedModel().start()
    with up(tmp_path_factory.mktemp("data"), "--model-base-url", model.url) as running:
        pids = running.pids
        yield running
        assert running.pids == pids, "a service was ended by bad input"
    model.stop()


@pytest.fixture(scope="module")
def http(system: Up) -> Iterator[httpx.Client]:
    with system.http() as client:
        yield client


@pytest.fixture(scope="module")
def agent_id(http: httpx.Client) -> str:
    blocks = [{"label": "human", "value": "", "limit": 20}]
    made: str = http.post("/v1/agents/", json={"name": "a", "memory_blocks": blocks}).json()["id"]
    return made


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}, {"user_id": "x"}]
)
def test_no_key_or_a_wrong_one_is_401(system: Up, header: dict[str, str]) -> None:
    answer = httpx.get(f"{system.ready['http_url']}/v1/agents/", headers=header)
    assert answer.status_code == 401
    assert "API key" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("directive", "status", "words"),
    [
        ("[[status:500]]", 503, "500"),
        ("[[status:401]]", 502, "401"),
        ("[[garbage]]", 502, "can't be read"),
        ("[[cut]]", 503, "hung up"),
    ],
)
def test_a_failing_model_is_a_clear_error_and_the_message_is_kept(
    http: httpx.Client, agent_id: str, directive: str, status: int, words: str
) -> None:
    text = f"{directive} kept {status} {words}"
    answer = http.post(f"/v1/agents/{agent_id}/messages", json={"input": text})
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    listed = http.get(f"/v1/agents/{agent_id}/messages", params={"limit": 1}).json()
    assert listed[0]["content"] == text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/agents/", {"name": 5}),
        ("/v1/agents/", {"agent_type": "no_such_type"}),
        ("/v1/agents/", {"tools": ["no_such_tool"]}),
        ("/v1/agents/", {"timezone": "Mars/Olympus"}),
        ("/v1/agents/", {"memory_blocks": [{"label": "a", "value": "too long", "limit": 3}]}),
        ("/v1/agents/", {"memory_blocks": [{"label": ""}]}),
        ("/v1/agents/{id}/messages", {}),
        ("/v1/agents/{id}/messages", {"messages": []}),
        ("/v1/agents/{id}/messages", {"messages": [{"role": "tool", "content": "x"}]}),
        ("/v1/agents/{id}/messages", {"input": ""}),
        ("/v1/agents/{id}/messages", {"input": "x", "max_steps": 0}),
        ("/v1/agents/{id}/archival-memory", {"text": ""}),
        ("/v1/agents/{id}/archival-memory", {"text": "x", "created_at": "yesterday"}),
        ("/v1/messages/search", {"query": "x", "limit": 0}),
        ("/v1/messages/search", {"query": "x", "roles": ["nobody"]}),
        ("/v1/blocks/", {"label": "x", "limit": -1}),
    ],
)
def test_a_bad_body_is_422_and_says_what_is_wrong(
    http: httpx.Client, agent_id: str, path: str, body: dict[str, Any]
) -> None:
    answer = http.post(path.format(id=agent_id), json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_body_over_the_limit_is_413_with_and_without_its_length(http: httpx.Client, agent_id: str) -> None:
    huge = json.dumps({"input": "x" * (4 * 1024 * 1024)}).encode()
    assert http.post(f"/v1/agents/{agent_id}/messages", content=huge).status_code == 413
    chunks = (huge[at : at + 65536] for at in range(0, len(huge), 65536))
    assert http.post(f"/v1/agents/{agent_id}/messages", content=chunks).status_code == 413


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_json_is_refused(http: httpx.Client, agent_id: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = http.post(f"/v1/agents/{agent_id}/messages", content=content, headers=headers)
    assert 400 <= answer.status_code < 500


def test_half_a_surrogate_pair_is_refused_however_the_type_of_json_is_written(http: httpx.Client) -> None:
    for content_type in ("application/json", "application/JSON", "Application/vnd.api+Json", ""):
        headers = {"content-type": content_type} if content_type else {}
        answer = http.post("/v1/agents", content=b'{"name": "\\ud800"}', headers=headers)
        assert answer.status_code in (400, 422), content_type


def test_a_write_over_a_limit_is_422_to_clients(http: httpx.Client, agent_id: str) -> None:
    answer = http.patch(f"/v1/agents/{agent_id}/core-memory/blocks/human", json={"value": "x" * 21})
    assert answer.status_code == 422
    assert "20" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["😀", '"; DROP TABLE messages; --', "a AND OR NOT (", "\x00", "*:^\"'"])
def test_strange_texts_are_searched_or_refused(http: httpx.Client, text: str) -> None:
    for path in ("/v1/messages/search", "/v1/passages/search"):
        assert http.post(path, json={"query": text}).status_code in (200, 422)


@pytest.mark.parametrize(("method", "streams"), METHODS)
def test_hostile_bytes_are_invalid_argument_on_every_method(system: Up, method: str, streams: bool) -> None:
    metadata = (("authorization", f"Bearer {system.ready['api_key']}"),)
    with grpc.insecure_channel(system.ready["grpc_address"]) as channel:
        call = channel.unary_stream(method) if streams else channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            list(call(b"\xff\xff\xff\xff\x0f\x01", metadata=metadata, timeout=20))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("method", "streams"), METHODS)
def test_no_method_answers_without_a_key(system: Up, method: str, streams: bool) -> None:
    forged = (("triptych-principal", "e30.e30."),)
    with grpc.insecure_channel(system.ready["grpc_address"]) as channel:
        call = channel.unary_stream(method) if streams else channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            list(call(b"", metadata=forged, timeout=20))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_grpc_message_over_the_limit_is_refused(system: Up) -> None:
    request = recall_pb2.SearchMessagesRequest(query="x" * (5 * 1024 * 1024)).SerializeToString()
    metadata = (("authorization", f"Bearer {system.ready['api_key']}"),)
    with grpc.insecure_channel(system.ready["grpc_address"]) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/triptych.recall.v1.RecallService/SearchMessages")(request, metadata=metadata, timeout=20)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_model_that_is_down_is_a_clear_error(tmp_path: Path) -> None:
    with up(tmp_path, "--model-base-url", "http://127.0.0.1:9/v1", "--model", "m") as running, running.http() as http:
        made = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
        answer = http.post(f"/v1/agents/{made}/messages", json={"input": "hello"})
        assert answer.status_code == 503
        assert "can't be reached" in answer.json()["detail"]
        assert http.get(f"/v1/agents/{made}/messages").json()[0]["content"] == "hello"


def test_a_model_that_hangs_ends_at_its_deadline(tmp_path: Path, model: ScriptedModel) -> None:
    environ = {"TRIPTYCH_MODEL_TIMEOUT_SECONDS": "1"}
    with up(tmp_path, "--model-base-url", model.url, environ=environ) as running, running.http() as http:
        made = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
        answer = http.post(f"/v1/agents/{made}/messages", json={"input": "[[wait]]"})
        assert answer.status_code == 504
        assert "within 1 seconds" in answer.json()["detail"]


def test_secrets_and_words_stay_out_of_the_logs(system: Up, http: httpx.Client, agent_id: str) -> None:
    http.post(f"/v1/agents/{agent_id}/messages", json={"input": "a canary named Pavarotti"})
    logs = "".join(path.read_text() for path in (system.data / "logs").glob("*.log"))
    assert "Pavarotti" not in logs
    assert system.ready["api_key"] not in logs
