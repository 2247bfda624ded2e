"""Turns with models and endpoints of every kind: how they call tools, what they refuse, and how they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tests.service.test_agent_service import World, results
from tests.support.keys import ANN
from tests.support.scripted_model import ScriptedModel, chunk
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import step_pb2, turn_pb2
from triptych.agent.v1.step_pb2_grpc import StepServiceStub
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
SAVE = '{"name": "memory_insert", "arguments": {"label": "human", "new_string": "likes tea"}}'
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "array", "maxItems": 3}}}},
}
PRINTED = {
    "hermes": f"Let me note that.\n<tool_call>\n{SAVE}\n</tool_call>",
    "llama": SAVE.replace("arguments", "parameters"),
    "llama, pythonic": '[memory_insert(label="human", new_string="likes tea")]',
    "mistral": f"[TOOL_CALLS][{SAVE}]",
    "qwen3-coder": "<tool_call>\n<function=memory_insert>\n<parameter=label>\nhuman\n</parameter>\n"
    "<parameter=new_string>\nlikes tea\n</parameter>\n</function>\n</tool_call>",
    "thinking": f"<think>Tea! I should save that.</think>\n<tool_call>{SAVE}</tool_call>",
}
COMPLETED, FAILED = turn_pb2.TURN_STATE_COMPLETED, turn_pb2.TURN_STATE_FAILED


class ModelWorld(World):
    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.steps = StepServiceStub(self.peer.channel)

    async def agent_with(self, **model: Any) -> pb.Agent:
        """An agent of these model settings, with a block and a tool to edit it."""
        settings = ParseDict(model, pb.ModelSettings())
        agent = pb.Agent(tools=["memory_insert"], blocks=[pb.Block(label="human", value="x")], model=settings)
        request = pb.CreateAgentRequest(agent=agent)
        return (await self.peer.unary(self.agents.CreateAgent, request, caller=ANN)).agent

    async def block(self, agent: pb.Agent) -> str:
        return (await self.get_agent(agent.id)).blocks[0].value

    async def last_step(self, agent: pb.Agent) -> step_pb2.GetStepContextResponse:
        listing = step_pb2.ListStepsRequest(agent_id=agent.id, page_size=1)
        (step,) = (await self.peer.unary(self.steps.ListSteps, listing, caller=ANN)).steps
        request = step_pb2.GetStepContextRequest(step_id=step.id)
        return await self.peer.unary(self.steps.GetStepContext, request, caller=ANN)


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ModelWorld]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        yield ModelWorld(stack)


def ended(events: list[turn_pb2.TurnEvent]) -> turn_pb2.Turn:
    return events[-1].done.turn


def shown(events: list[turn_pb2.TurnEvent]) -> str:
    """The text that a reader has in the end: what was restarted is thrown away."""
    text = ""
    for event in events:
        text = "" if event.HasField("step_restarted") else text + event.text_delta.text
    return text


@pytest.mark.parametrize("dialect", PRINTED)
async def test_a_call_in_text_does_what_a_call_does(world: ModelWorld, model: ScriptedModel, dialect: str) -> None:
    agent = await world.agent_with()
    model.printed = [PRINTED[dialect]]
    events = await world.send(agent, "I like tea", deltas=True)
    assert "likes tea" in await world.block(agent)
    assert ended(events).state == COMPLETED
    assert "memory_insert" not in shown(events)
    (called,) = [event.message for event in events if event.message.tool_calls]
    assert called.reasoning == ("Tea! I should save that." if dialect == "thinking" else "")
    assert called.text == ("Let me note that." if dialect == "hermes" else "")
    # What the model is told of it is a call in the API's form.
    (told,) = [message for message in model.requests[-1]["messages"] if message.get("tool_calls")]
    assert json.loads(told["tool_calls"][0]["function"]["arguments"])["new_string"] == "likes tea"


async def test_text_that_is_no_call_is_shown_as_it_is(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    model.printed = [f"Write <tool_call>{SAVE}</tool_call>, and it is one."]
    events = await world.send(agent, "how are calls written?", deltas=True)
    assert shown(events) == f"Write <tool_call>{SAVE}</tool_call>, and it is one."
    assert await world.block(agent) == "x"


async def test_where_the_endpoint_reads_calls_those_in_text_are_text(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    await world.send(agent, '[[call:memory_insert {"label": "human", "new_string": "y"}]] first')
    model.printed = [f"<tool_call>{SAVE}</tool_call>"]
    events = await world.send(agent, "quote the document", deltas=True)
    assert shown(events) == f"<tool_call>{SAVE}</tool_call>"
    assert await world.block(agent) == "x\ny"


async def test_an_endpoint_without_tools_gets_them_in_the_prompt(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    model.refusals = {"tools": "registry.ollama.ai/library/gemma:2b does not support tools"}
    model.printed = [f"<tool_call>{SAVE}</tool_call>"]
    events = await world.send(agent, "I like tea")
    assert "likes tea" in await world.block(agent)
    assert ["tools" in request for request in model.requests] == [True, False, False]
    assert "memory_insert" in model.requests[-1]["messages"][0]["content"]
    assert "<tool_response>" in model.requests[-1]["messages"][-1]["content"]
    assert ended(events).state == COMPLETED
    assert json.loads((await world.last_step(agent)).request_json) == model.requests[-1]
    # It is remembered: the next turn does not ask in vain.
    await world.send(agent, "and now?")
    assert ["tools" in request for request in model.requests] == [True, False, False, False]


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ("stream_options", "Unknown parameter: stream_options"),
        ("temperature", "Unsupported value: 'temperature' does not support 0.5 with this model."),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("roles", "Conversation roles must alternate user/assistant/user/assistant/..."),
    ],
)
async def test_what_an_endpoint_does_not_take_is_left_out(
    world: ModelWorld, model: ScriptedModel, parameter: str, told: str
) -> None:
    agent = await world.agent_with(temperature=0.5, max_output_tokens=100)
    model.refusals = {parameter: told}
    assert ended(await world.send(agent, "hello")).state == COMPLETED
    assert len(model.requests) == 2
    assert json.loads((await world.last_step(agent)).request_json) == model.requests[-1]


async def test_a_refusal_that_nothing_can_be_done_about_ends_the_turn(world: ModelWorld, model: ScriptedModel) -> None:
    model.refusals = {"messages": "Invalid API key"}
    turn = ended(await world.send(await world.agent_with(), "hello"))
    assert turn.error.reason == type_pb2.ERROR_REASON_MODEL_REFUSED
    assert len(model.requests) == 1


_PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "well"}]
# A delta of an answer, and what it is taken for: thoughts and text.
FORMS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "reasoning_content, as DeepSeek and vLLM have it": ({"reasoning_content": "hm", "content": "well"}, ("hm", "well")),
    "reasoning, as OpenRouter has it": ({"reasoning": "hm", "content": "well"}, ("hm", "well")),
    "parts, as Mistral has it": ({"content": _PARTS}, ("hm", "well")),
    "tags": ({"content": "<think>hm</think>well"}, ("hm", "well")),
    "a refusal, as OpenAI has it": (
        {"content": None, "refusal": "I can't help with that."},
        ("", "I can't help with that."),
    ),
}


async def test_thoughts_and_refusals_are_read_in_each_form(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()

    async def stream(delta: dict[str, Any]) -> AsyncIterator[bytes]:
        yield chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    for form, (delta, (reasoning, text)) in FORMS.items():
        model.streams = [stream(delta)]
        events = await world.send(agent, form, deltas=True)
        (said,) = [event.message for event in events if event.HasField("message")]
        assert (form, said.reasoning, said.text, shown(events)) == (form, reasoning, text, text)
        assert ended(events).state == COMPLETED
    assert [m.reasoning for m in await world.messages(agent)][1::2] == [form[1][0] for form in FORMS.values()]


async def test_an_endpoint_that_reports_no_usage_serves(world: ModelWorld, model: ScriptedModel) -> None:
    model.reports_usage = False
    turn = ended(await world.send(await world.agent_with(), "hello"))
    assert (turn.state, turn.usage.step_count) == (COMPLETED, 1)


async def test_an_answer_that_breaks_off_is_asked_for_again(world: ModelWorld, model: ScriptedModel) -> None:
    model.cuts = [2, 1]
    events = await world.send(await world.agent_with(), "[[say:one two three four]]", deltas=True)
    assert ended(events).state == COMPLETED
    assert len(model.requests) == 3
    assert shown(events) == "one two three four"
    assert sum(event.HasField("step_restarted") for event in events) == 2
    numbered = [event.sequence for event in events if event.sequence]
    assert numbered == list(range(1, len(numbered) + 1))


async def test_an_answer_that_always_breaks_off_ends_the_turn(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    events = await world.send(agent, "[[cut]] one two three", deltas=True)
    assert ended(events).error.reason == type_pb2.ERROR_REASON_MODEL_UNAVAILABLE
    assert len(model.requests) == 3
    assert ended(await world.send(agent, "again")).state == COMPLETED


async def test_retry_after_is_honoured(world: ModelWorld, model: ScriptedModel) -> None:
    model.failures = [(429, {"retry-after": "1"}), (503, {"retry-after-ms": "10"})]
    began = asyncio.get_running_loop().time()
    assert ended(await world.send(await world.agent_with(), "hello")).state == COMPLETED
    assert asyncio.get_running_loop().time() - began >= 1.0


async def test_broken_arguments_are_mended_and_hopeless_ones_asked_for_again(
    world: ModelWorld, model: ScriptedModel
) -> None:
    agent = await world.agent_with()
    mended = "{'label': 'human', 'new_string': 'likes tea',}"
    events = await world.send(agent, f"[[raw:memory_insert {mended}]] [[raw:memory_insert tea please]]")
    first, second = results(events)
    assert "likes tea" in await world.block(agent)
    assert first.tool_return.status == type_pb2.TOOL_STATUS_SUCCESS
    assert second.tool_return.status == type_pb2.TOOL_STATUS_ERROR
    assert "not valid JSON" in second.text
    told = [call for message in model.requests[-1]["messages"] for call in message.get("tool_calls", ())]
    assert [type(json.loads(call["function"]["arguments"])) for call in told] == [dict, dict]


async def test_an_emulated_call_without_an_end_is_asked_for_again_and_then_words_are(
    tmp_path: Path, model: ScriptedModel
) -> None:
    async def cut(text: str) -> AsyncIterator[bytes]:
        yield chunk({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "length"}]})
        yield b"data: [DONE]\n\n"

    call = '{"name": "memory_insert", "arguments": {"label": "human", "new_string": "on and on'
    async with running(tmp_path, *SERVICES, model_url=model.url, more={"TRIPTYCH_MODEL_TOOLS": "emulated"}) as stack:
        world = ModelWorld(stack)
        agent = await world.agent_with()
        model.streams = [cut(call), cut(f"{call} and on"), cut('{"name": "reply", "arguments": {"text": "Hello, I')]
        events = await world.send(agent, "hello")
        assert ["cut off" in result.text for result in results(events)] == [True, True]
        assert ended(events).stop_reason == turn_pb2.STOP_REASON_MAX_TOKENS
        assert [event.message.text for event in events if event.HasField("message")] == ["", "", "Hello, I"]
        offered = [len(sent["response_format"]["json_schema"]["schema"]["anyOf"]) for sent in model.requests]
        assert offered == [2, 2, 1]
        assert await world.block(agent) == "x"
        # The next turn may call again.
        model.streams = [cut(call)]
        model.printed = [SAVE, '{"name": "reply", "arguments": {"text": "Noted."}}']
        assert ended(await world.send(agent, "I like tea")).state == COMPLETED
        assert "likes tea" in await world.block(agent)


async def test_a_response_format_reaches_the_model_and_a_turns_own_comes_first(
    world: ModelWorld, model: ScriptedModel
) -> None:
    agent = await world.agent_with(response_format=json.dumps(SCHEMA))
    await world.send(agent, "hello")
    assert model.requests[-1]["response_format"] == SCHEMA
    # Its members keep their order, which is the one that models write in.
    assert json.dumps(SCHEMA, separators=(",", ":")).encode() in model.bodies[-1]
    await world.send(agent, "hello again", response_format='{"type": "json_object"}')
    assert model.requests[-1]["response_format"] == {"type": "json_object"}
    assert json.loads((await world.last_step(agent)).request_json) == model.requests[-1]
    for wrong in ('{"type": "yaml"}', '{"type": "json_schema"}', "[]", "no JSON"):
        with pytest.raises(InvalidArgument, match="response_format"):
            await world.agent_with(response_format=wrong)


async def test_another_model_stands_in_and_the_step_says_which(tmp_path: Path, model: ScriptedModel) -> None:
    spare = ScriptedModel().start()
    entry = {"base_url": spare.url, "model": "spare-1", "api_key_variable": "SPARE_KEY"}
    (tmp_path / "endpoints.json").write_text(json.dumps({"spare": entry}))
    more = {"TRIPTYCH_MODEL_ENDPOINTS": str(tmp_path / "endpoints.json"), "SPARE_KEY": "k"}
    try:
        async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
            world = ModelWorld(stack)
            agent = await world.agent_with(fallbacks=["spare/spare-1"])
            model.cuts = [1, 1, 1]
            events = await world.send(agent, "[[say:one two three]]", deltas=True)
            assert ended(events).state == COMPLETED
            assert shown(events) == "one two three"
            assert [request["model"] for request in spare.requests] == ["spare-1"]
            assert (await world.last_step(agent)).step.model == "spare-1"
            await world.send(await world.agent_with(handle="spare/spare-2"), "hello")
            assert spare.requests[-1]["model"] == "spare-2"
            listed = await world.peer.unary(world.agents.ListModels, pb.ListModelsRequest(), caller=ANN)
            assert "spare/spare-1" in [each.handle for each in listed.models]
    finally:
        spare.stop()


async def test_an_endpoint_that_keeps_failing_is_left_alone_for_a_while(
    world: ModelWorld, model: ScriptedModel
) -> None:
    agent = await world.agent_with()
    # More than the requests of five turns, three each.
    model.failures = [(500, {"retry-after-ms": "1"})] * 20
    for number in range(5):
        turn = ended(await world.send(agent, f"hello {number}"))
        assert turn.error.reason == type_pb2.ERROR_REASON_MODEL_UNAVAILABLE
        assert "times in a row" not in turn.error.message
    left = len(model.failures)
    assert "5 times in a row" in ended(await world.send(agent, "hello again")).error.message
    assert len(model.failures) == left


async def test_a_turn_works_no_longer_than_it_may(world: ModelWorld, model: ScriptedModel) -> None:
    agent = await world.agent_with()
    call = '[[call:memory_insert {"label": "human", "new_string": "y"}]]'
    turn = ended(await world.send(agent, f"{call} [[wait:1]]", max_seconds=3))
    assert (turn.state, turn.error.reason) == (FAILED, type_pb2.ERROR_REASON_DEADLINE_EXCEEDED)
    assert "3 seconds" in turn.error.message
    # What was done stays, and the conversation goes on.
    assert await world.block(agent) == "x\ny"
    model.release()
    assert ended(await world.send(agent, "again")).state == COMPLETED


async def test_waiting_for_a_person_is_not_work(world: ModelWorld) -> None:
    tool = turn_pb2.ClientTool(name="local_time", description="d", parameters='{"type": "object"}')
    agent = await world.agent_with()
    events = await world.send(agent, "[[call:local_time {}]]", max_seconds=3, client_tools=[tool])
    turn = events[-1].approval_request.turn
    await asyncio.sleep(3.2)
    request = turn_pb2.ContinueTurnRequest(
        turn_id=turn.id, request_id="c", tool_returns=[turn_pb2.ClientToolReturn(tool_call_id="call-0", text="noon")]
    )
    rest = [r.event async for r in world.peer.stream(world.turns.ContinueTurn, request, caller=ANN)]
    assert ended(rest).state == COMPLETED


async def test_a_turn_waits_only_so_long_for_those_before_it(tmp_path: Path, model: ScriptedModel) -> None:
    more = {"TRIPTYCH_TURN_QUEUE_SECONDS": "0.3"}
    async with running(tmp_path, *SERVICES, model_url=model.url, more=more) as stack:
        world = ModelWorld(stack)
        agent = await world.agent_with()
        first = asyncio.create_task(world.send(agent, "[[wait]] first"))
        await asyncio.to_thread(model.waiting.wait, 20)
        turn = ended(await world.send(agent, "second"))
        assert (turn.state, turn.error.reason) == (FAILED, type_pb2.ERROR_REASON_CONVERSATION_BUSY)
        behind = asyncio.create_task(world.send(agent, "third", background=True))
        await asyncio.sleep(0.5)
        model.release()
        assert ended(await first).state == COMPLETED
        # Nobody waits for that one, so it has time.
        assert ended(await behind).state == COMPLETED
        assert {"second", "third"} <= {message.text for message in await world.messages(agent)}
