"""SQLite's plans, which a statement's words decide: what is asked again and again must not grow with what is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from agent_service import clock
from agent_service.store import Store, open_store
from agent_service.stores import agents, sleeps, thinning, turns, unfinished
from tests.support.keys import ANN
from triptych.agent.v1.agent_pb2 import Agent, Block
from triptych.agent.v1.turn_pb2 import InputMessage, StartTurnRequest

TENANT = ANN.tenant


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """As its migrations have made it."""
    opened = open_store(f"sqlite:///{tmp_path / 'agent.db'}")
    yield opened
    await opened.close()


async def test_an_agent_is_read_by_its_own_keys_however_many_blocks_its_user_has(store: Store) -> None:
    """Beginning with the user's blocks it would grow with them."""
    made = await store.write(lambda c: agents.create(c, TENANT, _agent(), []))
    plans = await store.read(lambda c: _plans(c, lambda: agents.get(c, TENANT, made.id)))
    assert any("SEARCH agent_blocks" in plan for plan in plans)
    assert not any("_by_time" in plan or "SCAN" in plan for plan in plans), plans


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (unfinished.every, "turns_unfinished"),
        (lambda c: thinning.due(c, clock.now(), 50), "turns_with_words"),
        (lambda c: sleeps.due(c, 10), "sleeps_due"),
    ],
)
async def test_what_is_looked_for_all_the_time_has_an_index_of_its_own(
    store: Store, look: Callable[[Connection], object], index: str
) -> None:
    plans = await store.read(lambda c: _plans(c, lambda: look(c)))
    assert any(index in plan for plan in plans), plans
    assert not any("SCAN turns" in plan and index not in plan for plan in plans), plans


async def test_a_turn_is_accepted_by_keys(store: Store) -> None:
    made = await store.write(lambda c: agents.create(c, TENANT, _agent(), []))
    request = StartTurnRequest(agent_id=made.id, request_id="r", messages=[InputMessage(text="hello")])
    plans = await store.write(lambda c: _plans(c, lambda: turns.accept(c, TENANT, request, "me", idle=True)))
    assert plans
    assert not any("SCAN" in plan for plan in plans), plans


def _agent() -> Agent:
    return Agent(name="ann", blocks=[Block(label="human", value="Ann")])


def _plans(connection: Connection, work: Callable[[], object]) -> list[str]:
    """How the selects are run that the driver is given, with their values."""
    asked: list[str] = []
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_trace_callback(asked.append)
    work()
    driver.set_trace_callback(None)
    return [_plan(connection, each) for each in asked if each.startswith("SELECT")]


def _plan(connection: Connection, statement: str) -> str:
    return "; ".join(str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}"))
