"""What every backend of RecallStore has to do: writing, and whose it is. (What is read and found: recall_reading.)"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from recall_service.store import Filters, RecallStore, Scope
from servicekit.principal import Tenant
from tests.support.recall import batch, find_meaning, find_words, numbered, page, said, texts
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.recall.v1.recall_pb2 import ListMessagesRequest

ANN = Tenant("account", "ann")
BOB = Tenant("account", "bob")
_ALL = ListMessagesRequest()


class RecallWritingContract:
    async def test_a_batch_is_kept_as_given_and_numbered_from_one(self, store: RecallStore) -> None:
        given = said("hello", at=1_700_000_000, id="message-mine", name="Ann", otid="o-1", turn_id="t", step_id="s")
        given.tool_calls.add(id="call-1", name="f", arguments="{}")
        first, second = await store.append(ANN, batch(given, said("NUL \0 and 😀")))
        assert (first.sequence, second.sequence) == (1, 2)
        assert (first.id, first.name, first.otid, first.revision) == ("message-mine", "Ann", "o-1", 1)
        assert first.tool_calls[0].name == "f"
        assert second.id.startswith("message-")
        assert second.create_time.seconds > 0
        assert await store.get(ANN, [second.id, "message-none", first.id]) == [second, first]

    async def test_each_conversation_counts_for_itself(self, store: RecallStore) -> None:
        await store.append(ANN, batch("a", "b", conversation="one"))
        (other,) = await store.append(ANN, batch("c", conversation="two"))
        (third,) = await store.append(ANN, batch("d", conversation="one"))
        assert (other.sequence, third.sequence) == (1, 3)

    async def test_many_writers_leave_no_gap_and_no_double(self, store: RecallStore) -> None:
        batches = [batch(f"{writer}a", f"{writer}b") for writer in range(40)]
        stored = await asyncio.gather(*(store.append(ANN, each) for each in batches))
        assert sorted(message.sequence for part in stored for message in part) == list(range(1, 81))
        assert all(first.sequence + 1 == second.sequence for first, second in stored)

    async def test_a_replay_writes_once_and_answers_the_same(self, store: RecallStore) -> None:
        first = await store.append(ANN, batch("hello", request="r"))
        await store.append(ANN, batch("more"))
        assert await store.append(ANN, batch("hello", request="r")) == first
        assert await store.count(ANN, Scope()) == 2

    async def test_a_replay_after_a_change_answers_what_it_answered_first(self, store: RecallStore) -> None:
        (first,) = await store.append(ANN, batch("hello", request="r"))
        await store.update(ANN, first.id, "changed", "")
        await store.update(ANN, first.id, "changed again", "")
        assert await store.append(ANN, batch("hello", request="r")) == [first]

    async def test_replays_at_the_same_moment_write_once(self, store: RecallStore) -> None:
        answers = await asyncio.gather(*(store.append(ANN, batch("hello", request="r")) for _ in range(10)))
        assert all(answer == answers[0] for answer in answers)
        assert await store.count(ANN, Scope()) == 1

    async def test_a_request_id_with_other_messages_is_refused(self, store: RecallStore) -> None:
        await store.append(ANN, batch("hello", request="r"))
        with pytest.raises(FailedPrecondition) as caught:
            await store.append(ANN, batch("other", request="r"))
        assert caught.value.reason_name == "REQUEST_ID_REUSED"

    async def test_a_taken_message_id_is_refused_and_takes_no_number(self, store: RecallStore) -> None:
        await store.append(ANN, batch(said("one", id="message-1")))
        with pytest.raises(AlreadyExists):
            await store.append(ANN, batch(said("new"), said("two", id="message-1")))
        (after,) = await store.append(ANN, batch("three"))
        assert after.sequence == 2
        assert await store.append(BOB, batch(said("his own", id="message-1")))

    async def test_a_derived_id_that_somebody_has_chosen_is_refused_too(self, store: RecallStore) -> None:
        (derived,) = await store.append(ANN, batch("one", request="r"))
        await store.purge(ANN, Scope("", "conv-1"), None, "")
        await store.append(ANN, batch(said("chosen", id=derived.id), conversation="conv-2"))
        with pytest.raises(AlreadyExists):
            await store.append(ANN, batch("one", request="r"))
        assert [each.text for each in await store.get(ANN, [derived.id])] == ["chosen"]

    async def test_of_writers_who_choose_the_same_id_at_once_one_writes(self, store: RecallStore) -> None:
        batches = [
            batch(
                *(said("mine", id=f"message-{number}") for number in range(size)),
                agent=f"agent-{size}",
                conversation=f"conv-{size}",
            )
            for size in range(1, 21)
        ]
        stored = await asyncio.gather(*(store.append(ANN, each) for each in batches), return_exceptions=True)
        assert sum(not isinstance(each, AlreadyExists) for each in stored) == 1
        assert len(await store.get(ANN, ["message-0"])) == 1

    async def test_a_conversation_keeps_its_agent(self, store: RecallStore) -> None:
        await store.append(ANN, batch("one", agent="agent-1"))
        with pytest.raises(InvalidArgument):
            await store.append(ANN, batch("two", agent="agent-2"))

    async def test_an_older_fence_is_refused_and_none_is_not(self, store: RecallStore) -> None:
        await store.append(ANN, batch("one", fence=5))
        with pytest.raises(FailedPrecondition) as caught:
            await store.append(ANN, batch("two", fence=4))
        assert caught.value.reason_name == "FENCED"
        await store.append(ANN, batch("three"))
        await store.append(ANN, batch("four", fence=5))
        await store.append(ANN, batch("five", conversation="conv-2", fence=1))
        assert await store.count(ANN, Scope()) == 4

    async def test_a_replay_under_a_newer_fence_shuts_the_older_owner_out(self, store: RecallStore) -> None:
        await store.append(ANN, batch("one", request="r", fence=1))
        await store.append(ANN, batch("one", request="r", fence=2))
        with pytest.raises(FailedPrecondition):
            await store.append(ANN, batch("two", fence=1))

    async def test_a_change_is_seen_and_counted(self, store: RecallStore) -> None:
        (first,) = await store.append(ANN, batch("red"))
        changed = await store.update(ANN, first.id, "green", "u")
        assert (changed.text, changed.revision, changed.sequence) == ("green", 2, 1)
        assert await store.get(ANN, [first.id]) == [changed]
        assert (await store.update(ANN, first.id, "green", "")).revision == 2

    async def test_a_replayed_change_does_not_undo_a_later_one(self, store: RecallStore) -> None:
        (first,) = await store.append(ANN, batch("red"))
        green = await store.update(ANN, first.id, "green", "u-1")
        await store.update(ANN, first.id, "blue", "u-2")
        assert await store.update(ANN, first.id, "green", "u-1") == green
        assert texts(await store.get(ANN, [first.id])) == ["blue"]
        with pytest.raises(FailedPrecondition):
            await store.update(ANN, first.id, "yellow", "u-1")

    async def test_anothers_messages_are_not_there(self, store: RecallStore) -> None:
        (hers,) = await store.append(ANN, batch("my secret is purple"))
        await store.put_vectors(await store.waiting(10), np.ones((1, 4), dtype=np.float32))
        for scope in (Scope(), Scope("agent-1"), Scope("agent-1", "conv-1")):
            assert await store.count(BOB, scope) == 0
            assert await find_words(store, BOB, "secret", Filters(scope), 10) == []
            assert await find_meaning(store, BOB, np.ones(4, dtype=np.float32), Filters(scope), 10) == []
            assert await store.purge(BOB, scope, None, "") == 0
        assert await store.get(BOB, [hers.id]) == []
        assert await store.list_page(BOB, _ALL, page()) == ([], "")
        assert await store.list_page(BOB, ListMessagesRequest(before_id=hers.id), page()) == ([], "")
        (found,) = await find_words(store, ANN, "secret", Filters(), 10)
        assert await numbered(store, BOB, [found]) == {}
        assert await store.look(BOB, lambda seen: len(seen.places([found.n], Scope()))) == 0
        assert await store.get(ANN, [hers.id]) == [hers]

    async def test_changing_anothers_message_is_changing_none(self, store: RecallStore) -> None:
        (hers,) = await store.append(ANN, batch("mine"))
        with pytest.raises(NotFound) as foreign:
            await store.update(BOB, hers.id, "his", "")
        await store.purge(ANN, Scope(), None, "")
        with pytest.raises(NotFound) as missing:
            await store.update(BOB, hers.id, "his", "")
        assert foreign.value.to_status() == missing.value.to_status()

    async def test_the_same_names_of_two_users_are_two_conversations(self, store: RecallStore) -> None:
        await store.append(ANN, batch("hers", request="r"))
        (his,) = await store.append(BOB, batch("his", request="r"))
        assert (his.sequence, his.text) == (1, "his")

    @pytest.mark.parametrize(
        ("scope", "left"),
        [
            (Scope("agent-1"), ["c"]),
            (Scope("", "conv-1"), ["b", "c"]),
            (Scope(), []),
        ],
    )
    async def test_a_purge_takes_its_scope_and_no_more(self, store: RecallStore, scope: Scope, left: list[str]) -> None:
        await store.append(ANN, batch("a", conversation="conv-1"))
        await store.append(ANN, batch("b", conversation="conv-2"))
        await store.append(ANN, batch("c", conversation="conv-3", agent="agent-2"))
        await store.append(BOB, batch("his"))
        assert await store.purge(ANN, scope, None, "p") == 3 - len(left)
        found, _ = await store.list_page(ANN, _ALL, page())
        assert texts(found) == left
        assert await store.count(BOB, Scope()) == 1

    async def test_a_purge_takes_what_was_made_of_the_messages(self, store: RecallStore) -> None:
        (first,) = await store.append(ANN, batch("purple elephants", request="r"))
        await store.put_vectors(await store.waiting(10), np.ones((1, 4), dtype=np.float32))
        assert await find_meaning(store, ANN, np.ones(4, dtype=np.float32), Filters(), 10)
        await store.update(ANN, first.id, "purple giraffes", "u")
        await store.purge(ANN, Scope("agent-1"), None, "")
        assert await store.waiting(10) == []
        assert await find_words(store, ANN, "purple", Filters(), 10) == []
        assert await find_meaning(store, ANN, np.ones(4, dtype=np.float32), Filters(), 10) == []
        (again,) = await store.append(ANN, batch("other", request="r"))
        assert again.sequence == 1

    async def test_a_purge_of_what_is_older_leaves_the_rest_and_its_numbers(self, store: RecallStore) -> None:
        old, young = said("elephant old", at=100), said("elephant young", at=200)
        await store.append(ANN, batch(old, young))
        await store.put_vectors(await store.waiting(10), np.ones((2, 4), dtype=np.float32))
        assert await store.purge(ANN, Scope(), 200_000_000, "p") == 1
        assert await store.purge(ANN, Scope(), 200_000_000, "p") == 1
        assert texts((await store.list_page(ANN, _ALL, page()))[0]) == ["elephant young"]
        assert len(await find_words(store, ANN, "elephant", Filters(), 10)) == 1
        assert len(await find_meaning(store, ANN, np.ones(4, dtype=np.float32), Filters(), 10)) == 1
        (after,) = await store.append(ANN, batch("next"))
        assert after.sequence == 3

    async def test_a_replayed_purge_leaves_what_came_since(self, store: RecallStore) -> None:
        await store.append(ANN, batch("old", "older"))
        assert await store.purge(ANN, Scope("agent-1"), None, "p") == 2
        await store.append(ANN, batch("new"))
        assert await store.purge(ANN, Scope("agent-1"), None, "p") == 2
        assert await store.count(ANN, Scope()) == 1
        with pytest.raises(FailedPrecondition):
            await store.purge(ANN, Scope(), None, "p")
