"""Every RPC × {own, foreign, missing, malformed id, id in another case}: the foreign is as if it were not there."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.tenancy.rpc_rows import OPERATORS, ROWS
from tests.tenancy.variants import check_no_leak, kinds_in, malformed, missing, plain, with_id, without_times
from tests.tenancy.world import METHODS, World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
CASES = [(rpc, kind) for rpc, template in ROWS.items() for kind in kinds_in(template)]


def test_every_method_is_in_the_matrix() -> None:
    uncovered = METHODS.keys() - ROWS.keys() - set(OPERATORS)
    assert not uncovered, (
        f"{sorted(uncovered)}: add a row to ROWS in tests/tenancy/rpc_rows.py, with a request that succeeds for Ann "
        "and a placeholder such as {agent} wherever an id stands"
    )
    assert not ROWS.keys() - METHODS.keys(), f"no such method: {sorted(ROWS.keys() - METHODS.keys())}"


def test_every_id_of_a_request_is_asked_about() -> None:
    names = {name for method in METHODS.values() for name in method.input_type.fields_by_name}
    # Ids of the caller's own making.
    for name in sorted(name for name in names if name.endswith("_id") and name != "request_id"):
        used = [rpc for rpc, row in ROWS.items() if f'"{name}"' in str(row).replace("'", '"')]
        having = [rpc for rpc in ROWS if name in METHODS[rpc].input_type.fields_by_name]
        assert used or not having, f"no row of tests/tenancy/rpc_rows.py has a {name}"


async def _answer(world: World, rpc: str, request: Any, asked: str = "") -> tuple[str, bytes]:
    """The code, and all bytes of the answer or of the error. Nothing of the others may be in it."""
    try:
        responses = await world.call("ann", rpc, request)
    except grpc.aio.AioRpcError as error:
        details = b"".join(
            value if isinstance(value, bytes) else value.encode() for _, value in error.trailing_metadata() or ()
        )
        code, raw = error.code().name, (error.details() or "").encode() + b"|" + details
    else:
        code, raw = "OK", b"|".join(without_times(response) for response in responses)
    check_no_leak(world, raw, asked)
    return code, plain(raw)


@pytest.mark.parametrize("rpc", ROWS)
@IN_ONE_LOOP
async def test_ones_own_is_served(world: World, rpc: str) -> None:
    assert (await _answer(world, rpc, await world.fill("ann", ROWS[rpc])))[0] == "OK"


@pytest.mark.parametrize(("rpc", "kind"), CASES)
@IN_ONE_LOOP
async def test_the_foreign_and_the_missing_are_the_same_bytes(world: World, rpc: str, kind: str) -> None:
    foreign, absent = world.stranger(kind), missing(world.stranger(kind))
    answers = [
        await _answer(world, rpc, await world.fill("ann", with_id(ROWS[rpc], kind, asked)), asked)
        for asked in (foreign, absent)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("rpc", "kind"), CASES)
@IN_ONE_LOOP
async def test_an_id_in_another_case_is_another_id(world: World, rpc: str, kind: str) -> None:
    own = world.ids["ann"][kind]
    changed, absent = own.upper(), missing(own).upper()
    answers = [
        (await _answer(world, rpc, await world.fill("ann", with_id(ROWS[rpc], kind, asked)), asked))[0]
        for asked in (changed, absent)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("rpc", "kind"), CASES)
@IN_ONE_LOOP
async def test_a_malformed_id_is_refused_or_not_found(world: World, rpc: str, kind: str) -> None:
    for asked in malformed():
        code, _ = await _answer(world, rpc, await world.fill("ann", with_id(ROWS[rpc], kind, asked)), asked)
        assert code in ("OK", "NOT_FOUND", "INVALID_ARGUMENT"), asked


@pytest.mark.parametrize("rpc", OPERATORS)
@IN_ONE_LOOP
async def test_an_operators_method_is_closed_to_an_admin(world: World, rpc: str) -> None:
    assert (await _answer(world, rpc, {}))[0] == "PERMISSION_DENIED"
