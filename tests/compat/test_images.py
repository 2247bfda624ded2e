"""Images by letta-client, and by any OpenAI client."""

from __future__ import annotations

from letta_client import AsyncLetta

from tests.support.door import Door
from tests.support.scripted_model import ScriptedModel

BASE64 = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/quince.jpg"}}
TEXT = {"type": "text", "text": "what is this?"}


def shown(model: ScriptedModel) -> list[str]:
    parts = model.requests[-1]["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


async def test_images_go_in_and_come_back_as_they_were(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="sees")
    said = {"role": "user", "content": [TEXT, BASE64, LINK]}
    await letta.agents.messages.create(agent.id, messages=[said])  # type: ignore[list-item]
    assert shown(model) == ["data:image/png;base64,iVBORw0KGgo=", "https://example.org/quince.jpg"]
    listed = [message async for message in letta.agents.messages.list(agent.id)]
    (user,) = [message for message in listed if message.message_type == "user_message"]
    assert [part.model_dump(exclude_none=True) for part in user.content] == [TEXT, BASE64, LINK]


async def test_an_openai_client_shows_an_image(door: Door, key: str, letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="sees too")
    content = [TEXT, {"type": "image_url", "image_url": {"url": LINK["source"]["url"]}}]
    body = {"model": agent.id, "messages": [{"role": "user", "content": content}]}
    async with door.http(key) as http:
        answered = await http.post("/v1/chat/completions", json=body)
    assert answered.status_code == 200
    assert shown(model) == ["https://example.org/quince.jpg"]


async def test_the_sdk_shows_an_image(door: Door, key: str, model: ScriptedModel) -> None:
    async with door.client(key) as client:
        agent = await client.agents.create("sees as well")
        assert (await client.turns.send(agent.id, "what is this?", image_urls=[LINK["source"]["url"]])).text
    assert shown(model) == ["https://example.org/quince.jpg"]
