"""Tool calls for models that have none: the possible calls as a JSON schema, which the endpoint makes the model follow.

The model answers with one object, `{"name": …, "arguments": …}`; the name `reply` stands for speaking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent_service.characters import whole
from agent_service.models import arguments
from agent_service.models.failures import CutOff, garbage
from agent_service.models.messages import ChatMessage
from agent_service.models.types import CalledTool, ModelAnswer, ToolSchema
from servicekit import ids

REPLY = "reply"
# What a call begins with, as far as its arguments.
_BEGUN = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"arguments"\s*:')
# How a schema refers to what it defines.
_DEFINED = "#/$defs/"
# So many calls in a row that nobody can read, and the model is to answer in words.
_MOST_BROKEN = 2


def response_format(tools: Sequence[ToolSchema]) -> dict[str, Any]:
    """The `response_format` of a request: any one of the calls, or the reply."""
    reply = ToolSchema(
        REPLY, "Answer the user.", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    )
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": _required(tool)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in (reply, *tools)
    ]
    defined = {name: schema for tool in tools for name, schema in _defined(tool).items()}
    schema = {"anyOf": calls, **({"$defs": defined} if defined else {})}
    return {"type": "json_schema", "json_schema": {"name": "call", "strict": True, "schema": schema}}


def _required(tool: ToolSchema) -> dict[str, Any]:
    """The schema without optional arguments: a model that needs a grammar to write JSON fills them with noise."""
    return {
        "type": "object",
        "properties": {name: _pointing(tool.properties.get(name, {}), tool) for name in tool.required},
        "required": tool.required,
        "additionalProperties": False,
    }


def _defined(tool: ToolSchema) -> dict[str, Any]:
    """What its schema refers to, by names that are its own among those of all tools."""
    given = tool.parameters.get("$defs")
    named = given.items() if isinstance(given, dict) else ()
    return {f"{tool.name}.{name}": _pointing(schema, tool) for name, schema in named}


def _pointing(schema: Any, tool: ToolSchema) -> Any:
    """The same schema, whose references point to `_defined`."""
    if isinstance(schema, list):
        return [_pointing(each, tool) for each in schema]
    if not isinstance(schema, dict):
        return schema
    pointing = {key: _pointing(value, tool) for key, value in schema.items()}
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith(_DEFINED):
        pointing["$ref"] = f"{_DEFINED}{tool.name}.{target.removeprefix(_DEFINED)}"
    return pointing


def is_stuck(history: Sequence[ChatMessage]) -> bool:
    """Whether the model has just made the same call twice, or calls without an end: small ones then do so for ever."""
    calls: list[tuple[str, str]] = []
    for message in history:
        if message["role"] == "user":
            calls = []
        for call in message.get("tool_calls") or ():
            calls.append((call["function"]["name"], call["function"]["arguments"]))
    broken = [arguments.UNREADABLE in given for _, given in calls[-_MOST_BROKEN:]]
    return len(calls) > 1 and (calls[-1] == calls[-2] or all(broken))


def messages(history: Sequence[ChatMessage], tools: Sequence[ToolSchema]) -> list[ChatMessage]:
    """The history in words such a model knows: calls as the JSON it would have written, results as user messages."""
    told = [_plain(message) for message in history]
    if tools and told and told[0]["role"] == "system":
        lines = "\n".join(f"- {tool.name}: {_first_line(tool.description)}" for tool in tools)
        told[0] = {
            "role": "system",
            "content": f"{told[0]['content']}\n\nAnswer with one JSON object: "
            f'{{"name": "{REPLY}", "arguments": {{"text": "…"}}}} to speak, or a call of one of these:\n{lines}',
        }
    return told


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _plain(message: ChatMessage) -> ChatMessage:
    if message["role"] == "tool":
        return {"role": "user", "content": f"[result of the call] {message['content']}"}
    if message.get("tool_calls"):
        function = message["tool_calls"][0]["function"]
        call = {"name": function["name"], "arguments": _loads(function["arguments"])}
        return {"role": "assistant", "content": json.dumps(call, ensure_ascii=False)}
    if message["role"] == "assistant":
        reply = {"name": REPLY, "arguments": {"text": message.get("content") or ""}}
        return {"role": "assistant", "content": json.dumps(reply, ensure_ascii=False)}
    return message


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


def _cut_reply(text: str) -> str:
    """What was said in a reply that was cut at the output limit; any other text as it is."""
    _, begun, said = text.partition('"text":')
    if not begun or f'"{REPLY}"' not in text:
        return text
    return said.strip().removeprefix('"').rstrip('"} \n').replace("\\n", "\n").replace('\\"', '"')


def read(answer: ModelAnswer, *, may_call: bool = True) -> ModelAnswer:
    """The object in the answer's text as a tool call or as text. What is no such object stays text.

    A call that was cut at the output limit is one with unreadable arguments, of which the model is told. `may_call`:
    false where it was asked for words. Raises: Unavailable MODEL_GARBAGE for a call then, and for one that was cut
    before its name was whole; CutOff for an object that broke off.
    """
    cut = answer.finish_reason == "length"
    call = _loads(answer.text) if cut or not answer.finish_reason else arguments.loads(answer.text)
    if not isinstance(call, dict) or "name" not in call or "arguments" not in call:
        call = _begun(answer)
    if call is None:
        return replace(answer, text=_cut_reply(answer.text))
    name, given = str(call["name"]), call["arguments"]
    if name == REPLY:
        text = given.get("text", "") if isinstance(given, dict) else str(given)
        return replace(answer, text=whole(str(text)))
    if not may_call:
        raise garbage("it is a tool call where words were asked for")
    written = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return replace(answer, text="", tool_calls=[CalledTool(ids.new("call"), name, written)])


def _begun(answer: ModelAnswer) -> dict[str, Any] | None:
    """A call without an end, its arguments the text that there is of them; None for what is none, or a reply."""
    begun = _BEGUN.match(answer.text)
    if f'"{REPLY}"' in answer.text or not answer.text.lstrip().startswith("{"):
        return None
    if answer.finish_reason == "length":
        if begun is None:
            raise garbage("it is a tool call without an end")
        return {"name": begun[1], "arguments": answer.text[begun.end() :].strip()}
    if not answer.finish_reason and begun is not None:
        raise CutOff("in a tool call")
    return None
