"""A gateway with all services behind it, and letta-client in front: one for all tests, and a user for each."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from letta_client import AsyncLetta

from tests.support.door import ALL, Door, announced
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running

_HERE = Path(__file__).parent
_MORE = {"TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests here run in the loop of the services that they share."""
    for item in items:
        if _HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="package")
def shared_model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel().start()
    yield scripted
    scripted.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def door(tmp_path_factory: pytest.TempPathFactory, shared_model: ScriptedModel) -> AsyncIterator[Door]:
    folder, said = tmp_path_factory.mktemp("compat"), io.StringIO()
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.redirect_stdout(said):
            services = running(folder, *ALL, model_url=shared_model.url, more=_MORE)
            started = await stack.enter_async_context(services)
        yield announced(said.getvalue(), started)


@pytest.fixture
def model(shared_model: ScriptedModel) -> Iterator[ScriptedModel]:
    """The model that answers, as if it had just been started."""
    shared_model.reset()
    yield shared_model
    shared_model.release()


@pytest_asyncio.fixture(loop_scope="session")
async def key(door: Door, model: ScriptedModel) -> str:
    """Of a user who has nothing yet."""
    return await door.new_user(uuid.uuid4().hex)


@pytest_asyncio.fixture(loop_scope="session")
async def letta(door: Door, key: str) -> AsyncIterator[AsyncLetta]:
    """As that user."""
    async with AsyncLetta(base_url=door.http_url, api_key=key) as client:
        yield client
