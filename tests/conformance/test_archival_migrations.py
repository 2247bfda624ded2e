"""A store of an older version is brought up to date with all that is in it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from archival_service.store import Filters, Query
from embedders.wordllama import WordLlamaEmbedder
from tests.support.archival import insert_request, opened
from tests.support.keys import new_user
from triptych.archival.v1 import archival_pb2 as pb


def back_to(revision: str, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", "archival_service:migrations")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()
    engine.dispose()


async def test_passages_of_before_there_were_documents_are_kept_and_come_from_no_file(tmp_path: Path) -> None:
    tenant = new_user().tenant
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        (boat,) = await archival.store.insert(tenant, insert_request("a boat"))
    back_to("0001", tmp_path / "archival.db")
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        (hit,) = await archival.store.search(tenant, Query("boat"), Filters(), 10)
        assert hit.passage == boat
        assert not boat.HasField("source")
        request = insert_request("a cat", archive_id=boat.archive_id)
        request.passages[0].source.CopyFrom(pb.Source(file_name="cats.txt"))
        await archival.store.insert(tenant, request)
        (hit,) = await archival.store.search(tenant, Query("boat cat"), Filters(file_names=("cats.txt",)), 10)
        assert hit.passage.text == "a cat"
