"""What MCP servers may be, and what their tools are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service import outbound
from agent_service.tools import definitions
from agent_service.tools.mcp import offers


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_of_this_network_is_not_public_in_whatever_form(address: str) -> None:
    assert not outbound.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert outbound.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/mcp", "http://localhost/mcp", "http://[::1]/mcp", "http://0x7f000001/", "http://2130706433/",
        "ftp://1.1.1.1/", "file:///etc/passwd", "http://", "nonsense", "http://no-such-host.invalid/",
    ],
)  # fmt: skip
async def test_a_url_that_leads_nowhere_or_inside_is_refused(url: str) -> None:
    with pytest.raises(outbound.AddressRefused):
        await outbound.resolve(url, private=False)


async def test_an_inside_address_is_taken_where_that_is_allowed() -> None:
    assert await outbound.resolve("http://127.0.0.1:1/mcp", private=True) == "127.0.0.1"


@given(server=st.text(min_size=1, max_size=40), name=st.text(min_size=1, max_size=100))
def test_every_name_becomes_one_that_models_take(server: str, name: str) -> None:
    assert definitions.NAME.fullmatch(offers.tool_name(server, name))


def test_names_that_lose_something_stay_apart() -> None:
    assert offers.tool_name("s", "a") == "s__a"
    assert offers.tool_name("s", "a b") != offers.tool_name("s", "a/b")
    assert offers.tool_name("s", "x" * 100) != offers.tool_name("s", "x" * 101)
