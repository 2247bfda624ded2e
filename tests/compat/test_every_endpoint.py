"""No endpoint of letta-client is unknown: it is served, or answers 501 with a sentence."""

from __future__ import annotations

import re

import httpx
import pytest

from scripts.generate_letta import endpoints, page, state
from tests.support.door import FIRST_KEY, Door


async def test_what_is_not_served_says_so_and_why(door: Door) -> None:
    async with httpx.AsyncClient(base_url=door.http_url, headers={"authorization": f"Bearer {FIRST_KEY}"}) as http:
        served = (await http.get("/openapi.json")).json()["paths"]
        refused = [each for each in endpoints() if state(*each, served) != "supported"]
        assert 0 < len(refused) < len(endpoints()) / 2
        for method, path in refused:
            answer = await http.request(method, re.sub(r"{\w+}", "x", path))
            assert answer.status_code == 501, path
            assert state(method, path, served) in answer.json()["detail"]


def test_the_page_names_every_endpoint() -> None:
    shown = page()
    assert "| None |" not in shown
    assert all(f"`{method} {path}`" in shown for method, path in endpoints())


@pytest.mark.parametrize("path", ["/v1/templates", "/v1/agents/x/files/y/open"])
async def test_only_who_has_a_key_is_told(door: Door, path: str) -> None:
    async with httpx.AsyncClient(base_url=door.http_url) as http:
        assert (await http.get(path)).status_code == 401
