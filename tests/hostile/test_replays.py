"""The same `request_id` again, on every method that has one: one effect, one answer; for other content, an error."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from tests.tenancy.rpc_rows import ROWS
from tests.tenancy.variants import without_times
from tests.tenancy.world import METHODS, World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
RPCS = [rpc for rpc in ROWS if "request_id" in METHODS[rpc].input_type.fields_by_name]
# Their answers have a secret that is shown once, so a replay can't have it.
_SHOWN_ONCE = ("GatewayService/CreateKey", "GatewayService/RotateKey")
_REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION)


def _under(request_id: str, template: Any) -> Any:
    """The template with that `request_id`, wherever it has or may have one."""
    if isinstance(template, list):
        return [_under(request_id, template[0]), *template[1:]]
    if "header" in template:
        return {"header": {**template["header"], "request_id": request_id}}
    return {**template, "request_id": request_id}


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if rpc not in _SHOWN_ONCE])
@IN_ONE_LOOP
async def test_sent_again_it_has_one_effect_and_the_same_answer(world: World, rpc: str) -> None:
    request = await world.fill("ann", _under(f"again-{rpc}", ROWS[rpc]))
    first, second = [await world.call("ann", rpc, request) for _ in range(2)]
    assert [without_times(each) for each in first] == [without_times(each) for each in second]


@pytest.mark.parametrize("rpc", _SHOWN_ONCE)
@IN_ONE_LOOP
async def test_a_secret_is_made_once_and_not_shown_again(world: World, rpc: str) -> None:
    request = await world.fill("ann", _under(f"again-{rpc}", ROWS[rpc]))
    await world.call("ann", rpc, request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call("ann", rpc, request)
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if "{words}" in json.dumps(ROWS[rpc])])
@IN_ONE_LOOP
async def test_used_for_something_else_it_is_refused(world: World, rpc: str) -> None:
    request = await world.fill("ann", _under(f"reused-{rpc}", ROWS[rpc]))
    await world.call("ann", rpc, request)
    other = json.loads(json.dumps(request).replace("ANNS-OWN-WORDS", "something else"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call("ann", rpc, other)
    assert caught.value.code() in _REFUSED, caught.value
