"""A gateway with all services behind it, and letta-client in front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from letta_client import AsyncLetta

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.fixture
async def letta(door: Door) -> AsyncIterator[AsyncLetta]:
    async with AsyncLetta(base_url=door.http_url, api_key=FIRST_KEY) as client:
        yield client
