"""Folders and files, as letta-client asks for them."""

from __future__ import annotations

import asyncio

import letta_client
import pytest
from letta_client import AsyncLetta

_FILE_TOOLS = ("open_files", "grep_files", "semantic_search_files")
_TEXT = b"# Fruit\n\nQuinces are best in October.\n\n# Tools\n\nA saw cuts wood.\n"


async def test_a_file_in_an_agents_folder_is_found_by_the_agent(letta: AsyncLetta) -> None:
    folder = await letta.folders.create(name="notes", description="d")
    uploaded = await letta.folders.files.upload(folder.id, file=("fruit.md", _TEXT))
    assert (uploaded.file_name, uploaded.processing_status, uploaded.file_size) == ("fruit.md", "completed", len(_TEXT))
    agent = await letta.agents.create(name="a")
    await letta.agents.folders.attach(folder.id, agent_id=agent.id)

    call = '[[call:archival_memory_search {"query": "quinces"}]] when?'
    reply = await letta.agents.messages.create(agent.id, input=call)
    (found,) = [each for each in reply.messages if each.message_type == "tool_return_message"]
    assert "October" in str(found.tool_return)
    assert [each.file_name async for each in letta.agents.files.list(agent.id)] == ["fruit.md"]
    assert [each.id async for each in letta.agents.folders.list(agent.id)] == [folder.id]
    assert await letta.folders.agents.list(folder.id) == [agent.id]

    await letta.agents.folders.detach(folder.id, agent_id=agent.id)
    assert [each.id async for each in letta.agents.folders.list(agent.id)] == []
    # What it learns by itself still goes into an archive of its own.
    await letta.agents.passages.create(agent.id, text="plums")
    assert len(await letta.agents.passages.list(agent.id)) == 1


async def test_what_is_attached_or_detached_at_once_is_all_there_or_gone(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", include_base_tools=False)
    folders = [(await letta.folders.create(name=str(number))).id for number in range(4)]
    archives = [(await letta.archives.create(name=str(number), embedding="x")).id for number in range(4)]
    tools = [tool.id async for tool in letta.tools.list(names=["memory_insert", "memory_replace"])]

    async def attached() -> tuple[set[str], set[str | None]]:
        shown = await letta.agents.retrieve(agent.id)
        return {*shown.model_extra["archive_ids"]}, {tool.name for tool in shown.tools}  # type: ignore[index]

    own, _ = await attached()
    await asyncio.gather(
        *(letta.agents.folders.attach(each, agent_id=agent.id) for each in folders),
        *(letta.agents.archives.attach(each, agent_id=agent.id) for each in archives),
        *(letta.agents.tools.attach(each, agent_id=agent.id) for each in tools),
    )
    assert await attached() == ({*own, *folders, *archives}, {"memory_insert", "memory_replace", *_FILE_TOOLS})
    await asyncio.gather(
        *(letta.agents.folders.detach(each, agent_id=agent.id) for each in folders),
        *(letta.agents.archives.detach(each, agent_id=agent.id) for each in archives),
    )
    assert (await attached())[0] == own


async def test_folders_and_files_are_listed_by_pages_changed_and_deleted(letta: AsyncLetta) -> None:
    folder = await letta.folders.create(name="one")
    assert (await letta.folders.update(folder.id, name="two")).name == "two"
    for number in range(3):
        await letta.folders.files.upload(folder.id, file=(f"{number}.txt", b"words %d" % number))
    files = [each async for each in letta.folders.files.list(folder.id, limit=2)]
    assert sorted(each.file_name or "" for each in files) == ["0.txt", "1.txt", "2.txt"]
    await letta.folders.files.delete(files[0].id, folder_id=folder.id)
    with pytest.raises(letta_client.NotFoundError):
        await letta.folders.files.retrieve(files[0].id, folder_id=folder.id)
    await letta.folders.delete(folder.id)
    with pytest.raises(letta_client.NotFoundError):
        await letta.folders.retrieve(folder.id)


async def test_a_file_of_another_folder_is_not_in_this_one(letta: AsyncLetta) -> None:
    one, two = await letta.folders.create(name="one"), await letta.folders.create(name="two")
    file = await letta.folders.files.upload(one.id, file=("a.txt", b"words"))
    with pytest.raises(letta_client.NotFoundError):
        await letta.folders.files.delete(file.id, folder_id=two.id)
    assert (await letta.folders.files.retrieve(file.id, folder_id=one.id)).id == file.id


async def test_a_file_that_cant_be_read_is_refused(letta: AsyncLetta) -> None:
    folder = await letta.folders.create(name="one")
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.folders.files.upload(folder.id, file=("a.pdf", b"no pdf at all"))
    assert [each async for each in letta.folders.files.list(folder.id)] == []


async def test_what_becomes_of_a_name_that_is_there_already_can_be_said(letta: AsyncLetta) -> None:
    folder = await letta.folders.create(name="one")
    first = await letta.folders.files.upload(folder.id, file=("a.txt", b"one"))
    skipped = await letta.folders.files.upload(folder.id, file=("a.txt", b"two"), duplicate_handling="skip")
    assert skipped.id == first.id
    with pytest.raises(letta_client.ConflictError):
        await letta.folders.files.upload(folder.id, file=("a.txt", b"two"), duplicate_handling="error")
    beside = await letta.folders.files.upload(folder.id, file=("a.txt", b"two"), duplicate_handling="suffix")
    assert beside.id != first.id
    await letta.folders.files.upload(folder.id, file=("a.txt", b"three"), duplicate_handling="replace")
    names = [each.file_name async for each in letta.folders.files.list(folder.id)]
    assert sorted(names) == sorted(["a.txt", beside.file_name])
