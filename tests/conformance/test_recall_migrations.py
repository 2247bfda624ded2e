"""A store of an older version is brought up to date with all that is in it."""

from __future__ import annotations

from recall_service.questions import Asks
from recall_service.store import Filters, Scope
from recall_service.stores import open_store
from tests.conformance.recall_contract import ANN
from tests.support.migrations import back_to
from tests.support.recall import batch, find_words

_SQLITE, _POSTGRES = "recall_service:migrations", "recall_service:stores/postgres/migrations"


async def test_messages_of_before_it_was_noted_are_known_to_ask(dsn: str) -> None:
    store = open_store(dsn)
    await store.append(ANN, batch("Where is the boat?", "The boat is here."))
    await store.close()
    sqlite = dsn.startswith("sqlite")
    back_to(*(("0004", dsn, _SQLITE) if sqlite else ("0002", dsn, _POSTGRES)))
    store = open_store(dsn)
    try:
        numbers = [found.n for found in await find_words(store, ANN, "boat", Filters(), 10)]
        places = await store.look(ANN, lambda seen: seen.places(numbers, Scope()))
        assert places.asks.tolist() == [Asks.LAST | Asks.ONLY, Asks.NOTHING]
    finally:
        await store.close()
