"""What every archival store promises of an account's archives: its users read them where they name them."""

from __future__ import annotations

import pytest

from archival_service.store import ArchivalStore, Filters
from servicekit.principal import Tenant
from tests.conformance.archival_contract import BOAT, CAT, LEXICAL, SEMANTIC, find, page
from tests.support.archival import insert_request
from tests.support.keys import new_user
from triptych.archival.v1.archival_pb2 import Archive, ListPassagesRequest
from triptych.errors import NotFound, PermissionDenied


class SharingWithUsers:
    @pytest.mark.parametrize("mode", [LEXICAL, SEMANTIC])
    async def test_a_users_search_finds_its_own_and_the_accounts_that_it_names(
        self, store: ArchivalStore, tenant: Tenant, mode: int
    ) -> None:
        own, shared = insert_request(CAT), insert_request(BOAT)
        await store.insert(tenant, own)
        await store.insert(tenant.account, shared)
        named = Filters(archive_ids=(own.archive_id, shared.archive_id))
        assert set(await find(store, tenant, "boat cat", mode, named)) == {BOAT, CAT}
        assert await find(store, tenant, "boat cat", mode, Filters(archive_ids=(shared.archive_id,))) == [BOAT]
        # Without names it is the user's own.
        assert await find(store, tenant, "boat cat", mode) == [CAT]
        assert await store.count_passages(tenant, [own.archive_id, shared.archive_id]) == 2
        assert await store.count_passages(tenant, []) == 1
        listed, _ = await store.list_passages(tenant, ListPassagesRequest(archive_ids=named.archive_ids), page())
        assert [each.text for each in listed] == [CAT, BOAT]

    async def test_another_account_finds_nothing_of_it(self, store: ArchivalStore, tenant: Tenant) -> None:
        shared, stranger = insert_request(BOAT), new_user().tenant
        (passage,) = await store.insert(tenant.account, shared)
        assert await find(store, stranger, "boat", LEXICAL, Filters(archive_ids=(shared.archive_id,))) == []
        assert await store.count_passages(stranger, [shared.archive_id]) == 0
        with pytest.raises(NotFound):
            await store.get_archive(stranger, shared.archive_id)
        with pytest.raises(NotFound):
            await store.delete_passage(stranger, passage.id, [], "")

    async def test_no_user_writes_to_it_or_makes_its_own_in_its_place(
        self, store: ArchivalStore, tenant: Tenant
    ) -> None:
        shared = insert_request(BOAT)
        (passage,) = await store.insert(tenant.account, shared)
        assert (await store.get_archive(tenant, shared.archive_id)).shared
        assert (await store.get_passage(tenant, passage.id)).text == BOAT
        more = insert_request(CAT)
        more.archive_id = shared.archive_id
        for write in (
            store.insert(tenant, more),
            store.create_archive(tenant, Archive(id=shared.archive_id, name="mine"), ""),
            store.update_archive(tenant, Archive(id=shared.archive_id, name="mine"), ["name"], ""),
            store.delete_archive(tenant, shared.archive_id, ""),
            store.delete_passage(tenant, passage.id, [], ""),
        ):
            with pytest.raises(PermissionDenied):
                await write
        purged = await store.purge(tenant, [shared.archive_id], "")
        assert (purged.archives, purged.passages) == (0, 0)
        assert await store.count_passages(tenant.account, []) == 1
