"""One running system for all questions."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from tests.support import mcp_server
from tests.support.door import ALL, announced
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from tests.tenancy.world import World

_MORE = {"TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on", "TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES": "on"}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    model, said = ScriptedModel().start(), io.StringIO()
    folder = tmp_path_factory.mktemp("tenancy")
    async with contextlib.AsyncExitStack() as stack:
        mcp_url = stack.enter_context(mcp_server.running("http"))
        with contextlib.redirect_stdout(said):
            services = await stack.enter_async_context(running(folder, *ALL, model_url=model.url, more=_MORE))
        door = announced(said.getvalue(), services)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(door.address))
        made = await World.made(door, channel, mcp_url)
        stack.push_async_callback(made.http.aclose)
        before = await made.seen_by_others()
        yield made
        assert await made.seen_by_others() == before, "Ann has changed what is Bob's or Cyd's"
    model.stop()
