"""Everything that is an admin's × a user of the same account who is none: refused, whatever it names."""

from __future__ import annotations

import grpc
import pytest

from tests.tenancy import rest_rows, rpc_rows
from tests.tenancy.test_rest import ROUTES, path_of, template
from tests.tenancy.world import World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
# What the door has for everybody. Anything else of it is an admin's until it stands here.
_EVERYBODYS = ("GatewayService/Session", "GatewayService/WhoAmI")
RPCS = [rpc for rpc in rpc_rows.ROWS if rpc.startswith("GatewayService/") and rpc not in _EVERYBODYS]
ADMIN_ROUTES = [route for route in ROUTES if "/admin/" in route]


def test_there_are_some() -> None:
    assert len(RPCS) > 10
    assert len(ADMIN_ROUTES) > 10


@pytest.mark.parametrize("rpc", RPCS)
@IN_ONE_LOOP
async def test_an_admins_method_is_closed_to_others(world: World, rpc: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.call("dan", rpc, await world.fill("ann", rpc_rows.ROWS[rpc]))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("route", ADMIN_ROUTES)
@IN_ONE_LOOP
async def test_an_admins_route_is_closed_to_others(world: World, route: str) -> None:
    filled = await world.fill("ann", template(route))
    async with world.http_of("dan") as http:
        response = await http.request(
            route.split(" ", 1)[0], path_of(route, filled), params=filled["query"], json=filled["body"]
        )
    assert response.status_code == 403, response.text


def test_every_admins_route_has_its_row() -> None:
    writes = [route for route in ADMIN_ROUTES if not route.startswith("GET ")]
    assert not set(writes) - rest_rows.ROWS.keys()
