"""A Python tool's process: what it may, and what it may not. The process is real."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from agent_service.tool_settings import PythonSettings
from agent_service.tools.base import ToolError
from agent_service.tools.python.runner import PythonRunner

SETTINGS = PythonSettings(enabled=True, seconds=20.0)


async def ran(body: str, settings: PythonSettings = SETTINGS, **arguments: object) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return await PythonRunner(settings).run(f"def f(**given):\n{lines}", "f", arguments)


async def test_a_result_comes_back_as_text_and_prints_do_not_disturb_it() -> None:
    assert await ran("print('noise')\nreturn given['a'] + 'ø'", a="x") == "xø"
    assert await ran("return {'a': [1, None]}") == '{"a": [1, null]}'


@pytest.mark.parametrize("body", ["raise ValueError('as asked')", "return {}['as asked']"])
async def test_what_it_raises_is_a_tool_error(body: str) -> None:
    with pytest.raises(ToolError, match="as asked"):
        await ran(body)


async def test_nothing_of_our_environment_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MODEL_API_KEY", "secret")
    assert set((await ran("import os\nreturn ' '.join(os.environ)")).split()) <= {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "LC_CTYPE",
    }


async def test_a_run_that_does_not_end_is_ended() -> None:
    with pytest.raises(ToolError, match="did not end within 1 seconds"):
        await ran("import time\ntime.sleep(60)", PythonSettings(enabled=True, seconds=1.0))


async def test_cpu_is_bounded_even_within_the_wall_time() -> None:
    class Busy(PythonSettings):
        def limits(self) -> dict[str, int]:
            return {**super().limits(), "CPU": 1}

    with pytest.raises(ToolError, match="met a limit"):
        await ran("while True: pass", Busy(enabled=True, seconds=30.0))


async def test_memory_is_bounded() -> None:
    with pytest.raises(ToolError, match=r"MemoryError|met a limit"):
        await ran("return len(bytearray(2_000_000_000))")


async def test_files_are_bounded_and_gone_afterwards() -> None:
    with pytest.raises(ToolError, match=r"File too large|met a limit"):
        await ran("open('x', 'wb').write(b'x' * 50_000_000)\nreturn 'written'")
    folder = await ran("import os\nopen('x', 'w').write('y')\nreturn os.getcwd()")
    assert folder not in existing()


async def test_a_result_of_a_hundred_megabytes_is_refused() -> None:
    with pytest.raises(ToolError):
        await ran("return 'x' * 100_000_000")


async def test_there_is_no_network_where_the_system_can_take_it_away() -> None:
    if not await PythonRunner(SETTINGS).isolates_network():
        pytest.skip("this system does not allow namespaces")
    with pytest.raises(ToolError, match=r"unreachable|OSError"):
        await ran("import socket\nsocket.create_connection(('127.0.0.1', 1), 2)\nreturn 'connected'")


async def test_what_it_starts_dies_with_it() -> None:
    body = "import subprocess\nreturn str(subprocess.Popen(['sleep', '60.25']).pid)"
    await ran(body)
    assert "60.25" not in commands()


@pytest.mark.parametrize("written", ["5", "[" * 100_000, "nonsense"])
async def test_an_answer_that_is_none_is_a_tool_error(written: str) -> None:
    body = (
        f"import os\nfor number in range(3, 20):\n  try:\n    os.write(number, b{written!r})\n"
        "  except OSError:\n    pass\nos._exit(0)"
    )
    with pytest.raises(ToolError, match="it crashed"):
        await ran(body)


def commands() -> str:
    """The command lines of all processes."""
    files = (Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit())
    return "\n".join(file.read_text() for file in files if file.exists())


def existing() -> list[str]:
    return [str(path) for path in Path(tempfile.gettempdir()).iterdir()]


async def test_switched_off_nothing_runs() -> None:
    with pytest.raises(ToolError, match="switched off"):
        await ran("return 1", PythonSettings())
