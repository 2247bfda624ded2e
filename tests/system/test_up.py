"""`triptych up` and its neighbours, as commands."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, alive, run, up

# Of Letta's server 0.16.8 when it has started, without its PostgreSQL.
_THERE_BYTES = 466_000_000


def test_ready_json_is_private_and_complete_and_goes_with_the_system(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system:
        file = tmp_path / "ready.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert set(system.ready) == {"http_url", "grpc_address", "api_key", "pids"}
        assert set(system.pids) == {"recall_service", "archival_service", "agent_service", "gateway"}
        assert any(system.ready["api_key"] in line for line in system.said), "the first start prints the key"
        pids = list(system.pids.values())
        assert system.stop(signal.SIGINT) == 0
        assert not any(alive(pid) for pid in pids)
        assert not file.exists()


def test_a_system_that_has_answered_takes_less_memory_than_the_server_that_programs_come_from(
    tmp_path: Path, model: ScriptedModel
) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system, system.http() as http:
        agent_id = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
        assert http.post(f"/v1/agents/{agent_id}/messages", json={"input": "hello"}).status_code == 200
        # What processes share counts once.
        used = sum(psutil.Process(pid).memory_full_info().pss for pid in system.pids.values())
    assert used < _THERE_BYTES


def test_a_second_up_on_the_same_directory_is_refused(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system:
        second = run("up", "--data", str(tmp_path), "--model-base-url", model.url)
        assert second.returncode == 1
        assert "another `triptych up` is running" in second.stderr
        assert all(alive(pid) for pid in system.pids.values())


def test_a_service_that_dies_is_started_again_and_serves(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system, system.http() as http:
        agent_id = http.post("/v1/agents/", json={"name": "a"}).json()["id"]
        for service in ("agent_service", "recall_service", "archival_service"):
            before = system.pids[service]
            os.kill(before, signal.SIGKILL)
            answer = http.post(f"/v1/agents/{agent_id}/messages", json={"input": f"after {service}"})
            assert answer.status_code == 200, answer.text
        assert [m["content"] for m in http.get(f"/v1/agents/{agent_id}/messages", params={"order": "asc"}).json()] == [
            text
            for name in ("agent", "recall", "archival")
            for text in (f"after {name}_service", f"ok: after {name}_service")
        ]


def test_services_stop_when_their_supervisor_is_killed(tmp_path: Path, model: ScriptedModel) -> None:
    with up(tmp_path, "--model-base-url", model.url) as system:
        pids = list(system.pids.values())
        system.process.kill()
        system.process.wait()
        gone = threading.Event()
        for _ in range(200):
            if not any(alive(pid) for pid in pids):
                break
            gone.wait(0.1)
        assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_busy_port_is_named_and_nothing_is_left_running(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        other = "--grpc-port" if option == "--http-port" else "--http-port"
        ended = run(
            "up", "--data", str(tmp_path), option, port, other, "0", "--model-base-url", "http://127.0.0.1:9/v1"
        )
    assert ended.returncode == 1
    assert port in ended.stderr
    assert not (tmp_path / "ready.json").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "problem"),
    [
        (["up", "--no-such-flag"], {}, "No such option"),
        (["up", "--http-port", "99999"], {}, "65535"),
        (["up"], {"TRIPTYCH_MODLE": "x"}, "TRIPTYCH_MODLE is not a setting of Triptych. Did you mean TRIPTYCH_MODEL?"),
        (["chat"], {"TRIPTYCH_DATA": "/nonexistent"}, "Run `triptych up`"),
        (["agents", "list", "--address", "127.0.0.1:9", "--api-key", "x"], {}, "triptych: "),
    ],
)
def test_what_a_user_got_wrong_is_said_in_one_line(arguments: list[str], environ: dict[str, str], problem: str) -> None:
    ended = run(*arguments, environ=environ)
    assert ended.returncode != 0
    assert problem in ended.stderr
    assert "Traceback" not in ended.stderr


def test_text_that_is_not_utf8_is_said_to_be_that(settled: tuple[Up, str]) -> None:
    system, _ = settled
    ended = run("chat", "--data", str(system.data), stdin="\udcff hi\n")
    assert (ended.returncode, ended.stderr) == (1, "triptych: there is text that is not UTF-8\n")


@pytest.mark.parametrize("content", ["[]", "{", '{"grpc_address": "127.0.0.1:9"}'])
def test_a_damaged_ready_json_names_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / "ready.json").write_text(content)
    ended = run("agents", "list", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.startswith("triptych: no server found")


@pytest.mark.parametrize("command", [[], ["up"], ["chat"], ["doctor"], ["agents"], ["users"], ["keys", "create"]])
def test_every_command_has_help(command: list[str]) -> None:
    ended = run(*command, "--help")
    assert ended.returncode == 0
    assert "Usage" in ended.stdout


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, str]]:
    """A running system that no test here kills, and the address of its model."""
    environ = {"TRIPTYCH_PYTHON_TOOLS": "on", "TRIPTYCH_RECALL_DSN": "sqlite:////nowhere/recall.db"}
    model = ScriptedModel().start()
    try:
        with up(tmp_path_factory.mktemp("up"), "--model-base-url", model.url, environ=environ) as system:
            yield system, model.url
    finally:
        model.stop()


def test_settings_reach_the_service_they_are_for_and_those_that_cannot_hold_are_named(settled: tuple[Up, str]) -> None:
    system, _ = settled
    with system.http() as http:
        made = http.post("/v1/tools/", json={"source_code": 'def one() -> int:\n    """One."""\n    return 1\n'})
        assert made.status_code == 200, made.text
    assert [line.split()[0] for line in system.said if "has no effect" in line] == ["TRIPTYCH_RECALL_DSN"]


def test_doctor_finds_nothing_wrong_with_a_running_system_and_says_what_is_wrong_else(settled: tuple[Up, str]) -> None:
    system, model_url = settled
    well = run("doctor", "--data", str(system.data), environ={"TRIPTYCH_MODEL_BASE_URL": model_url})
    assert well.returncode == 0, well.stdout
    assert "the server answers" in well.stdout
    # What `up` was told is the server's to know.
    assert "agents use the model" in run("doctor", "--data", str(system.data)).stdout
    ill = run("doctor", "--data", str(system.data), environ={"TRIPTYCH_MODEL_BASE_URL": "http://127.0.0.1:9/v1"})
    assert ill.returncode == 1
    assert "can't be reached" in ill.stdout


def test_doctor_sees_damaged_stores_and_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "agent.db").write_text("hi")
    (tmp_path / "recall.db").touch()
    (tmp_path / "keys" / "gateway.pem").touch()
    ill = run("doctor", "--data", str(tmp_path))
    assert ill.returncode == 1
    wrong = [line for line in ill.stdout.splitlines() if line.startswith("FAIL")]
    assert any("agent.db can't be read as a store" in line for line in wrong)
    assert any("gateway.pem is damaged" in line for line in wrong)
    assert not any("recall.db" in line for line in wrong)


def test_keys_are_revoked_at_once(settled: tuple[Up, str]) -> None:
    system, _ = settled
    key = system.new_user("carol")
    with system.http(key) as http:
        assert http.get("/v1/agents/").status_code == 200
        listed = run("keys", "list", "carol", "--data", str(system.data)).stdout
        assert run("keys", "revoke", listed.split()[0], "--data", str(system.data)).returncode == 0
        assert http.get("/v1/agents/").status_code == 401
