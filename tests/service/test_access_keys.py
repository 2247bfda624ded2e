"""Keys, users and accounts at the door. The gateway alone is enough: nothing here reaches a tier."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from sqlalchemy import Connection

from gateway.stores import users
from tests.support.door import FIRST_KEY, Door, opened
from triptych import AsyncTriptych
from triptych.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1 import gateway_pb2_grpc


@pytest.fixture
async def door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, "gateway") as opened_door:
        yield opened_door


async def test_a_rotated_key_opens_with_both_secrets_until_the_overlap_ends(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
        made = await admin.keys.create("bob")
        rotated = await admin.keys.rotate(made.key.id, overlap_seconds=60)
        for secret in (made.secret, rotated.secret):
            async with door.client(secret) as bob:
                assert (await bob.users.me()).user.name == "bob"
        again = await admin.keys.rotate(made.key.id)
        for secret in (made.secret, rotated.secret):
            async with door.client(secret) as bob:
                with pytest.raises(Unauthenticated):
                    await bob.users.me()
        async with door.client(again.secret) as bob:
            assert (await bob.users.me()).user.name == "bob"
        await admin.keys.revoke(made.key.id)
        with pytest.raises(FailedPrecondition):
            await admin.keys.rotate(made.key.id)


async def test_an_expired_key_is_refused_though_it_was_believed_a_moment_ago(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
        ends = datetime.now(UTC) + timedelta(seconds=1)
        secret = (await admin.keys.create("bob", expires=ends)).secret
        with pytest.raises(InvalidArgument, match="future"):
            await admin.keys.create("bob", expires=datetime.now(UTC) - timedelta(seconds=1))
        async with door.client(secret) as bob:
            await bob.users.me()
            with pytest.raises(Unauthenticated):
                await _asked_until(bob, ends.timestamp() + 5)


async def test_an_expired_key_is_not_rotated_to_a_secret_that_opens_nothing(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob")
        made = await admin.keys.create("bob", expires=datetime.now(UTC) + timedelta(seconds=0.2))
        await asyncio.sleep(0.3)
        with pytest.raises(FailedPrecondition, match="expired"):
            await admin.keys.rotate(made.key.id)


async def test_a_key_that_is_revoked_while_it_is_looked_up_opens_nothing_afterwards(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, found, get = threading.Event(), threading.Event(), users.get
    async with door.client() as admin:
        bobs = await admin.users.create("bob")
        made = await admin.keys.create("bob")

        def slow(connection: Connection, account_id: str, id_or_name: str) -> pb.User:
            if id_or_name == bobs.id:
                looking.set()
                found.wait(20)
            return get(connection, account_id, id_or_name)

        monkeypatch.setattr(users, "get", slow)
        async with door.client(made.secret) as bob:
            under_way = asyncio.create_task(bob.users.me())
            assert await asyncio.to_thread(looking.wait, 20)
            await admin.keys.revoke(made.key.id)
            found.set()
            await asyncio.wait([under_way])
            with pytest.raises(Unauthenticated):
                await bob.users.me()


async def test_a_read_only_key_reads_and_does_not_write(door: Door) -> None:
    async with door.client() as admin:
        user = await admin.users.create("bob")
        key = await admin.keys.create("bob", scope=pb.KEY_SCOPE_READ_ONLY)
        reading_admin = (await admin.keys.create("bob", kind=pb.KEY_KIND_ADMIN, scope=pb.KEY_SCOPE_READ_ONLY)).secret
    async with door.client(key.secret) as bob:
        me = await bob.users.me()
        assert (me.user.id, me.scope) == (user.id, pb.KEY_SCOPE_READ_ONLY)
        with pytest.raises(PermissionDenied, match="read-only"):
            await bob.agents.create("a")
    async with door.client(reading_admin) as bob:
        with pytest.raises(PermissionDenied):
            await bob.users.create("eve")


async def test_an_admin_can_neither_make_nor_end_an_operators_key(door: Door) -> None:
    async with door.client() as operator:
        made = await operator.accounts.create("acme")
        operators = (await operator.keys.create("default", kind=pb.KEY_KIND_OPERATOR)).key
        admins = (await operator.keys.create("default", kind=pb.KEY_KIND_ADMIN)).secret
        assert {"default", "acme"} == {account.name async for account in operator.accounts.list()}
        with pytest.raises(AlreadyExists):
            await operator.accounts.create("acme")
    async with door.client(admins) as admin:
        with pytest.raises(PermissionDenied, match="operator"):
            await admin.keys.create("default", kind=pb.KEY_KIND_OPERATOR)
        for change in (admin.keys.revoke, admin.keys.rotate):
            with pytest.raises(PermissionDenied, match="operator"):
                await change(operators.id)
        with pytest.raises(PermissionDenied, match="operator"):
            await admin.accounts.create("evil")
        # Another account's key is as good as none.
        with pytest.raises(NotFound):
            await admin.keys.revoke(made.key.id)
    async with door.client(made.secret) as other:
        assert [user.name async for user in other.users.list()] == ["admin"]


async def test_an_application_makes_its_users_by_naming_them(door: Door) -> None:
    async with door.client() as admin:
        key = (await admin.keys.create(kind=pb.KEY_KIND_APPLICATION)).secret
        async with door.client(key, user="end-user-1") as one, door.client(key, user="end-user-2") as two:
            first, second = (await one.users.me()).user, (await two.users.me()).user
            assert first.id != second.id
            assert (await one.users.me()).user.id == first.id
        async with door.client(key, user="user-00000000-0000-0000-0000-000000000000") as nobody:
            with pytest.raises(NotFound):
                await nobody.users.me()
        await admin.users.update(first.id, disabled=True)
        async with door.client(key, user="end-user-1") as one:
            with pytest.raises(PermissionDenied, match="disabled"):
                await one.users.me()


async def test_an_application_acts_for_a_user_of_any_name_by_each_way_in(door: Door) -> None:
    async with door.client() as admin:
        key = (await admin.keys.create(kind=pb.KEY_KIND_APPLICATION)).secret
    async with door.client(key, user="Анна") as anna:
        me = await anna.users.me()
        assert me.user.name == "Анна"
    async with door.http(key) as http:
        mine = (await http.get("/v1/me", headers={b"triptych-user": "Анна".encode()})).json()
        assert mine["user"]["id"] == me.user.id
    async with door.client(key, user="Анна\x00") as nobody:
        with pytest.raises(InvalidArgument):
            await nobody.users.me()
    async with grpc.aio.insecure_channel(door.address) as channel:
        who = gateway_pb2_grpc.GatewayServiceStub(channel).WhoAmI
        for more in [("triptych-user-bin", b"\xff")], [("triptych-user-bin", b"ann"), ("triptych-user", "bob")]:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await who(pb.WhoAmIRequest(), metadata=[("authorization", f"Bearer {key}"), *more])
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_disabled_users_keys_are_refused_at_once_and_work_again_later(door: Door) -> None:
    async with door.client() as admin:
        await admin.users.create("bob", metadata={"plan": "free"})
        secret = (await admin.keys.create("bob")).secret
        async with door.client(secret) as bob:
            await bob.users.me()
            await admin.users.update("bob", disabled=True)
            with pytest.raises(PermissionDenied, match="disabled"):
                await bob.users.me()
            changed = await admin.users.update("bob", name="robert", disabled=False)
            assert (changed.name, changed.metadata["plan"]) == ("robert", "free")
            assert (await bob.users.me()).user.name == "robert"


async def test_the_store_has_no_secret_and_no_digest_that_can_be_made_without_the_gateways(
    door: Door, tmp_path: Path
) -> None:
    import hashlib

    async with door.client() as admin:
        secret = (await admin.keys.create("default")).secret
    with sqlite3.connect(tmp_path / "gateway.db") as store:
        kept = [row[0] for row in store.execute("SELECT digest FROM keys")]
    plain = hashlib.sha256(secret.encode()).hexdigest()
    assert len(kept) == 2
    assert plain not in kept
    assert secret not in kept


async def test_last_use_is_written_by_the_way_and_not_lost_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, "gateway") as door, door.client() as admin:
        key = (await admin.keys.create("default")).key
        assert not [k async for k in admin.keys.list() if k.HasField("last_use_time")]
    async with opened(tmp_path, capsys, "gateway") as door, door.client() as admin:
        used = {k.id for k in [k async for k in admin.keys.list()] if k.HasField("last_use_time")}
        assert len(used) == 1
        assert key.id not in used


async def test_keys_of_a_version_without_the_gateways_secret_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    async with opened(tmp_path, capsys, "gateway"):
        pass
    with sqlite3.connect(tmp_path / "gateway.db") as store:
        old = hashlib.sha256(FIRST_KEY.encode()).hexdigest()
        store.execute("UPDATE keys SET digest = ?, keyed = 0, kind = 3, scope = 0", (old,))
    store.close()
    async with opened(tmp_path, capsys, "gateway") as door, door.client() as admin:
        assert (await admin.users.me()).kind == pb.KEY_KIND_OPERATOR
        assert len([key async for key in admin.keys.list()]) == 1


async def test_a_gateway_with_another_secret_says_so_and_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from servicekit.sql import StoreError

    async with opened(tmp_path, capsys, "gateway"):
        pass
    other = tmp_path / "other"
    other.write_text("another secret of the gateway")
    with pytest.raises(StoreError, match="TRIPTYCH_GATEWAY_SECRET_FILE"):
        async with opened(tmp_path, capsys, "gateway", more={"TRIPTYCH_GATEWAY_SECRET_FILE": str(other)}):
            pass


async def test_rest_manages_users_and_keys_as_grpc_does(door: Door) -> None:
    async with door.http() as http:
        made = (await http.post("/v1/admin/users", json={"name": "bob", "metadata": {"a": 1}})).json()["user"]
        assert (await http.get("/v1/admin/users/bob")).json()["user"] == made
        body = {"kind": "KEY_KIND_USER", "user_id": "bob"}
        created = await http.post("/v1/admin/keys", json=body, headers={"idempotency-key": "k1"})
        again = await http.post("/v1/admin/keys", json=body, headers={"idempotency-key": "k1"})
        assert (created.status_code, again.status_code) == (200, 409)
        key = created.json()
        rotated = (await http.post(f"/v1/admin/keys/{key['key']['id']}/rotate", json={"overlap_seconds": 5})).json()
        async with door.http(rotated["secret"]) as bob:
            assert (await bob.get("/v1/me")).json()["user"]["name"] == "bob"
            assert (await bob.get("/v1/admin/users")).status_code == 403
        patched = await http.patch("/v1/admin/users/bob", json={"disabled": True})
        assert patched.json()["user"]["disabled"] is True
        assert (await http.delete(f"/v1/admin/keys/{key['key']['id']}")).json()["key"]["revoke_time"]
        listed = (await http.get("/v1/admin/keys", params={"user_id": "bob", "page_size": 1})).json()
        assert [each["id"] for each in listed["keys"]] == [key["key"]["id"]]
        for path, wrong in (
            ("/v1/admin/users", {"nme": "x"}),
            ("/v1/admin/keys", {"kind": 99}),
            ("/v1/admin/users", []),
        ):
            assert (await http.post(path, json=wrong)).status_code == 422


async def _asked_until(client: AsyncTriptych, end: float) -> None:
    while time.time() < end:
        await client.users.me()
