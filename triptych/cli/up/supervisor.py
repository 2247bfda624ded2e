"""Keeps the processes running: starts them together, brings back one that dies, stops them all in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from triptych.cli.errors import CommandError
from triptych.cli.up.data_dir import Running
from triptych.cli.up.plan import Plan
from triptych.cli.up.process import Process

# A process may die this often in this time before the system is given up.
_MOST_RESTARTS, _RESTARTS_WITHIN_SECONDS = 5, 60.0
_FIRST_WAIT_SECONDS = 0.2


class Supervisor:
    """`on_ready` and `say` tell the user; both get called from the event loop."""

    def __init__(
        self, plan: Plan, api_key: str, on_ready: Callable[[Running], None], say: Callable[[str], None]
    ) -> None:
        self._plan, self._api_key, self._on_ready, self._say = plan, api_key, on_ready, say
        self._processes: list[Process] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until SIGINT or SIGTERM. Raises: CommandError if a service can't be started, or not be kept running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        running = asyncio.create_task(self._run_all())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            self._plan.data.forget_ready()
            for task in (running, stopped):
                task.cancel()
            await asyncio.gather(running, stopped, return_exceptions=True)
            await self._stop_all()

    async def _run_all(self) -> None:
        local = self._plan.local_model()
        if local is not None:
            self._processes.append(local)
            await self._start(local)
        services = self._plan.services(local.ready["http"] if local else "")
        self._processes.extend(services)
        await _all(*(self._start(service) for service in services))
        self._write_ready()
        await _all(*(self._keep(process) for process in self._processes))

    async def _start(self, process: Process) -> None:
        await process.start()
        where = f" at {process.ready['http']}/v1" if process.name == "local_model" else ""
        self._say(f"  {process.name} serves{where}")

    def _write_ready(self) -> None:
        gateway = next(process for process in self._processes if process.name == "gateway")
        running = Running(
            http_url=gateway.ready["http"],
            grpc_address=gateway.ready["grpc"],
            api_key=self._api_key,
            pids={process.name: process.pid for process in self._processes},
        )
        gateway.set_environment(
            TRIPTYCH_GATEWAY_HTTP_LISTEN=running.http_url.removeprefix("http://"),
            TRIPTYCH_GATEWAY_GRPC_LISTEN=running.grpc_address,
        )
        self._plan.data.write_ready(running)
        self._on_ready(running)

    async def _keep(self, process: Process) -> None:
        """Starts a process again whenever it dies. Raises: CommandError if that happens too often."""
        deaths: deque[float] = deque(maxlen=_MOST_RESTARTS)
        while True:
            code = await process.wait()
            deaths.append(time.monotonic())
            if len(deaths) == _MOST_RESTARTS and deaths[-1] - deaths[0] < _RESTARTS_WITHIN_SECONDS:
                raise CommandError(f"{process.name} has died {_MOST_RESTARTS} times within a minute (exit code {code})")
            self._say(f"{process.name} has ended (exit code {code}); starting it again")
            await asyncio.sleep(_FIRST_WAIT_SECONDS * 2 ** len(deaths))
            await process.start()
            self._write_ready_again()

    def _write_ready_again(self) -> None:
        """The same addresses, with the new process's id."""
        known = self._plan.data.read_ready()
        if known is not None:
            known.pids.update({process.name: process.pid for process in self._processes})
            self._plan.data.write_ready(known)

    async def _stop_all(self) -> None:
        """The door first, so that what is under way inside can end."""
        for process in reversed(self._processes):
            await process.stop()
        self._plan.remove_sockets()


async def _all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Runs them together; the first failure ends the others. Raises: CommandError."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except* CommandError as errors:
        raise errors.exceptions[0] from None
