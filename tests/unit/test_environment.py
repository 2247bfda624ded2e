from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.settings import Environment
from triptych.cli.up.plan import passed_on, without_effect
from triptych.environment import VARIABLES, BadEnvironment


@pytest.mark.parametrize(
    "name",
    ["TRIPTYCH_MODEL", "TRIPTYCH_TEST_X", "TRIPTYCH_GATEWAY_SERVICE_HOST", "TRIPTYCH_X_PORT_80_TCP_ADDR", "PATH"],
)
def test_known_names_and_those_of_others_are_let_by(name: str) -> None:
    Environment({name: "x"})


def test_an_unknown_name_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(BadEnvironment, match="Did you mean TRIPTYCH_LOG_LEVEL"):
        Environment({"TRIPTYCH_LOGLEVEL": "debug"})


@pytest.mark.parametrize("value", ["x", "-1", "nan", "inf"])
def test_what_is_no_number_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadEnvironment, match="TRIPTYCH_DRAIN_SECONDS"):
        Environment({"TRIPTYCH_DRAIN_SECONDS": value}).number("TRIPTYCH_DRAIN_SECONDS")


def test_a_missing_file_and_a_missing_value_are_named() -> None:
    with pytest.raises(BadEnvironment, match="no file"):
        Environment({"TRIPTYCH_FIRST_KEY_FILE": "/nowhere/at/all"}).file("TRIPTYCH_FIRST_KEY_FILE")
    with pytest.raises(BadEnvironment, match="is not set"):
        Environment({}).required("TRIPTYCH_MODEL_BASE_URL")


@pytest.mark.parametrize("value", ["127.0.0.1:0", "[::1]:8283", "0.0.0.0:65535", "unix:/tmp/x"])
def test_an_address_to_bind_has_a_host_and_a_port(value: str) -> None:
    assert Environment({"TRIPTYCH_AGENT_LISTEN": value}).listen("TRIPTYCH_AGENT_LISTEN") == value


@pytest.mark.parametrize("value", ["x", ":0", "host:", "host:65536", "host:-1", "host:x", "unix:", "host:²"])
def test_what_can_not_be_bound_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadEnvironment, match="TRIPTYCH_AGENT_LISTEN must be HOST:PORT"):
        Environment({"TRIPTYCH_AGENT_LISTEN": value}).listen("TRIPTYCH_AGENT_LISTEN")


def test_rest_is_not_served_on_a_unix_socket() -> None:
    with pytest.raises(BadEnvironment, match="HOST:PORT"):
        Environment({"TRIPTYCH_GATEWAY_HTTP_LISTEN": "unix:/tmp/x"}).listen(
            "TRIPTYCH_GATEWAY_HTTP_LISTEN", sockets=False
        )


def test_up_passes_every_setting_on_but_those_it_makes_itself() -> None:
    """A new setting must be passed on (`triptych/cli/up/plan.py`), or be named here."""
    assert without_effect(VARIABLES) == [
        "TRIPTYCH_AGENT_ADDRESS",
        "TRIPTYCH_AGENT_ADVERTISED",
        "TRIPTYCH_AGENT_DSN",
        "TRIPTYCH_AGENT_LISTEN",
        "TRIPTYCH_AGENT_SIGNING_KEY_FILE",
        "TRIPTYCH_AGENT_VERIFY_KEY_FILE",
        "TRIPTYCH_ARCHIVAL_ADDRESS",
        "TRIPTYCH_ARCHIVAL_DSN",
        "TRIPTYCH_ARCHIVAL_INDEX",
        "TRIPTYCH_ARCHIVAL_LISTEN",
        "TRIPTYCH_FIRST_KEY_FILE",
        "TRIPTYCH_GATEWAY_DSN",
        "TRIPTYCH_GATEWAY_GRPC_LISTEN",
        "TRIPTYCH_GATEWAY_HTTP_LISTEN",
        "TRIPTYCH_GATEWAY_SIGNING_KEY_FILE",
        "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE",
        "TRIPTYCH_RECALL_ADDRESS",
        "TRIPTYCH_RECALL_DSN",
        "TRIPTYCH_RECALL_LISTEN",
        "TRIPTYCH_TLS_CERT_FILE",
        "TRIPTYCH_TLS_KEY_FILE",
    ]


def test_up_passes_on_the_keys_that_a_file_of_endpoints_names(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    file.write_text('{"groq": {"base_url": "https://example.org/v1", "api_key_variable": "GROQ_API_KEY"}, "x": 1}')
    environ = {"TRIPTYCH_MODEL_ENDPOINTS": str(file), "GROQ_API_KEY": "sesame", "OTHER_KEY": "of another program"}
    assert not {"GROQ_API_KEY", "OTHER_KEY"} & set(passed_on("agent_service", environ)), "a file that is none"
    file.write_text('{"groq": {"base_url": "https://example.org/v1", "api_key_variable": "GROQ_API_KEY"}}')
    assert passed_on("agent_service", environ) == {key: environ[key] for key in environ if key != "OTHER_KEY"}
    assert not passed_on("gateway", environ)
