"""Reading what models answer."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from agent_service.models import arguments, dialects, emulation
from agent_service.models.assembly import Assembly
from agent_service.models.failures import CutOff
from agent_service.models.types import Deltas, ModelAnswer, ToolSchema
from triptych.errors import TriptychError, Unavailable
from triptych.type.v1 import type_pb2

TOOL = ToolSchema("save", "Saves.\nMore.", {"type": "object", "properties": {"text": {"type": "string"}}})


def chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_text_and_calls_are_put_together_from_their_pieces() -> None:
    pieces: list[str] = []
    assembly = Assembly(Deltas(text=pieces.append, reasoning=pieces.append))
    assembly.add(chunk(reasoning_content="hm"))
    assembly.add(chunk(content="hel"))
    assembly.add(chunk(content="lo"))
    assembly.add(chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]))
    assembly.add(chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]))
    assembly.add(chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]))
    assembly.add({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    answer = assembly.answer()
    assert (answer.text, answer.reasoning, pieces) == ("hello", "hm", ["hm", "hel", "lo"])
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("a", "f", '{"x": 1}'),
        ("b", "g", "{}"),
    ]
    assert (answer.usage.prompt, answer.usage.completion) == (5, 2)


def test_strange_numbers_and_places_are_taken_for_what_they_can_be() -> None:
    assembly = Assembly(None)
    calls = [{"index": index, "function": {"name": name}} for index, name in ((None, "f"), ("1", "g"), (2, "h"))]
    assembly.add(chunk(tool_calls=calls))
    assembly.add({"usage": {"prompt_tokens": 1e300, "completion_tokens": -3}})
    assembly.add({"choices": [{"index": 0, "delta": {}, "finish_reason": {"odd": 1}}]})
    answer = assembly.answer()
    assert [call.name for call in answer.tool_calls] == ["f", "g", "h"]
    assert (answer.usage.prompt, answer.usage.completion) == (1_000_000_000, 0)


def test_calls_that_an_endpoint_gives_one_place_are_told_apart_by_their_ids() -> None:
    assembly = Assembly(None)
    for call_id, name in (("a", "f"), ("b", "g")):
        function = {"name": name, "arguments": {"x": name}}
        assembly.add(chunk(tool_calls=[{"index": 0, "id": call_id, "function": function}]))
    called = [(call.id, call.name, json.loads(call.arguments)) for call in assembly.answer().tool_calls]
    assert called == [("a", "f", {"x": "f"}), ("b", "g", {"x": "g"})]


def test_no_two_calls_of_an_answer_have_the_same_id() -> None:
    assembly = Assembly(None)
    calls = [{"index": index, "id": given, "function": {"name": "f"}} for index, given in enumerate([7, 7, "", ""])]
    assembly.add(chunk(tool_calls=calls))
    made = [call.id for call in assembly.answer().tool_calls]
    assert made[0] == "7"
    assert len(set(made)) == 4
    assert all(made)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"code": 400, "message": "This endpoint's maximum context length is 8192 tokens"}, "CONTEXT_OVERFLOW"),
        ({"code": "context_length_exceeded", "message": "too much"}, "CONTEXT_OVERFLOW"),
        ({"code": 403, "message": "flagged"}, "MODEL_REFUSED"),
        ({"code": 502, "message": "overloaded"}, "MODEL_UNAVAILABLE"),
        ("overloaded", "MODEL_UNAVAILABLE"),
    ],
)
def test_an_error_in_a_stream_is_what_its_status_would_have_said(told: Any, reason: str) -> None:
    with pytest.raises(TriptychError) as caught:
        Assembly(None).add({"error": told})
    assert caught.value.reason == type_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    assert isinstance(caught.value, CutOff) == (reason == "MODEL_UNAVAILABLE"), "asked for again"


def test_the_older_form_of_a_call_is_a_call() -> None:
    for chunks in (
        [{"name": "f", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": "1}"}],
        [{"name": "f", "arguments": '{"a":1}'}],
    ):
        assembly = Assembly(None)
        for each in chunks:
            assembly.add(chunk(function_call=each))
        (call,) = assembly.answer().tool_calls
        assert (call.name, call.arguments) == ("f", '{"a":1}')
        assert call.id


@pytest.mark.parametrize("begun", [False, True])
def test_an_answer_that_begins_in_its_thoughts_or_has_none(begun: bool) -> None:
    for text, expected, known in (("hm</think>\nhi", ("hm", "hi"), True), ("just this", ("", "just this"), False)):
        assembly = Assembly(None, begun=begun)
        for character in text:
            assembly.add(chunk(content=character))
        answer = assembly.answer()
        assert (answer.reasoning, answer.text) == expected
        assert assembly.began_in_thoughts is known


def test_a_content_of_parts_is_text_and_thoughts() -> None:
    assembly = Assembly(None)
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assembly.add(chunk(content=[thinking, {"type": "text", "text": "hel"}]))
    assembly.add(chunk(content=[{"type": "text", "text": "lo"}]))
    answer = assembly.answer()
    assert (answer.reasoning, answer.text) == ("hm", "hello")


@pytest.mark.parametrize(
    "bad",
    [
        *("x", 5, None, {"choices": "x"}, {"choices": [{"delta": "x"}]}, {"choices": [{"delta": {"content": 5}}]}),
        {"usage": {"prompt_tokens": 10**400}},
    ],
)
def test_what_is_not_in_the_format_is_garbage(bad: Any) -> None:
    with pytest.raises(Unavailable, match="can't be read"):
        Assembly(None).add(bad)


def test_an_empty_stream_is_garbage() -> None:
    with pytest.raises(Unavailable, match="empty"):
        Assembly(None).answer()


def test_an_answer_without_end_is_cut_off() -> None:
    assembly = Assembly(None)
    for _ in range(16):
        assembly.add(chunk(content="x" * 65_536))
    with pytest.raises(Unavailable, match="longer than"):
        assembly.add(chunk(content="x"))


def test_emulated_calls_are_read_back() -> None:
    answer = emulation.read(ModelAnswer(text='{"name": "save", "arguments": {"text": "a"}}'))
    assert answer.text == ""
    assert (answer.tool_calls[0].name, json.loads(answer.tool_calls[0].arguments)) == ("save", {"text": "a"})
    assert emulation.read(ModelAnswer(text='{"name": "reply", "arguments": {"text": "hi"}}')).text == "hi"
    assert emulation.read(ModelAnswer(text="just words")).text == "just words"
    assert emulation.read(ModelAnswer(text='{"name": "reply", "arguments": {"text": "cut o')).text == "cut o"


def test_an_emulated_call_without_an_end_is_one_with_unreadable_arguments() -> None:
    begun = '{"name": "save", "arguments": {"text": "on and on'
    (call,) = arguments.settled(emulation.read(ModelAnswer(text=begun, finish_reason="length"))).tool_calls
    assert (call.name, list(json.loads(call.arguments))) == ("save", [arguments.UNREADABLE])
    with pytest.raises(Unavailable, match="without an end"):
        emulation.read(ModelAnswer(text='{"name": "sa', finish_reason="length"))
    with pytest.raises(Unavailable, match="where words were asked for"):
        emulation.read(ModelAnswer(text=begun, finish_reason="length"), may_call=False)
    with pytest.raises(CutOff):
        emulation.read(ModelAnswer(text=begun))


def test_an_emulated_call_in_json_that_is_almost_right_is_mended() -> None:
    answer = emulation.read(ModelAnswer(text="{'name': 'save', 'arguments': {'text': 'a',}}", finish_reason="stop"))
    assert (answer.tool_calls[0].name, json.loads(answer.tool_calls[0].arguments)) == ("save", {"text": "a"})


def test_a_model_whose_calls_twice_have_no_end_is_stuck() -> None:
    def calls(*texts: str) -> list[dict[str, Any]]:
        made = [json.dumps({arguments.UNREADABLE: text}) if text else "{}" for text in texts]
        return [{"role": "assistant", "tool_calls": [{"function": {"name": "save", "arguments": a}}]} for a in made]

    assert emulation.is_stuck(calls("on and", "and on"))
    assert not emulation.is_stuck(calls("on and"))
    assert not emulation.is_stuck(calls("on and", ""))


def test_a_model_that_repeats_a_call_is_stuck_until_the_user_speaks_again() -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "save", "arguments": "{}"}}]}
    other = {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]}
    user, result = {"role": "user", "content": "x"}, {"role": "tool", "content": "no"}
    assert emulation.is_stuck([user, call, result, call, result])
    assert not emulation.is_stuck([user, call, result, other, result])
    assert not emulation.is_stuck([user, call, result, call, result, user])


def test_an_emulated_tool_has_its_required_arguments_alone() -> None:
    tool = ToolSchema("f", "F.", {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]})
    (_, call) = emulation.response_format([tool])["json_schema"]["schema"]["anyOf"]
    assert call["properties"]["arguments"]["properties"] == {"a": {"type": "string"}}


def test_what_an_emulated_tools_arguments_refer_to_is_there() -> None:
    place = {"type": "object", "properties": {"inside": {"$ref": "#/$defs/Place"}, "name": {"type": "string"}}}
    parameters = {"properties": {"to": {"$ref": "#/$defs/Place"}}, "required": ["to"], "$defs": {"Place": place}}
    tools = [ToolSchema(name, "", {"type": "object", **parameters}) for name in ("go", "look")]
    schema = emulation.response_format(tools)["json_schema"]["schema"]
    jsonschema.validate({"name": "go", "arguments": {"to": {"inside": {"name": "x"}}}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "look", "arguments": {"to": {"inside": {"name": 5}}}}, schema)


@pytest.mark.parametrize(
    "parameters", [{"required": ["a"]}, {"properties": None, "required": None}, {"properties": {"a": True}}]
)
def test_a_strange_schema_of_others_breaks_no_request_and_no_answer(parameters: dict[str, Any]) -> None:
    tool = ToolSchema("f", "", {"type": "object", **parameters})
    emulation.response_format([tool])
    emulation.messages([{"role": "system", "content": "Be kind."}], [tool])
    printed = "<tool_call><function=f><parameter=a>5</parameter></function></tool_call>"
    (call,) = dialects.read(ModelAnswer(printed), [tool]).tool_calls
    assert json.loads(call.arguments) == {"a": "5"}


def test_emulation_tells_calls_and_results_in_words() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "save", "arguments": '{"text": "a"}'}}
    told = emulation.messages(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "saved"},
        ],
        [TOOL],
    )
    assert [message["role"] for message in told] == ["system", "assistant", "user"]
    assert "- save: Saves." in told[0]["content"]
    assert json.loads(told[1]["content"]) == {"name": "save", "arguments": {"text": "a"}}
    assert "saved" in told[2]["content"]
    names = [
        each["properties"]["name"]["const"]
        for each in emulation.response_format([TOOL])["json_schema"]["schema"]["anyOf"]
    ]
    assert names == ["reply", "save"]
