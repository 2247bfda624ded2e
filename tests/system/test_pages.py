"""The programs that README and docs show, as a reader would run them."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.documented import PAGES, ROOT
from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel

# Those whose blocks make a program each page, and what it prints, among other things.
_PRINTED = {
    "README.md": {"ok: My sister Eva has moved to Lisbon.", "My sister Eva has moved to Lisbon."},
    "docs/clients.md": {"ok: My sister is called Eva."},
    "docs/documents.md": {"1 passages", "boats.md 0 67 ['Boats']"},
    "docs/memory.md": {"+Lives in Lisbon.", "human Name: Ann."},
}


def _shown(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.mark.parametrize("page", _PRINTED)
async def test_the_programs_of_a_page_run_one_after_the_other(door: Door, tmp_path: Path, page: str) -> None:
    if page == "docs/clients.md":  # which speaks of an agent that there is
        async with door.client() as client:
            await client.agents.create("ann")
    program = "\n".join(_shown(ROOT / page)).replace("http://127.0.0.1:8283", door.http_url)
    environ = os.environ | {"TRIPTYCH_ADDRESS": door.address, "TRIPTYCH_API_KEY": FIRST_KEY}
    command = (sys.executable, "-c", program.replace("trip_…", FIRST_KEY))
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environ, cwd=tmp_path, stdout=pipe, stderr=pipe)
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    assert set(out.decode().splitlines()) >= _PRINTED[page]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_of_python_is_python(page: Path) -> None:
    for program in _shown(page):
        compile(program, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
