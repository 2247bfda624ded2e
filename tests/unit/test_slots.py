"""Whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from gateway.usage import slots as slots_module
from gateway.usage.slots import Slots
from servicekit.principal import Tenant
from triptych.errors import ResourceExhausted

ANN, BOB = Tenant("a", "ann"), Tenant("a", "bob")


class Calls:
    """Calls that go on until they are told to end. `begun`: whose, in the order in which they got their slots."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.begun: list[Tenant] = []
        self.three_begun = asyncio.Event()
        self._end = asyncio.Semaphore(0)

    def start(self, tenant: Tenant) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._call(tenant))

    async def end(self, count: int) -> None:
        for _ in range(count):
            self._end.release()
            await settled()

    async def _call(self, tenant: Tenant) -> None:
        async with self._slots.taken(tenant):
            self.begun.append(tenant)
            if len(self.begun) == 3:
                self.three_begun.set()
            await self._end.acquire()


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_HELD_SECONDS", 60.0)


async def test_who_comes_late_with_one_call_is_next_and_not_last() -> None:
    calls = Calls(Slots(2, alone=2, sharing=1, waiting=100, rest=0))
    flood = [calls.start(ANN) for _ in range(50)]
    await settled()
    assert calls.begun == [ANN, ANN]
    bob = calls.start(BOB)
    await settled()
    await calls.end(1)
    assert calls.begun[2:] == [BOB]
    await calls.end(60)
    await asyncio.gather(bob, *flood)
    assert calls.begun.count(ANN) == 50


async def test_one_alone_has_more_slots_than_one_who_shares() -> None:
    calls = Calls(Slots(10, alone=4, sharing=1, waiting=100, rest=0))
    tasks = [calls.start(ANN) for _ in range(6)]
    await settled()
    assert len(calls.begun) == 4
    tasks += [calls.start(BOB) for _ in range(3)]
    await settled()
    assert calls.begun.count(BOB) == 1
    await calls.end(20)
    await asyncio.gather(*tasks)
    assert len(calls.begun) == 9


async def test_a_call_that_is_cancelled_while_it_waits_leaves_no_hole() -> None:
    calls = Calls(Slots(1, alone=1, sharing=1, waiting=100, rest=0))
    first, waiting, last = (calls.start(ANN) for _ in range(3))
    await settled()
    waiting.cancel()
    await settled()
    await calls.end(2)
    await asyncio.gather(first, last)
    assert len(calls.begun) == 2


async def test_a_long_call_makes_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_HELD_SECONDS", 0.01)
    calls = Calls(Slots(1, alone=1, sharing=1, waiting=100, rest=0))
    tasks = [calls.start(ANN) for _ in range(3)]
    async with asyncio.timeout(5):
        await calls.three_begun.wait()
    await calls.end(3)
    await asyncio.gather(*tasks)
    # What was given back early is not given back twice.
    monkeypatch.setattr(slots_module, "_HELD_SECONDS", 60.0)
    more = [calls.start(ANN) for _ in range(3)]
    await settled()
    assert len(calls.begun) == 4
    await calls.end(3)
    await asyncio.gather(*more)


async def test_more_waiting_calls_than_one_may_have_are_refused() -> None:
    calls = Calls(Slots(1, alone=1, sharing=1, waiting=2, rest=0))
    tasks = [calls.start(ANN) for _ in range(4)]
    await settled()
    await calls.end(4)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [ResourceExhausted]


async def test_one_whose_calls_wait_rests_while_anothers_need_not() -> None:
    calls = Calls(Slots(10, alone=4, sharing=1, waiting=100, rest=1e9))
    tasks = [calls.start(BOB), calls.start(ANN), calls.start(ANN), calls.start(ANN)]
    await settled()
    assert calls.begun == [BOB, ANN]
    await calls.end(2)
    tasks.append(calls.start(BOB))
    await settled()
    # Ann's first has ended and her others wait; Bob's next begins at once.
    assert calls.begun == [BOB, ANN, BOB]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_rest_ends_by_itself() -> None:
    calls = Calls(Slots(10, alone=4, sharing=1, waiting=100, rest=1e-6))
    tasks = [calls.start(BOB), calls.start(ANN), calls.start(ANN)]
    await settled()
    await calls.end(2)
    async with asyncio.timeout(5):
        await calls.three_begun.wait()
    await calls.end(1)
    await asyncio.gather(*tasks)


async def test_nobody_rests_where_all_have_calls_waiting() -> None:
    calls = Calls(Slots(2, alone=1, sharing=1, waiting=100, rest=1e9))
    tasks = [calls.start(tenant) for tenant in (ANN, BOB, ANN, BOB)]
    await settled()
    await calls.end(4)
    await asyncio.gather(*tasks)
    assert calls.begun == [ANN, BOB, ANN, BOB]


async def test_calls_that_are_cancelled_all_at_once_leave_no_hole() -> None:
    calls = Calls(Slots(2, alone=2, sharing=1, waiting=100, rest=0))
    # A caller's connection breaks: those that run end before those that wait know that they are cancelled too.
    tasks = [calls.start(ANN) for _ in range(6)]
    await settled()
    for task in tasks[:5]:
        task.cancel()
    ended = await asyncio.gather(*tasks[:5], return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 5
    more = [calls.start(ANN) for _ in range(2)]
    await calls.end(3)
    async with asyncio.timeout(5):
        await asyncio.gather(tasks[5], *more)
