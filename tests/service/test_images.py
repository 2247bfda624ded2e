"""Images in what a user says: shown to the model, kept with the message, and no hindrance where they can't be shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_models import COMPLETED, SERVICES, ModelWorld, ended
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import InvalidArgument

PNG = "data:image/png;base64,iVBORw0KGgo="
URL = "https://example.org/quince.jpg"


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ModelWorld]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield ModelWorld(stack)


async def show(world: ModelWorld, agent: pb.Agent, text: str, *urls: str) -> turn_pb2.Turn:
    message = turn_pb2.InputMessage(text=text, image_urls=urls)
    request = turn_pb2.StartTurnRequest(agent_id=agent.id, request_id=f"{text} {len(urls)}", messages=[message])
    events = [r.event async for r in world.peer.stream(world.turns.StartTurn, request, caller=ANN)]
    return ended(events)


def images_in(request: dict[str, Any]) -> list[str]:
    parts = [part for m in request["messages"] if isinstance(m["content"], list) for part in m["content"]]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


async def test_images_are_shown_kept_and_shown_again_in_the_same_bytes(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    assert (await show(world, agent, "what is this?", PNG, URL)).state == COMPLETED
    assert (await show(world, agent, "", PNG)).state == COMPLETED
    await world.send(agent, "and now")
    first, second, third = model.requests
    assert [images_in(request) for request in (first, second, third)] == [[PNG, URL], [PNG, URL, PNG], [PNG, URL, PNG]]
    assert first["messages"][-1]["content"][0] == {"type": "text", "text": "what is this?"}
    for before, after in ((first, second), (second, third)):
        assert after["messages"][: len(before["messages"])] == before["messages"]
    assert json.loads((await world.last_step(agent)).request_json) == third
    kept = await world.messages(agent)
    assert [list(message.image_urls) for message in kept] == [[PNG, URL], [], [PNG], [], [], []]
    # About a thousand tokens each, by an estimate that this model's reports have brought down.
    assert (await world.last_step(agent)).step.tokens.messages > 1_500


@pytest.mark.parametrize("told", ["image input is not supported", "Could not download image from url"])
async def test_an_endpoint_that_takes_no_image_or_not_this_one_is_told_that_there_was_one(
    world: ModelWorld, model: ScriptedModel, told: str
) -> None:
    model.refusals = {"images": told}
    agent = await world.agent_with()
    assert (await show(world, agent, "what is this?", URL)).state == COMPLETED
    assert ended(await world.send(agent, "and now")).state == COMPLETED
    assert images_in(model.requests[-1]) == []
    assert any("an image, which you can't be shown" in str(m["content"]) for m in model.requests[-1]["messages"])
    assert json.loads((await world.last_step(agent)).request_json) == model.requests[-1]
    # Only what is said of images in general is learnt.
    assert len(model.requests) == (3 if "input" in told else 4)


async def test_what_is_no_image_or_too_much_of_it_is_refused(world: ModelWorld) -> None:
    agent = await world.agent_with()
    large = "data:image/png;base64," + "A" * (2 * 1024 * 1024)
    for urls in (["file:///etc/passwd"], ["data:text/html;base64,AAAA"], ["ftp://x/y.png"], [URL] * 11, [large]):
        with pytest.raises(InvalidArgument, match="image_urls"):
            await show(world, agent, "look", *urls)
    assert await world.messages(agent) == []
