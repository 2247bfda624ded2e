"""Every example in the SDK's docstrings, of both clients, run against a live door."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

import triptych.sdk.aio
import triptych.sdk.session
import triptych.sdk.sync
from tests.support import documents, examples, mcp_server
from tests.support.door import ALL, FIRST_KEY, Door, announced
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych import AsyncTriptych, Triptych

_SETTINGS = {
    "TRIPTYCH_GATEWAY_GRPC_LISTEN": "127.0.0.1:0",
    "TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on",
    "TRIPTYCH_PROVIDER_PRIVATE_ADDRESSES": "on",
    "TRIPTYCH_PYTHON_TOOLS": "on",
}
_ROLL_DICE = '''
def roll_dice(sides: int = 6) -> int:
    """Rolls a die.

    Args:
        sides: How many sides it has.
    """
    return 4
'''


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(package.__path__):
        yield importlib.import_module(f"{package.__name__}.{module.name}")


PAGE = Path(__file__).resolve().parents[2] / "docs" / "sdk.md"
ASYNC = list(examples.of_modules(*_modules(triptych.sdk.aio), triptych.sdk.session))
SYNC = list(examples.of_modules(*_modules(triptych.sdk.sync)))
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder, said, model = tmp_path_factory.mktemp("examples"), io.StringIO(), ScriptedModel().start()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(model.stop)
        with contextlib.redirect_stdout(said):
            started = await stack.enter_async_context(running(folder, *ALL, model_url=model.url, more=_SETTINGS))
        yield announced(said.getvalue(), started)


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    with mcp_server.running("http") as url:
        yield url


@pytest.fixture
def place(tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would try an example: with a file to read, and the server in the environment."""
    (tmp_path / "handbook.pdf").write_bytes(documents.pdf("The notice period is three months."))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_ADDRESS", door.address)
    monkeypatch.setenv("TRIPTYCH_API_KEY", FIRST_KEY)
    return tmp_path


async def _names(door: Door, client: AsyncTriptych, place: Path, program: str) -> dict[str, Any]:
    """What an example speaks of without saying what it is, new for each: they change it."""
    agent = await client.agents.create("ann", blocks={"human": "Name: Ann."})
    if "step" in program or "turns.list" in program:
        await client.turns.send(agent.id, "Hello!")
    model_url, name = door.stack.environ["TRIPTYCH_MODEL_BASE_URL"], f"t{uuid.uuid4().hex}"
    dice: dict[str, Any] = {}
    (place / "dice.py").write_text(_ROLL_DICE.replace("roll_dice", name))
    exec(compile((place / "dice.py").read_text(), str(place / "dice.py"), "exec"), dice)  # noqa: S102 - ours
    parameters = {"type": "object", "properties": {}}
    made: dict[str, Callable[[], Awaitable[Any]]] = {
        "archive": lambda: client.archives.create("handbook"),
        "tool": lambda: client.tools.create_client_tool(name, "A tool.", parameters),
        "provider": lambda: client.providers.create(name, model_url, "a-key"),
        "step": lambda: anext(client.steps.list(agent_id=agent.id)),
    }
    return {
        **{each: await make() for each, make in made.items() if f"{each}." in program},
        "agent": agent,
        "agents": [agent],
        "block": agent.blocks[0],
        "roll_dice": dice[name],
        **{module.__name__: module for module in (asyncio, inspect, json)},
        "Path": Path,
        "AsyncTriptych": AsyncTriptych,
        "Triptych": Triptych,
    }


@pytest_asyncio.fixture(loop_scope="module")
async def names(door: Door, place: Path, program: str) -> AsyncIterator[dict[str, Any]]:
    async with door.client() as client:
        yield await _names(door, client, place, program)


def _tidied(program: str, door: Door, mcp_url: str) -> str:
    """With our servers in the place of those that are not there, and names that may be given twice."""
    program = program.replace('"https://example.org/mcp"', f'"{mcp_url}"').replace('"..."', f'"{mcp_server.TOKEN}"')
    program = program.replace("https://api.groq.com/openai/v1", door.stack.environ["TRIPTYCH_MODEL_BASE_URL"])
    for name in ("kit", "groq", "acme", "bob", "customer-17", "weather"):
        program = re.sub(rf'"{name}(["/])', rf'"{name}{uuid.uuid4().hex[:8]}\1', program)
    return program


@IN_ONE_LOOP
@pytest.mark.parametrize(("whose", "program"), ASYNC, ids=[f"{n}-{whose}" for n, (whose, _) in enumerate(ASYNC)])
async def test_an_asynchronous_example_runs(
    door: Door, names: dict[str, Any], mcp_url: str, whose: str, program: str
) -> None:
    code = compile(_tidied(program, door, mcp_url), whose, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with door.client() as client:
        under_way = eval(code, {**names, "client": client})
        if under_way is not None:
            await under_way


@IN_ONE_LOOP
@pytest.mark.parametrize(("whose", "program"), SYNC, ids=[f"{n}-{whose}" for n, (whose, _) in enumerate(SYNC)])
async def test_a_synchronous_example_runs(
    door: Door, names: dict[str, Any], mcp_url: str, whose: str, program: str
) -> None:
    def run() -> None:
        with Triptych(door.address, FIRST_KEY) as client:
            exec(compile(_tidied(program, door, mcp_url), whose, "exec"), {**names, "client": client})  # noqa: S102 - ours

    await asyncio.to_thread(run)


async def test_no_example_is_overlooked_and_each_part_of_the_client_has_one() -> None:
    shown = [line for _, program in ASYNC for line in program.splitlines()]
    sources = "".join(inspect.getsource(module) for module in _modules(triptych.sdk.aio))
    written = re.findall(r"^ +(?:\w.* = |async for .* in |print\(|\(\w+,\) = )?(?:await )client\..*$", sources, re.M)
    assert {line.strip() for line in written} <= {line.strip() for line in shown}
    async with AsyncTriptych("127.0.0.1:9", "a-key") as client:
        parts = {type(part).__name__ for part in vars(client).values()} - {"AsyncTransport"}
    assert parts <= {whose.partition(".")[0] for whose, _ in ASYNC}


def _without_code(page: str) -> str:
    return re.sub(r"```.*?```", "", page, flags=re.DOTALL)


async def test_the_page_names_every_method_that_there_is() -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", _without_code(PAGE.read_text())))))
    async with AsyncTriptych("127.0.0.1:9", "a-key") as client:
        for part, methods in vars(client).items():
            if part.startswith("_"):
                continue
            public = {name for name in dir(methods) if not name.startswith("_")}
            assert {part, *public} <= named, f"docs/sdk.md: {part}: {sorted({part, *public} - named)}"
