"""One program serves many people with one key, and none of them sees anything of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.end_users import served
from tests.support.door import opened
from tests.support.scripted_model import ScriptedModel
from triptych.gateway.v1 import gateway_pb2

USERS = 150


async def test_each_end_user_of_one_application_key_is_walled_off(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, model_url=model.url) as door:
        async with door.client() as admin:
            key = (await admin.keys.create(kind=gateway_pb2.KEY_KIND_APPLICATION)).secret
        async with door.http(key) as program:
            await served(program, USERS)
