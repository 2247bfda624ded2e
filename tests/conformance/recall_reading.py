"""What every backend of RecallStore has to do: lists and searches."""

from __future__ import annotations

import numpy as np
import pytest

from embedders import Vectors
from recall_service.questions import Asks
from recall_service.store import Filters, RecallStore, Scope
from recall_service.stores.reading import MOST_BYTES
from servicekit.principal import Tenant
from tests.support.recall import batch, find_meaning, find_words, numbered, page, said, texts
from triptych.errors import InvalidArgument, ResourceExhausted
from triptych.recall.v1.recall_pb2 import ListMessagesRequest
from triptych.type.v1 import type_pb2

ANN = Tenant("account", "ann")
CONVERSATION = ListMessagesRequest(agent_id="agent-1", conversation_id="conv-1")


def _axis(number: int) -> Vectors:
    vector: Vectors = np.eye(4, dtype=np.float32)[number]
    return vector


async def _embed(store: RecallStore, *vectors: Vectors) -> None:
    """Gives the messages that wait these vectors, in order."""
    await store.put_vectors(await store.waiting(100), np.array(vectors, dtype=np.float32))


async def _found(store: RecallStore, query: str | Vectors, filters: Filters | None = None, most: int = 10) -> list[str]:
    filters = filters or Filters()
    search = find_words if isinstance(query, str) else find_meaning
    found = await search(store, ANN, query, filters, most)  # type: ignore[operator]
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    messages = await numbered(store, ANN, found)
    return [messages[each.n].text for each in found]


