"""A store of an older version is brought up to date with all that is in it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.json_format import ParseDict
from sqlalchemy import create_engine, select

from archival_service.store import Filters, Query
from archival_service.stores.tables import replacements
from embedders.wordllama import WordLlamaEmbedder
from tests.support.archival import insert_request, opened
from tests.support.keys import new_user
from tests.support.migrations import back_to
from triptych.archival.v1 import archival_pb2 as pb

_MIGRATIONS = "archival_service:migrations"


async def test_passages_of_before_there_were_documents_are_kept_and_come_from_no_file(tmp_path: Path) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        (boat,) = await archival.store.insert(tenant, insert_request("a boat"))
    back_to("0001", f"sqlite:///{tmp_path / 'archival.db'}", _MIGRATIONS)
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        (hit,) = await archival.store.search(tenant, Query("boat"), Filters(), 10)
        assert hit.passage == boat
        assert not boat.HasField("source")
        request = insert_request("a cat", archive_id=boat.archive_id)
        request.passages[0].source.CopyFrom(pb.Source(file_name="cats.txt"))
        await archival.store.insert(tenant, request)
        (hit,) = await archival.store.search(tenant, Query("boat cat"), Filters(file_names=("cats.txt",)), 10)
        assert hit.passage.text == "a cat"


async def test_what_a_passage_said_it_made_untrue_is_told_by_the_older_one(tmp_path: Path) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        (old,) = await archival.store.insert(tenant, insert_request("a boat"))
        request = insert_request("no boat", archive_id=old.archive_id)
        ParseDict({"replaces": [old.id, "passage-of-nobody"]}, request.passages[0].metadata)
        (new,) = await archival.store.insert(tenant, request)
    back_to("0003", f"sqlite:///{tmp_path / 'archival.db'}", _MIGRATIONS)
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        assert (await archival.store.get_passage(tenant, old.id)).superseded_by == new.id
        await archival.store.purge(tenant, None, "")
    engine = create_engine(f"sqlite:///{tmp_path / 'archival.db'}")
    with engine.connect() as connection:
        assert connection.execute(select(replacements)).all() == []
    engine.dispose()
