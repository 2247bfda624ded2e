"""What an account shares × {its user reads, its user writes, another account's user}: the last finds nothing there."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.tenancy.variants import check_no_leak, missing, plain, with_id, without_times
from tests.tenancy.world import SHARED, World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
_LATER = "2126-01-01T00:00:00Z"

# RPC, a request of a user of the account, and the kind of the account's resource in it.
READS: tuple[tuple[str, Any, str], ...] = (
    ("ArchivalService/GetArchive", {"archive_id": "{shared_archive}"}, "shared_archive"),
    ("ArchivalService/ListPassages", {"archive_ids": ["{shared_archive}"]}, "shared_archive"),
    ("ArchivalService/CountPassages", {"archive_ids": ["{shared_archive}"]}, "shared_archive"),
    ("ArchivalService/SearchPassages", {"archive_ids": ["{shared_archive}"], "query": "OWN-WORDS"}, "shared_archive"),
    ("ArchivalService/ListDocuments", {"archive_ids": ["{shared_archive}"]}, "shared_archive"),
    ("ArchivalService/GetPassage", {"passage_id": "{shared_passage}"}, "shared_passage"),
    ("ArchivalService/GetDocument", {"document_id": "{shared_document}"}, "shared_document"),
    ("AgentService/GetBlock", {"block_id": "{shared_block}"}, "shared_block"),
    ("AgentService/AttachBlock", {"agent_id": "{+agent}", "block_id": "{shared_block}"}, "shared_block"),
    ("AgentService/CreateAgent", {"agent": {"name": "n"}, "block_ids": ["{shared_block}"]}, "shared_block"),
    ("AgentService/ListBlockRevisions", {"block_id": "{shared_block}"}, "shared_block"),
    ("AgentService/GetBlockAsOf", {"block_id": "{shared_block}", "time": _LATER}, "shared_block"),
    ("AgentService/DiffBlockRevisions", {"block_id": "{shared_block}", "to_revision": 1}, "shared_block"),
    ("ProviderService/GetProvider", {"provider_id": "{shared_provider}"}, "shared_provider"),
)
_INSERT = {"archive_id": "{shared_archive}", "request_id": "{uuid}", "passages": [{"text": "a fact"}]}
_FILE = {"archive_id": "{shared_archive}", "file_name": "{uuid}.txt", "request_id": "{uuid}"}
WRITES: tuple[tuple[str, Any, str], ...] = (
    (
        "ArchivalService/UpdateArchive",
        {"archive": {"id": "{shared_archive}", "name": "n"}, "update_mask": "name"},
        "shared_archive",
    ),
    ("ArchivalService/DeleteArchive", {"archive_id": "{shared_archive}"}, "shared_archive"),
    ("ArchivalService/InsertPassages", _INSERT, "shared_archive"),
    ("ArchivalService/AddDocument", [{"header": _FILE}, {"chunk": "QW5vdGhlciBmaWxlLg=="}], "shared_archive"),
    (
        "ArchivalService/RestoreDocument",
        {
            "document": {
                "id": "{shared_document}",
                "archive_id": "{archive}",
                "file_name": "f",
                "content_sha256": "0" * 64,
            }
        },
        "shared_document",
    ),
    ("ArchivalService/DeletePassage", {"passage_id": "{shared_passage}"}, "shared_passage"),
    ("ArchivalService/DeleteDocument", {"document_id": "{shared_document}"}, "shared_document"),
    (
        "AgentService/UpdateBlock",
        {"block": {"id": "{shared_block}", "value": "v"}, "update_mask": "value"},
        "shared_block",
    ),
    ("AgentService/DeleteBlock", {"block_id": "{shared_block}"}, "shared_block"),
    ("AgentService/UndoBlockRevision", {"block_id": "{shared_block}", "revision": 2}, "shared_block"),
    (
        "ProviderService/UpdateProvider",
        {"provider": {"id": "{shared_provider}", "api_key": "k"}, "update_mask": "apiKey"},
        "shared_provider",
    ),
    ("ProviderService/DeleteProvider", {"provider_id": "{shared_provider}"}, "shared_provider"),
)
# With a name given, an archive that is not there is made: so it is for a foreign id, and not for the account's.
MAKING_WRITES: tuple[tuple[str, Any, str], ...] = (
    ("ArchivalService/CreateArchive", {"archive": {"id": "{shared_archive}", "name": "n"}}, "shared_archive"),
    ("ArchivalService/InsertPassages", {**_INSERT, "create_archive_name": "n"}, "shared_archive"),
    (
        "ArchivalService/AddDocument",
        [{"header": {**_FILE, "create_archive_name": "n"}}, {"chunk": "QW5vdGhlciBmaWxlLg=="}],
        "shared_archive",
    ),
)
PATHS: tuple[tuple[str, str, str, str], ...] = (
    ("GET", "/v1/archives/{}", "shared_archive", ""),
    ("PATCH", "/v1/archives/{}", "shared_archive", "name"),
    ("DELETE", "/v1/archives/{}", "shared_archive", ""),
    ("POST", "/v1/archives/{}/passages", "shared_archive", "text"),
    ("GET", "/v1/folders/{}/files", "shared_archive", ""),
    ("GET", "/v1/blocks/{}", "shared_block", ""),
    ("PATCH", "/v1/blocks/{}", "shared_block", "value"),
    ("DELETE", "/v1/blocks/{}", "shared_block", ""),
    ("GET", "/v1/model-providers/{}", "shared_provider", ""),
    ("DELETE", "/v1/model-providers/{}", "shared_provider", ""),
)


async def _answer(world: World, rpc: str, template: Any, asked: str = "") -> tuple[str, bytes]:
    try:
        responses = await world.call("ann", rpc, await world.fill("ann", template))
    except grpc.aio.AioRpcError as error:
        code, raw = error.code().name, (error.details() or "").encode()
    else:
        code, raw = "OK", b"|".join(without_times(response) for response in responses)
    check_no_leak(world, raw, asked)
    return code, plain(raw)


@pytest.mark.parametrize(("rpc", "template", "kind"), READS)
@IN_ONE_LOOP
async def test_a_user_reads_what_its_account_shares(world: World, rpc: str, template: Any, kind: str) -> None:
    assert (await _answer(world, rpc, template))[0] == "OK"


@pytest.mark.parametrize(("rpc", "template", "kind"), [*WRITES, *MAKING_WRITES])
@IN_ONE_LOOP
async def test_a_user_does_not_change_it(world: World, rpc: str, template: Any, kind: str) -> None:
    assert (await _answer(world, rpc, template))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize(("rpc", "template", "kind"), [*READS, *WRITES])
@IN_ONE_LOOP
async def test_another_accounts_and_the_missing_are_the_same_bytes(
    world: World, rpc: str, template: Any, kind: str
) -> None:
    foreign = world.ids["cyd"][kind]
    answers = [
        await _answer(world, rpc, with_id(template, kind, asked), asked) for asked in (foreign, missing(foreign))
    ]
    assert answers[0] == answers[1]
    # Recall's manner, where a list is asked for: it is empty.
    assert answers[0][0] == ("OK" if "archive_ids" in str(template) else "NOT_FOUND")


@pytest.mark.parametrize(("method", "path", "kind", "field"), PATHS)
@IN_ONE_LOOP
async def test_rest_says_the_same(world: World, method: str, path: str, kind: str, field: str) -> None:
    body = {field: "x"} if field else None
    foreign = world.ids["cyd"][kind]
    own, theirs, absent = [
        await world.http.request(method, path.format(each), json=body)
        for each in (world.ids["ann"][kind], foreign, missing(foreign))
    ]
    assert own.status_code == (200 if method == "GET" else 403)
    assert theirs.status_code == absent.status_code == 404
    assert plain(theirs.content) == plain(absent.content)


@IN_ONE_LOOP
async def test_lists_show_the_accounts_where_it_is_asked_for(world: World) -> None:
    for rpc, field in (
        ("ArchivalService/ListArchives", "archives"),
        ("AgentService/ListBlocks", "blocks"),
        ("ProviderService/ListProviders", "providers"),
    ):
        kind = f"shared_{field.removesuffix('s')}"
        own = {each.id for each in getattr(await world.ask("ann", rpc, {"page_size": 1000}), field)}
        shared = getattr(await world.ask("ann", rpc, {"shared": True}), field)
        assert world.ids["ann"][kind] not in own
        assert world.ids["ann"][kind] in {each.id for each in shared}
        assert all(each.shared for each in shared)
        assert world.ids["cyd"][kind] not in {each.id for each in shared}


def test_every_kind_that_is_shared_is_asked_about() -> None:
    assert {kind for *_, kind in READS} == {kind for *_, kind in WRITES} == set(SHARED)