class RecallReadingContract:
    @pytest.mark.parametrize("descending", [False, True])
    async def test_pages_give_a_conversation_once_and_in_order(self, store: RecallStore, descending: bool) -> None:
        said_so = [str(number) for number in range(7)]
        # Its order is that of its sequence, whatever the clocks said.
        await store.append(ANN, batch(*(said(text, at=100 - int(text)) for text in said_so)))
        await store.append(ANN, batch("elsewhere", conversation="conv-2"))
        seen: list[str] = []
        token = ""
        for size in (3, 3, 1):
            found, token = await store.list_page(ANN, CONVERSATION, page(3, token=token, descending=descending))
            assert len(found) == size
            seen += texts(found)
        assert token == ""
        assert seen == (said_so[::-1] if descending else said_so)

    @pytest.mark.parametrize("descending", [False, True])
    async def test_several_conversations_are_listed_by_time(self, store: RecallStore, descending: bool) -> None:
        await store.append(ANN, batch(said("2", at=20), said("4", at=40), conversation="one"))
        await store.append(ANN, batch(said("1", at=10), said("3", at=30), said("5", at=40), conversation="two"))
        seen: list[str] = []
        token = ""
        for _ in range(3):
            found, token = await store.list_page(
                ANN, ListMessagesRequest(agent_id="agent-1"), page(2, token=token, descending=descending)
            )
            seen += texts(found)
        assert seen == (list("54321") if descending else list("12345"))

    @pytest.mark.parametrize(
        ("before", "after", "descending", "expected"),
        [
            ("", "m2", False, ["3", "4"]),
            ("", "m4", True, ["3", "2"]),
            ("m4", "", False, ["2", "3"]),
            ("m1", "", True, ["3", "2"]),
            ("m4", "m1", False, ["2", "3"]),
            ("m1", "m4", True, ["3", "2"]),
            ("", "m5", False, []),
            ("m0", "", False, []),
            ("gone", "", False, []),
            ("", "gone", True, []),
            ("elsewhere", "", False, []),
        ],
    )
    async def test_before_and_after_are_meant_in_the_lists_order(
        self, store: RecallStore, before: str, after: str, descending: bool, expected: list[str]
    ) -> None:
        await store.append(ANN, batch(*(said(str(number), id=f"m{number}") for number in range(6))))
        await store.append(ANN, batch(said("other", id="elsewhere"), conversation="conv-2"))
        request = ListMessagesRequest(conversation_id="conv-1", before_id=before, after_id=after)
        found, _ = await store.list_page(ANN, request, page(2, descending=descending))
        assert texts(found) == expected

    async def test_pages_before_a_message_go_on_backwards(self, store: RecallStore) -> None:
        await store.append(ANN, batch(*(said(str(number), id=f"m{number}") for number in range(6))))
        request = ListMessagesRequest(conversation_id="conv-1", before_id="m5")
        found, token = await store.list_page(ANN, request, page(3))
        assert texts(found) == ["2", "3", "4"]
        found, token = await store.list_page(ANN, request, page(3, token=token))
        assert (texts(found), token) == (["0", "1"], "")

    async def test_lists_keep_to_the_roles(self, store: RecallStore) -> None:
        await store.append(ANN, batch(said("u"), said("a", type_pb2.ROLE_ASSISTANT), said("t", type_pb2.ROLE_TOOL)))
        request = ListMessagesRequest(roles=[type_pb2.ROLE_USER, type_pb2.ROLE_TOOL])
        found, _ = await store.list_page(ANN, request, page())
        assert texts(found) == ["u", "t"]

    async def test_a_page_ends_before_it_is_too_large_for_an_answer(self, store: RecallStore) -> None:
        large = "x" * (MOST_BYTES // 5)
        stored = [
            (await store.append(ANN, batch(said(large, id=f"m{number}"))))[0].id for number in range(7)
        ]  # fmt: skip
        found, token = await store.list_page(ANN, CONVERSATION, page())
        rest, end = await store.list_page(ANN, CONVERSATION, page(token=token))
        assert [message.id for message in (*found, *rest)] == stored
        assert (len(found), end) == (4, "")
        with pytest.raises(ResourceExhausted):
            await store.get(ANN, stored)

    @pytest.mark.parametrize("cursor", [("x",), (1, 2, 3), (2**70,), (None,), ([1],), (True,)])
    async def test_a_forged_token_is_refused(self, store: RecallStore, cursor: tuple[object, ...]) -> None:
        await store.append(ANN, batch("a"))
        with pytest.raises(InvalidArgument) as caught:
            await store.list_page(ANN, CONVERSATION, page(token=page().token(cursor)))
        assert caught.value.reason_name == "PAGE_TOKEN_INVALID"

    async def test_counts_keep_to_their_scope(self, store: RecallStore) -> None:
        await store.append(ANN, batch("a", "b", conversation="conv-1"))
        await store.append(ANN, batch("c", conversation="conv-2"))
        await store.append(ANN, batch("d", conversation="conv-3", agent="agent-2"))
        scopes = (Scope(), Scope("agent-1"), Scope("agent-1", "conv-1"), Scope("agent-2", "conv-1"), Scope("nobody"))
        assert [await store.count(ANN, scope) for scope in scopes] == [4, 3, 2, 0, 0]

    async def test_words_are_found_at_once_in_any_form(self, store: RecallStore) -> None:
        await store.append(ANN, batch("We adopted two puppies", "The weather is nice", "My puppy is called Rex"))
        assert set(await _found(store, "what are the puppies called?")) == {
            "My puppy is called Rex",
            "We adopted two puppies",
        }
        assert (await _found(store, "the puppy called Rex"))[0] == "My puppy is called Rex"

    async def test_who_spoke_and_the_day_are_words_too(self, store: RecallStore) -> None:
        await store.append(ANN, batch(said("Hello there", name="Caroline", at=1_683_500_000), said("Hi", at=1)))
        assert await _found(store, "Caroline") == ["Hello there"]
        assert await _found(store, "8 May 2023") == ["Hello there"]

    @pytest.mark.parametrize(
        "query",
        ['"', "'", "*", "NEAR(", "a AND", "scope : x", "body:", "-", "()", "\0", "_", "😀", "\u0301", "é" * 500],
    )
    async def test_no_query_is_read_as_syntax(self, store: RecallStore, query: str) -> None:
        await store.append(ANN, batch("something unrelated"))
        assert await _found(store, query) == []
        assert await _found(store, f"{query} unrelated") == ["something unrelated"]

    async def test_a_nul_and_what_is_no_character_are_kept_and_hide_no_word(self, store: RecallStore) -> None:
        strange = "before\0after \ufffe walrus \U0010ffff"
        (kept,) = await store.append(ANN, batch(strange))
        assert (await store.get(ANN, [kept.id]))[0].text == strange
        for query in ("walrus", "before", "after", "\0", "walrus\0"):
            found = await find_words(store, ANN, query, Filters(), 10)
            assert len(found) == (query != "\0")

    async def test_a_message_without_text_is_never_found(self, store: RecallStore) -> None:
        await store.append(ANN, batch(said("", type_pb2.ROLE_ASSISTANT)))
        assert await _found(store, "assistant") == []
        assert await store.waiting(10) == []

    async def test_meaning_is_found_nearest_first(self, store: RecallStore) -> None:
        await store.append(ANN, batch("far", "near", "opposite"))
        await _embed(store, _axis(0) + 3 * _axis(1), 3 * _axis(0) + _axis(1), -_axis(0))
        assert await _found(store, _axis(0)) == ["near", "far"]
        assert await _found(store, _axis(0), most=1) == ["near"]

    async def test_meaning_is_found_as_soon_as_it_is_embedded(self, store: RecallStore) -> None:
        await store.append(ANN, batch("one"))
        assert await _found(store, _axis(0)) == []
        await _embed(store, _axis(0))
        assert await _found(store, _axis(0)) == ["one"]
        await store.append(ANN, batch("two"))
        assert await _found(store, _axis(0)) == ["one"]
        await _embed(store, _axis(0))
        assert set(await _found(store, _axis(0), Filters(Scope("agent-1")))) == {"one", "two"}
        assert set(await _found(store, _axis(0))) == {"one", "two"}

    async def test_a_changed_message_is_found_by_what_it_says_now(self, store: RecallStore) -> None:
        (first, _) = await store.append(ANN, batch("purple", "other"))
        await _embed(store, _axis(0), _axis(3))
        assert await _found(store, _axis(0)) == ["purple"]
        await store.update(ANN, first.id, "green", "")
        assert (await _found(store, "purple"), await _found(store, "green")) == ([], ["green"])
        assert await _found(store, _axis(0)) == []
        await _embed(store, _axis(1))
        assert await _found(store, _axis(1)) == ["green"]

    async def test_what_a_message_asks_is_known_also_of_a_changed_one(self, store: RecallStore) -> None:
        first, _ = await store.append(ANN, batch("Where is the boat?", "The boat is here."))
        numbers = [found.n for found in await find_words(store, ANN, "boat", Filters(), 10)]

        async def asking() -> list[int]:
            return (await store.look(ANN, lambda seen: seen.places(numbers, Scope()))).asks.tolist()

        assert await asking() == [Asks.LAST | Asks.ONLY, Asks.NOTHING]
        await store.update(ANN, first.id, "A boat.", "")
        assert await asking() == [Asks.NOTHING, Asks.NOTHING]

    async def test_a_vector_of_what_was_changed_meanwhile_is_not_kept(self, store: RecallStore) -> None:
        (first,) = await store.append(ANN, batch("purple"))
        waiting = await store.waiting(10)
        await store.update(ANN, first.id, "green", "")
        await store.put_vectors(waiting, np.array([_axis(0)]))
        assert await _found(store, _axis(0)) == []
        assert [each.text for each in await store.waiting(10)] == ["user: green"]

    async def test_a_vector_of_what_was_purged_meanwhile_is_not_kept(self, store: RecallStore) -> None:
        await store.append(ANN, batch("purple"))
        waiting = await store.waiting(10)
        await store.purge(ANN, Scope(), None, "")
        await store.put_vectors(waiting, np.array([_axis(0)]))
        assert await _found(store, _axis(0)) == []

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (Filters(Scope("agent-1")), {"a", "b", "c"}),
            (Filters(Scope("", "conv-2")), {"c"}),
            (Filters(Scope("agent-2", "conv-1")), set()),
            (Filters(roles=(type_pb2.ROLE_ASSISTANT,)), {"b"}),
            (Filters(start=20_000_000), {"b", "c", "d"}),
            (Filters(start=20_000_000, end=30_000_000), {"b", "c"}),
            (Filters(end=9_000_000), set()),
        ],
    )
    async def test_both_searches_keep_to_the_filters(
        self, store: RecallStore, filters: Filters, expected: set[str]
    ) -> None:
        await store.append(
            ANN, batch(said("moon a", at=10), said("moon b", type_pb2.ROLE_ASSISTANT, at=20), conversation="conv-1")
        )
        await store.append(ANN, batch(said("moon c", at=30), conversation="conv-2"))
        await store.append(ANN, batch(said("moon d", at=40), conversation="conv-3", agent="agent-2"))
        await _embed(store, *[_axis(0)] * 4)
        for query in ("moon", _axis(0)):
            assert {text[-1] for text in await _found(store, query, filters)} == expected

    @pytest.mark.parametrize("scope", [Scope(), Scope("agent-1"), Scope("agent-1", "conv-1")])
    async def test_those_of_a_role_are_found_however_many_of_others_have_the_word(
        self, store: RecallStore, scope: Scope
    ) -> None:
        asked = Filters(scope, roles=(type_pb2.ROLE_USER,))
        both = Filters(scope, roles=(type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT))
        others = [said(f"moon {number}", type_pb2.ROLE_TOOL) for number in range(1_100)]
        others += [said(f"moon {number}", type_pb2.ROLE_ASSISTANT) for number in range(1_100)]
        await store.append(ANN, batch("moon first"))
        await store.append(ANN, batch(*others))
        assert await _found(store, "moon", asked) == ["moon first"]
        assert "moon first" in await _found(store, "first moon", both)
        # What is known of a word by then has to be brought up to date.
        await store.append(ANN, batch("moon second", *others))
        assert set(await _found(store, "moon", asked)) == {"moon first", "moon second"}
        assert "moon second" in await _found(store, "second moon", both)

    async def test_another_embedding_model_means_that_all_wait_again(self, store: RecallStore) -> None:
        assert not await store.use_model("first", 4)
        await store.append(ANN, batch("one", "", "two"))
        await _embed(store, _axis(0), _axis(1))
        assert not await store.use_model("first", 4)
        assert await store.waiting(10) == []
        await store.append(ANN, batch("three"))
        assert await store.use_model("second", 2)
        assert await _found(store, np.ones(2, dtype=np.float32)) == []
        assert [each.text for each in await store.waiting(10)] == ["user: one", "user: two", "user: three"]
