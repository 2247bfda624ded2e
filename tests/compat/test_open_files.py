"""Files that stand in an agent's context: opened by programs and by the agent itself, bounded, searched, closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.scripted_model import ScriptedModel

_FRUIT = b"# Fruit\n\nQuinces are best in October.\nPlums come before them.\n\n# Tools\n\nA saw cuts wood.\n"
_LONG = "".join(f"Sentence {number} of the long file. " for number in range(1_000)).encode()


async def _with_files(letta: AsyncLetta, **files: bytes) -> tuple[str, dict[str, str]]:
    """The id of an agent with a folder of these files, and theirs by name (without its ending)."""
    folder = await letta.folders.create(name="notes")
    ids = {}
    for name, content in files.items():
        ids[name] = (await letta.folders.files.upload(folder.id, file=(f"{name}.md", content))).id or ""
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": "Ann"}])
    await letta.agents.folders.attach(folder.id, agent_id=agent.id)
    return agent.id, ids


async def _said(letta: AsyncLetta, agent_id: str, tool: str, **arguments: Any) -> str:
    """What a tool returned to the agent that called it."""
    call = f"[[call:{tool} {json.dumps(arguments)}]] go"
    reply = await letta.agents.messages.create(agent_id, input=call)
    return next(str(m.tool_return) for m in reply.messages if m.message_type == "tool_return_message")


def _prompt(model: ScriptedModel, at: int = -1) -> str:
    return str(model.requests[at]["messages"][0]["content"])


async def _open(letta: AsyncLetta, agent_id: str) -> Sequence[str]:
    return sorted([each.file_name async for each in letta.agents.files.list(agent_id) if each.is_open])


async def test_an_open_file_stands_in_the_context_until_it_is_closed(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent_id, ids = await _with_files(letta, fruit=_FRUIT)
    assert await letta.agents.files.open(ids["fruit"], agent_id=agent_id) == []
    await letta.agents.messages.create(agent_id, input="hello")
    assert _FRUIT.decode().strip() in _prompt(model)
    (shown,) = [each async for each in letta.agents.files.list(agent_id)]
    assert (shown.is_open, shown.visible_content, shown.folder_name) == (True, _FRUIT.decode().strip(), "notes")
    agent = await letta.agents.retrieve(agent_id)
    assert [block.value for block in agent.memory.file_blocks or []] == [_FRUIT.decode().strip()]

    await letta.agents.files.close(ids["fruit"], agent_id=agent_id)
    await letta.agents.messages.create(agent_id, input="hello")
    assert "Quinces" not in _prompt(model)
    assert await _open(letta, agent_id) == []


async def test_while_nothing_is_opened_or_closed_the_prompt_stays_byte_for_byte(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agent_id, ids = await _with_files(letta, fruit=_FRUIT)
    await letta.agents.files.open(ids["fruit"], agent_id=agent_id)
    for text in ("one", "two", "three"):
        await letta.agents.messages.create(agent_id, input=text)
    before, after = model.requests[-2]["messages"], model.requests[-1]["messages"]
    assert after[: len(before)] == before
    newest = (await letta.steps.list(agent_id=agent_id, limit=1)).items[0]
    trace = await letta.steps.trace.retrieve(newest.id)
    assert trace is not None
    assert trace.request_json == model.requests[-1]


async def test_an_agent_opens_files_itself_and_sees_them_in_its_next_step(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agent_id, _ = await _with_files(letta, fruit=_FRUIT, long=_LONG)
    part = {"file_name": "long.md", "offset": 20_000, "length": 500}
    told = await _said(letta, agent_id, "open_files", file_requests=[{"file_name": "fruit.md"}, part])
    assert "long.md is open: characters 20000 to 20500" in told
    assert "Quinces" not in _prompt(model, -2)
    assert "Quinces" in _prompt(model)
    assert _LONG.decode()[20_000:20_500].strip() in _prompt(model)
    assert await _open(letta, agent_id) == ["fruit.md", "long.md"]
    await _said(letta, agent_id, "open_files", file_requests=[{"file_name": "long.md"}], close_all_others=True)
    assert await _open(letta, agent_id) == ["long.md"]
    assert "There are: " in await _said(letta, agent_id, "open_files", file_requests=[{"file_name": "none.md"}])


async def test_what_is_in_view_is_bounded_and_the_longest_unused_file_is_closed(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    files = {f"f{number}": f"words of file {number}".encode() for number in range(6)}
    agent_id, ids = await _with_files(letta, long=_LONG, **files)
    await letta.agents.files.open(ids["long"], agent_id=agent_id)
    (view,) = [each.visible_content or "" async for each in letta.agents.files.list(agent_id) if each.is_open]
    assert len(view) == 10_000
    for number in range(4):
        assert await letta.agents.files.open(ids[f"f{number}"], agent_id=agent_id) == []
    await letta.agents.files.open(ids["long"], agent_id=agent_id)  # used again
    assert await letta.agents.files.open(ids["f4"], agent_id=agent_id) == ["f0.md"]
    assert await _open(letta, agent_id) == ["f1.md", "f2.md", "f3.md", "f4.md", "long.md"]
    assert sorted(await letta.agents.files.close_all(agent_id)) == ["f1.md", "f2.md", "f3.md", "f4.md", "long.md"]
    assert await _open(letta, agent_id) == []


async def test_in_a_small_window_files_give_way_before_blocks(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent_id, ids = await _with_files(letta, long=_LONG)
    await letta.agents.update(agent_id, context_window_limit=6_000, system="You are a test.")
    await letta.agents.files.open(ids["long"], agent_id=agent_id)
    reply = await letta.agents.messages.create(agent_id, input="hello")
    assert reply.stop_reason.stop_reason == "end_turn"
    assert "Open a smaller part." in _prompt(model)
    assert "<value>\nAnn\n</value>" in _prompt(model)


async def test_files_are_searched_by_words_and_by_meaning(letta: AsyncLetta) -> None:
    agent_id, _ = await _with_files(letta, fruit=_FRUIT, long=_LONG)
    found = json.loads(await _said(letta, agent_id, "grep_files", pattern="quinces|SAW"))
    assert [each["file"].partition(",")[0] for each in found["found"]] == ["fruit.md", "fruit.md"]
    first = found["found"][0]
    assert _FRUIT.decode()[first["at"] :].startswith("Quinces")
    assert "Plums come before them." in first["text"]
    many = json.loads(await _said(letta, agent_id, "grep_files", pattern="Sentence 1", include="long"))
    assert many["found"]
    assert await _said(letta, agent_id, "grep_files", pattern="zebra") == "Nothing found."
    assert await _said(letta, agent_id, "grep_files", pattern="saw", include="long") == "Nothing found."
    by_meaning = json.loads(await _said(letta, agent_id, "semantic_search_files", query="when is fruit ripe?"))
    assert any("October" in each["text"] for each in by_meaning)


async def test_a_file_that_was_deleted_or_whose_folder_was_taken_is_out_of_the_context(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agent_id, ids = await _with_files(letta, fruit=_FRUIT, long=_LONG)
    for name in ("fruit", "long"):
        await letta.agents.files.open(ids[name], agent_id=agent_id)
    (folder,) = [each async for each in letta.agents.folders.list(agent_id)]
    await letta.folders.files.delete(ids["fruit"], folder_id=folder.id)
    await letta.agents.messages.create(agent_id, input="hello")
    assert "Quinces" not in _prompt(model)
    assert "Sentence 1 " in _prompt(model)
    await letta.agents.folders.detach(folder.id, agent_id=agent_id)
    await letta.agents.messages.create(agent_id, input="hello")
    assert "Sentence 1 " not in _prompt(model)


async def test_only_files_of_the_agents_folders_are_opened(letta: AsyncLetta) -> None:
    agent_id, _ = await _with_files(letta, fruit=_FRUIT)
    other = await letta.folders.create(name="other")
    file = await letta.folders.files.upload(other.id, file=("b.txt", b"words"))
    for asking in (
        letta.agents.files.open(file.id or "", agent_id=agent_id),
        letta.agents.files.close(file.id or "", agent_id=agent_id),
        letta.agents.files.open("document-x", agent_id=agent_id),
        letta.agents.files.close_all("agent-x"),
    ):
        with pytest.raises(letta_client.NotFoundError):
            await asking
