"""Sleep-time memory: a turn of the agent's own reads what was said, and keeps what will matter."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent_service.stores import unfinished
from agent_service.stores.sleeps import conversation_of
from agent_service.turns.recall_log import RecallLog
from servicekit import structs
from tests.service.test_agent_service import World
from tests.support.keys import ANN, BOB
from tests.support.recall import eventually
from tests.support.scripted_model import MODEL, ScriptedModel, is_asleep
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound
from triptych.recall.v1 import recall_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
OVER = (turn_pb2.TURN_STATE_COMPLETED, turn_pb2.TURN_STATE_FAILED, turn_pb2.TURN_STATE_CANCELLED)
END = "[[call:memory_finish_edits {}]]"


def call(tool: str, **arguments: Any) -> str:
    return f"[[call:{tool} {json.dumps(arguments)}]]"


def inserts(text: str, *sources: int) -> str:
    return call("memory_insert", label="human", new_string=text, sources=sources)


def saves(text: str, *sources: int, **more: Any) -> str:
    return call("archival_memory_insert", content=text, sources=sources, **more)


class SleepWorld(World):
    def __init__(self, stack: Stack, database: Path) -> None:
        super().__init__(stack)
        self._database = database
        self.archival_peer = stack.peer("archival_service")
        self.archival = ArchivalServiceStub(self.archival_peer.channel)

    async def sleeper(self, **settings: Any) -> pb.Agent:
        """An agent that sleeps after each turn, if nothing else is said."""
        sleep_time = pb.SleepTimeSettings(**{"enabled": True, "every_turns": 1, **settings})
        agent = pb.Agent(name="sleeper", blocks=[pb.Block(label="human", value="Name: Ann.")], sleep_time=sleep_time)
        request = pb.CreateAgentRequest(agent=agent, include_base_tools=True)
        return (await self.peer.unary(self.agents.CreateAgent, request, caller=ANN)).agent

    async def sleeps(self, agent: pb.Agent) -> list[turn_pb2.Turn]:
        """The agent's sleep-time turns that are over, oldest first."""
        request = turn_pb2.ListTurnsRequest(agent_id=agent.id, conversation_id=conversation_of(agent.id))
        found = (await self.peer.unary(self.turns.ListTurns, request, caller=ANN)).turns
        return sorted((turn for turn in found if turn.state in OVER), key=lambda turn: turn.create_time.ToNanoseconds())

    async def slept(self, agent: pb.Agent, times: int = 1) -> turn_pb2.Turn:
        """The newest sleep-time turn, once there were so many."""

        turns = await eventually(lambda: self.sleeps(agent), lambda turns: len(turns) >= times)
        assert len(turns) == times
        return turns[-1]

    def due_now(self) -> None:
        """As if the pause after a failure were over."""
        with closing(sqlite3.connect(self._database)) as connection, connection:
            connection.execute("UPDATE sleeps SET due_at = 0")

    async def block(self, agent: pb.Agent) -> str:
        return (await self.get_agent(agent.id)).blocks[0].value

    async def facts(self, agent: pb.Agent) -> list[archival_pb2.Passage]:
        request = archival_pb2.ListPassagesRequest(archive_ids=agent.archive_ids)
        try:
            found = (await self.archival_peer.unary(self.archival.ListPassages, request, caller=ANN)).passages
        except NotFound:  # it is made with its first passage
            return []
        return sorted(found, key=lambda passage: passage.create_time.ToNanoseconds())

    async def undo(self, turn: turn_pb2.Turn, caller: Any = ANN) -> pb.UndoSleepTimeTurnResponse:
        request = pb.UndoSleepTimeTurnRequest(turn_id=turn.id, request_id=f"undo {turn.id}")
        return await self.peer.unary(self.agents.UndoSleepTimeTurn, request, caller=caller)

    async def set_sleep_time(self, agent: pb.Agent, **settings: Any) -> None:
        wanted = pb.Agent(id=agent.id, sleep_time=pb.SleepTimeSettings(**settings))
        request = pb.UpdateAgentRequest(agent=wanted, update_mask={"paths": ["sleep_time"]})
        await self.peer.unary(self.agents.UpdateAgent, request, caller=ANN)


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[SleepWorld]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield SleepWorld(stack, tmp_path / "agent.db")


