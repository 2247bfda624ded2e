"""`triptych accounts|users|keys|providers|audit` as an admin uses them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, run, up


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    model = ScriptedModel().start()
    with up(tmp_path_factory.mktemp("data"), "--model-base-url", model.url) as running:
        yield running
    model.stop()


def _run(system: Up, *arguments: str) -> str:
    done = run(*arguments, "--data", str(system.data))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_are_made_rotated_and_ended(system: Up) -> None:
    _run(system, "users", "create", "kate")
    secret = _run(system, "keys", "create", "kate", "--scope", "read-only", "--expires-in-days", "7").strip()
    with system.http(secret) as http:
        assert http.get("/v1/agents").status_code == 200
        assert http.post("/v1/agents", json={}).status_code == 403
    (line,) = _run(system, "keys", "list", "kate").splitlines()
    key_id = line.split()[0]
    assert "read-only" in line
    assert "valid" in line
    rotated = _run(system, "keys", "rotate", key_id, "--overlap-seconds", "60").strip()
    assert rotated != secret
    _run(system, "keys", "revoke", key_id)
    assert "revoked" in _run(system, "keys", "list", "kate")
    for each in (secret, rotated):
        with system.http(each) as http:
            assert http.get("/v1/agents").status_code == 401


def test_a_user_is_disabled_exported_and_erased(system: Up, tmp_path: Path) -> None:
    key = system.new_user("uma")
    with system.http(key) as http:
        http.post("/v1/agents", json={"name": "umas"})
        _run(system, "users", "disable", "uma")
        assert "uma  (disabled)" in _run(system, "users", "list")
        assert http.get("/v1/agents").status_code == 403
        _run(system, "users", "enable", "uma")
        assert http.get("/v1/agents").status_code == 200
    assert "requests_today" in _run(system, "users", "usage", "uma")
    assert "stored_bytes: 2097152" in _run(system, "users", "limits", "uma", "--stored-mb", "2")
    archive = tmp_path / "uma.zip"
    _run(system, "users", "export", "uma", str(archive))
    with zipfile.ZipFile(archive) as opened:
        assert json.loads(opened.read("agents.ndjson"))["name"] == "umas"
    assert run("users", "export", "ima", str(archive), "--data", str(system.data)).returncode == 1
    assert zipfile.is_zipfile(archive)
    said = _run(system, "users", "delete", "uma", "--yes")
    assert "core.agents: 1" in said
    assert said.strip().endswith("done")
    assert "uma" not in _run(system, "users", "list")


def test_an_account_is_made_with_its_own_admin(system: Up) -> None:
    secret = _run(system, "accounts", "create", "acme").strip()
    assert "acme" in _run(system, "accounts", "list")
    with system.http(secret) as http:
        me = http.get("/v1/me").json()
        assert (me["kind"], me["user"]["name"]) == ("KEY_KIND_ADMIN", "admin")
        assert http.get("/v1/admin/accounts").status_code == 403


def test_the_audit_log_is_one_json_object_a_line(system: Up) -> None:
    _run(system, "users", "create", "audited")
    events = [json.loads(line) for line in _run(system, "audit").splitlines()]
    assert "GatewayService/CreateUser" in {event["action"] for event in events}
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))


def test_providers_are_made_rotated_and_deleted_for_oneself_and_for_the_account(system: Up) -> None:
    # Never called: a public address that needs no look-up.
    made = ("https://1.1.1.1/v1", "--key", "sk-of-the-command-1234")
    own = _run(system, "providers", "create", "own", *made, "--model", "a", "--model", "b").strip()
    shared = _run(system, "providers", "create", "team", *made, "--account").strip()
    listed = _run(system, "providers", "list").splitlines()
    assert [line.split()[:4] for line in listed] == [
        [own, "own", "https://1.1.1.1/v1", "…1234"],
        [shared, "team", "https://1.1.1.1/v1", "…1234"],
    ]
    assert "the account's" in listed[1]
    _run(system, "providers", "rotate", own, "--key", "sk-of-the-command-5678")
    assert "…5678" in _run(system, "providers", "list")
    refused = run("providers", "delete", shared, "--data", str(system.data))
    assert refused.returncode == 1
    assert "the account's" in refused.stderr
    _run(system, "providers", "delete", shared, "--account")
    _run(system, "providers", "delete", own)
    assert _run(system, "providers", "list") == ""


def test_an_agent_is_shared_and_its_guest_talks_with_it(system: Up) -> None:
    with system.http() as http:
        agent_id = http.post("/v1/agents", json={"name": "desk"}).json()["id"]
        http.post("/v1/admin/users", json={"name": "greta"})
        made = http.post("/v1/admin/keys", json={"user_id": "greta", "kind": "KEY_KIND_USER"})
        as_greta = {"TRIPTYCH_ADDRESS": system.ready["grpc_address"], "TRIPTYCH_API_KEY": made.json()["secret"]}
        assert "shared with user-" in _run(system, "agents", "share", agent_id, "greta")
        (line,) = _run(system, "agents", "shares", agent_id).splitlines()
        user_id, conversation_id = line.split()
        assert run("agents", "shared", environ=as_greta).stdout.split() == [agent_id, "desk"]
        talked = run("chat", "--shared", "desk", stdin="good morning\n/history\n/memory\n", environ=as_greta)
        assert talked.returncode == 0, talked.stderr
        assert "ok: good morning" in talked.stdout
        assert "user: good morning" in talked.stdout
        assert "no command /memory" in talked.stdout
        _run(system, "agents", "unshare", agent_id, user_id)
        gone = run("chat", "--shared", "desk", environ=as_greta)
        assert (gone.returncode, "no agent desk is shared with you" in gone.stderr) == (1, True)
        kept = http.get(f"/v1/agents/{agent_id}/messages", params={"conversation_id": conversation_id}).json()
        assert "good morning" in [message["content"] for message in kept]