def asked_asleep(model: ScriptedModel) -> list[Any]:
    return [request for request in model.requests if is_asleep(request)]


def read(request: Any) -> str:
    """The transcript that a request shows."""
    return str(next(message["content"] for message in request["messages"] if message["role"] == "user"))


async def transcripts(model: ScriptedModel) -> list[str]:
    """What has been read until now."""
    return [read(request) for request in asked_asleep(model)]


async def test_after_so_many_turns_facts_go_to_block_and_archive_with_the_messages_they_are_from(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{inserts('Has a cat, Mo.', 1)} {saves('Mo was born in 2024.', 1, 3)} {END}"
    agent = await world.sleeper(every_turns=2)
    await world.send(agent, "my cat is Mo")
    assert not await world.sleeps(agent)
    await world.send(agent, "born in 2024")
    turn = await world.slept(agent)
    assert turn.state == turn_pb2.TURN_STATE_COMPLETED
    transcript = read(asked_asleep(model)[0])
    assert [line.split("UTC ")[-1] for line in transcript.splitlines() if "UTC" in line] == [
        "user: my cat is Mo",
        "assistant: ok: my cat is Mo",
        "user: born in 2024",
        "assistant: ok: born in 2024",
    ]
    said = [message.id for message in await world.messages(agent)]
    assert await world.block(agent) == "Name: Ann.\nHas a cat, Mo."
    history = pb.ListBlockRevisionsRequest(block_id=agent.blocks[0].id)
    newest = (await world.peer.unary(world.agents.ListBlockRevisions, history, caller=ANN)).revisions[0]
    assert list(newest.source_message_ids) == [said[0]]
    assert (newest.edited_by.type, newest.edited_by.turn_id) == (pb.AUTHOR_TYPE_AGENT, turn.id)
    (fact,) = await world.facts(agent)
    assert fact.text == "Mo was born in 2024."
    assert structs.plain(fact.metadata) == {"source_message_ids": [said[0], said[2]], "written_by": turn.id}


async def test_the_next_one_reads_only_what_is_new_and_sees_the_memory_as_it_is(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{inserts('Has a cat.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "one")
    await world.slept(agent)
    model.asleep = END
    await world.send(agent, "two")
    await world.slept(agent, 2)
    request = asked_asleep(model)[-1]
    assert "Has a cat." in request["messages"][0]["content"]
    assert "user: two" in read(request)
    assert "one" not in json.dumps(request["messages"][1:])


async def test_a_quiet_while_is_enough(world: SleepWorld, model: ScriptedModel) -> None:
    model.asleep = END
    agent = await world.sleeper(every_turns=100, idle_seconds=1)
    await world.send(agent, "one")
    await world.slept(agent)


async def test_it_is_off_unless_wanted_and_can_be_turned_off_before_it_began(
    world: SleepWorld, model: ScriptedModel
) -> None:
    awake = await world.new_agent(human="x")
    agent = await world.sleeper(every_turns=100, idle_seconds=1)
    await world.send(awake, "nothing")
    await world.send(agent, "one")
    await world.set_sleep_time(agent, enabled=False)
    other = await world.sleeper(every_turns=100, idle_seconds=2)
    await world.send(other, "later")
    await world.slept(other)
    assert len(asked_asleep(model)) == 1
    # What was said while it was off is not read later.
    await world.set_sleep_time(agent, enabled=True, every_turns=1)
    await world.send(agent, "two")
    await world.slept(agent)
    assert "user: two" in read(asked_asleep(model)[-1])
    assert "user: one" not in read(asked_asleep(model)[-1])


async def test_what_is_said_while_it_is_off_is_not_read_though_a_turn_ran_when_it_was_turned_off(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = END
    agent = await world.sleeper(every_turns=100)
    running_turn = asyncio.create_task(world.send(agent, "[[wait]] hello"))
    assert await asyncio.to_thread(model.waiting.wait, 20)
    await world.set_sleep_time(agent, enabled=False)
    model.release()
    await running_turn
    await world.send(agent, "between us")
    await world.set_sleep_time(agent, enabled=True, every_turns=1)
    await world.send(agent, "on again")
    await world.slept(agent)
    told = read(asked_asleep(model)[0])
    assert "on again" in told
    assert "between us" not in told


async def test_what_it_says_is_in_no_conversation_and_no_search(world: SleepWorld, model: ScriptedModel) -> None:
    model.asleep = f"{END} [[say:quince]]"
    agent = await world.sleeper()
    await world.send(agent, "hello")
    await world.slept(agent)
    request = recall_pb2.ListMessagesRequest(agent_id=agent.id, page_size=100)
    every = (await world.recall_peer.unary(world.recall.ListMessages, request, caller=ANN)).messages
    assert [message.text for message in every] == ["hello", "ok: hello"]


async def test_its_own_model_does_it(world: SleepWorld, model: ScriptedModel) -> None:
    model.asleep = END
    agent = await world.sleeper(model=pb.ModelSettings(handle="openai/dreamer"))
    await world.send(agent, "hello")
    await world.slept(agent)
    assert {request["model"] for request in asked_asleep(model)} == {"dreamer"}
    assert {request["model"] for request in model.requests if not is_asleep(request)} == {MODEL}


async def test_a_fact_without_a_source_is_told_to_the_model_and_not_saved(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{inserts('x')} {saves('y', 99)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "hello")
    await world.slept(agent)
    told = [m["content"] for m in asked_asleep(model)[-1]["messages"] if m["role"] == "tool"]
    assert len(told) == 2
    assert all("numbers of messages" in text for text in told)
    assert (await world.block(agent), await world.facts(agent)) == ("Name: Ann.", [])


async def test_a_fact_that_is_known_in_the_same_words_is_not_saved_again(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{saves('Ann likes tea.', 1)} {saves('ann  likes tea', 1)} {saves('Ann likes green tea.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "tea")
    await world.slept(agent)
    model.asleep = f"{saves('Ann likes Tea', 3)} {END}"
    await world.send(agent, "tea again")
    turn = await world.slept(agent, 2)
    assert turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert [fact.text for fact in await world.facts(agent)] == ["Ann likes tea.", "Ann likes green tea."]
    assert "already, as passage-" in json.dumps(asked_asleep(model)[-1]["messages"])


async def test_a_search_asleep_keeps_to_its_tags_and_times(world: SleepWorld, model: ScriptedModel) -> None:
    seek = [
        call("archival_memory_search", query="cat", tags=["pets"]),
        call("archival_memory_search", query="cat", tags=["plants"]),
        call("archival_memory_search", query="cat", end_datetime="2020-01-01"),
    ]
    model.asleep = f"{saves('Has a cat, Mo.', 1, tags=['pets'])} {' '.join(seek)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "my cat is Mo")
    await world.slept(agent)
    told = [m["content"] for m in asked_asleep(model)[-1]["messages"] if m["role"] == "tool"]
    assert ["Has a cat, Mo." in each for each in told] == [False, True, False, False]


async def test_a_fact_is_of_the_time_of_the_newest_message_that_says_it(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{saves('Has a cat, Mo.', 1)} {saves('Mo is three years old.', 1, 3)} {END}"
    agent = await world.sleeper(every_turns=3)
    for text in ("my cat is Mo", "he is three", "bye"):
        await world.send(agent, text)
    await world.slept(agent)
    said = await world.messages(agent)
    dated = {fact.text: fact.create_time for fact in await world.facts(agent)}
    assert dated == {"Has a cat, Mo.": said[0].create_time, "Mo is three years old.": said[2].create_time}


async def test_a_newer_fact_outdates_an_older_which_stays_as_history(world: SleepWorld, model: ScriptedModel) -> None:
    agent = await world.sleeper()
    model.asleep = f"{saves('2025: Ann works at Alpha.', 1)} {END}"
    await world.send(agent, "I work at Alpha")
    await world.slept(agent)
    (old,) = await world.facts(agent)
    model.asleep = (
        f"{call('archival_memory_search', query='Ann works')}"
        f"{saves('2026: Ann works at Beta.', 3, replaces=[old.id])} {END}"
    )
    await world.send(agent, "I work at Beta now")
    turn = await world.slept(agent, 2)
    found = next(m["content"] for m in asked_asleep(model)[-1]["messages"] if m["role"] == "tool")
    assert json.loads(found)[0]["id"] == old.id
    events = await world.send(agent, call("archival_memory_search", query="where does Ann work"))
    hits = json.loads(next(event.tool_result.text for event in events if event.HasField("tool_result")))
    assert {hit["content"]: "no_longer_true_since" in hit for hit in hits} == {
        "2026: Ann works at Beta.": False,
        "2025: Ann works at Alpha.": True,
    }
    # The older says so by itself, too: a search may find it alone.
    facts = {fact.text: fact for fact in await world.facts(agent)}
    new = facts["2026: Ann works at Beta."]
    assert facts["2025: Ann works at Alpha."].superseded_by == new.id
    assert facts["2025: Ann works at Alpha."].superseded_time == new.create_time
    events = await world.send(agent, call("archival_memory_search", query="Alpha", top_k=1))
    (alone,) = json.loads(next(event.tool_result.text for event in events if event.HasField("tool_result")))
    assert alone["content"] == "2025: Ann works at Alpha."
    assert alone["no_longer_true_since"] == new.create_time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    # And no longer, with the newer one undone.
    await world.undo(turn)
    (old,) = await world.facts(agent)
    assert not old.superseded_by
    assert not old.HasField("superseded_time")


async def test_all_that_it_wrote_is_undone_and_what_was_written_since_stays(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{inserts('Likes tea.', 1)} {saves('Drinks it black.', 1)} {inserts('Hates milk.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "tea, black")
    turn = await world.slept(agent)
    assert await world.block(agent) == "Name: Ann.\nLikes tea.\nHates milk."
    block = pb.Block(id=agent.blocks[0].id, value="Born 1990.\nName: Ann.\nLikes tea.\nHates milk.")
    edit = pb.UpdateBlockRequest(block=block, update_mask={"paths": ["value"]})
    with pytest.raises(NotFound):
        await world.undo(turn, caller=BOB)
    undone = await world.undo(turn)
    assert await world.block(agent) == "Name: Ann."
    assert await world.facts(agent) == []
    assert len(undone.passage_ids) == 1
    assert await world.undo(turn) == undone
    await world.peer.unary(world.agents.UpdateBlock, edit, caller=ANN)
    assert (await world.block(agent)).startswith("Born 1990.")


async def test_an_edit_that_changed_nothing_does_not_stand_in_the_way_of_an_undo(
    world: SleepWorld, model: ScriptedModel
) -> None:
    same = call("memory_replace", label="human", old_string="Name: Ann.", new_string="Name: Ann.", sources=[1])
    model.asleep = f"{inserts('Likes tea.', 1)} {same} {saves('Drinks it black.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "tea, black")
    turn = await world.slept(agent)
    assert await world.block(agent) == "Name: Ann.\nLikes tea."
    await world.undo(turn)
    assert await world.block(agent) == "Name: Ann."
    assert await world.facts(agent) == []


async def test_only_a_sleep_time_turn_can_be_undone(world: SleepWorld, model: ScriptedModel) -> None:
    agent = await world.sleeper(every_turns=100)
    turn = (await world.send(agent, "hello"))[-1].done.turn
    with pytest.raises(NotFound, match="leep-time turn"):
        await world.undo(turn)


async def test_an_undo_that_a_later_edit_of_the_same_lines_forbids_changes_nothing(
    world: SleepWorld, model: ScriptedModel
) -> None:
    model.asleep = f"{inserts('Likes tea.', 1)} {saves('Drinks it black.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "tea, black")
    turn = await world.slept(agent)
    block = pb.Block(id=agent.blocks[0].id, value="Name: Ann.\nLikes coffee.")
    edit = pb.UpdateBlockRequest(block=block, update_mask={"paths": ["value"]})
    await world.peer.unary(world.agents.UpdateBlock, edit, caller=ANN)
    with pytest.raises(FailedPrecondition, match="same lines"):
        await world.undo(turn)
    assert await world.block(agent) == "Name: Ann.\nLikes coffee."
    assert len(await world.facts(agent)) == 1


async def test_one_that_failed_is_tried_again_and_reads_the_same(world: SleepWorld, model: ScriptedModel) -> None:
    model.asleep = "[[status:400]]"
    agent = await world.sleeper()
    await world.send(agent, "hello")
    assert (await world.slept(agent)).state == turn_pb2.TURN_STATE_FAILED
    model.asleep = f"{inserts('Said hello.', 1)} {END}"
    await world.send(agent, "again")
    world.due_now()
    await world.slept(agent, 2)
    assert "user: hello" in read(asked_asleep(model)[-1])
    assert "user: again" in read(asked_asleep(model)[-1])
    assert await world.block(agent) == "Name: Ann.\nSaid hello."


async def test_parts_that_failed_are_all_read_later_also_if_another_was_read_meanwhile(
    world: SleepWorld, model: ScriptedModel
) -> None:
    small = pb.ModelSettings(handle="openai/small", context_window=8_000)
    agent = await world.sleeper(every_turns=6, model=small)
    model.asleep = "[[wait]] [[status:400]]"
    for number in range(6):
        await world.send(agent, f"{number} {'word ' * 700}", request_id=str(number))

    async def begun() -> int:
        request = turn_pb2.ListTurnsRequest(agent_id=agent.id, conversation_id=conversation_of(agent.id))
        return len((await world.peer.unary(world.turns.ListTurns, request, caller=ANN)).turns)

    await eventually(begun, (3).__eq__)
    model.asleep = END
    model.release()
    await world.slept(agent, 3)
    states = [turn.state for turn in await world.sleeps(agent)]
    assert states == [turn_pb2.TURN_STATE_FAILED, *[turn_pb2.TURN_STATE_COMPLETED] * 2]
    read_before = len(asked_asleep(model))
    world.due_now()
    again = await eventually(lambda: transcripts(model), lambda told: len(told) >= read_before + 3)
    assert again[read_before:] == again[:3]


async def test_what_reaches_recall_late_is_read_then(
    world: SleepWorld, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.asleep = END
    agent = await world.sleeper()
    there, looks, at_once, look = asyncio.Event(), list[None](), RecallLog.send, unfinished.awaits_recall

    async def late(log: RecallLog, *arguments: Any, **more: Any) -> bool:
        await there.wait()
        return await at_once(log, *arguments, **more)

    def noted(*arguments: Any) -> bool:
        looks.append(None)
        return look(*arguments)

    monkeypatch.setattr(RecallLog, "send", late)
    monkeypatch.setattr(unfinished, "awaits_recall", noted)
    sending = asyncio.create_task(world.send(agent, "I drink tea"))

    async def looked() -> int:
        return len(looks)

    await eventually(looked, bool)
    there.set()
    await sending
    await world.slept(agent)
    assert "I drink tea" in read(asked_asleep(model)[0])


async def test_the_conversation_goes_on_while_it_reads(world: SleepWorld, model: ScriptedModel) -> None:
    model.asleep = f"[[wait]] {inserts('From sleep.', 1)} {END}"
    agent = await world.sleeper()
    await world.send(agent, "hello")

    await eventually(lambda: transcripts(model), bool)
    await world.set_sleep_time(agent, enabled=True, every_turns=100)
    await world.send(agent, call("memory_insert", label="human", new_string="From the user."))
    assert await world.block(agent) == "Name: Ann.\nFrom the user."
    model.release()
    await world.slept(agent)
    assert await world.block(agent) == "Name: Ann.\nFrom the user.\nFrom sleep."


async def test_no_client_speaks_there(world: SleepWorld) -> None:
    agent = await world.sleeper()
    with pytest.raises(FailedPrecondition, match="sleep-time"):
        await world.send(agent, "let me in", conversation_id=conversation_of(agent.id))


async def test_settings_out_of_range_are_refused(world: SleepWorld) -> None:
    with pytest.raises(InvalidArgument, match="every_turns"):
        await world.sleeper(every_turns=-1)
    with pytest.raises(InvalidArgument, match="idle_seconds"):
        await world.sleeper(idle_seconds=10**8)


async def test_a_long_conversation_is_read_in_parts(world: SleepWorld, model: ScriptedModel) -> None:
    small = pb.ModelSettings(handle="openai/small", context_window=8_000)
    agent = await world.sleeper(every_turns=6, model=small)
    for number in range(6):
        await world.send(agent, f"{number} {'word ' * 700}", request_id=str(number))

    told = await eventually(lambda: transcripts(model), lambda told: "user: 5 word" in "".join(told))
    assert len(told) > 1
    assert [sum(f"user: {number} word" in each for each in told) for number in range(6)] == [1] * 6


async def test_the_agent_says_where_its_sleep_time_turns_are(world: SleepWorld) -> None:
    agent = await world.sleeper()
    assert agent.sleep_time.conversation_id == conversation_of(agent.id)
    assert (await world.get_agent(agent.id)).sleep_time == agent.sleep_time
