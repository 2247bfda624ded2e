"""Reads tool calls that a model wrote into its text, because its endpoint does not read them.

The forms, by who was trained on them:

- Hermes, Qwen, Granite:   <tool_call>{"name": …, "arguments": {…}}</tool_call>
- Qwen3-Coder, GLM:        the same around <function=…><parameter=…>, or around <arg_key>, <arg_value>
- Llama 3:                 <|python_tag|>{"name": …, "parameters": {…}}, <function=NAME>{…}</function>, or the bare JSON
- Llama 4:                 <|python_start|>[name(argument="value")]<|python_end|>, or the bare list
- Mistral:                 [TOOL_CALLS][{…}], [TOOL_CALLS]name[ARGS]{…}
- Phi, DeepSeek, Kimi:     <|tool_call|>, <｜tool▁calls▁begin｜>, <|tool_calls_section_begin|>
- others:                  JSON in a fence that is all of the answer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_service.models import arguments, pythonic
from agent_service.models.pythonic import Called
from agent_service.models.types import CalledTool, ModelAnswer, ToolSchema
from servicekit import ids

# What may begin a call in the middle of a text.
MARKERS = (
    "<tool_call>",
    "<|tool_call|>",
    "<function_call>",
    "<functioncall>",
    "<function=",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<|python_start|>",
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
)
# The ends of messages that some templates let through.
_ENDS = (
    *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|eot|>", "<|endoftext|>"),
    *("<｜end▁of▁sentence｜>", "</s>"),
)
_FENCE, _FENCED = "```", ("", "json", "python", "tool_code")
_MAX_CALLS = 64


@dataclass(frozen=True)
class _Form:
    """`opened` begins a call, the match's last group is read by `read`, in the light of the whole match."""

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str], Sequence[ToolSchema]], list[Called] | None]


def read(answer: ModelAnswer, tools: Sequence[ToolSchema]) -> ModelAnswer:
    """The answer with the calls in its text as calls; as it was, if there are none.

    Only calls that end the answer count: what stands in the middle is quoted or talked about. A name that is none of
    `tools` counts only in an answer that is nothing but calls.
    """
    if answer.tool_calls or not tools or not answer.text:
        return answer
    text = _without_ends(answer.text)
    names = {tool.name for tool in tools}
    said, called = _marked(text, tools)
    if not called:
        said, called = "", [call for call in _bare(text, tools) or () if call.name in names]
    elif said and any(call.name not in names for call in called):
        return answer
    if not called:
        return answer
    calls = [CalledTool(ids.new("call"), call.name, call.arguments) for call in called[:_MAX_CALLS]]
    return replace(answer, text=said, tool_calls=calls)


def _without_ends(text: str) -> str:
    text = text.strip()
    while ended := next((end for end in _ENDS if text.endswith(end)), ""):
        text = text.removesuffix(ended).rstrip()
    return text


def _marked(text: str, tools: Sequence[ToolSchema]) -> tuple[str, list[Called]]:
    """The text in front of the first marker, and the calls from there to the end; none if anything else is there."""
    begins = [at for marker in MARKERS if (at := text.find(marker)) >= 0]
    if not begins:
        return text, []
    at = begin = min(begins)
    if text.count("```", 0, begin) % 2:
        return text, []
    called: list[Called] = []
    while at < len(text):
        match, found = next(_matches(text, at, tools), (None, None))
        if match is None or not found:
            return text, []
        called += found
        at = match.end()
    return text[:begin].strip(), called


def _matches(text: str, at: int, tools: Sequence[ToolSchema]) -> Iterator[tuple[re.Match[str], list[Called] | None]]:
    for form in _FORMS:
        if match := form.pattern.match(text, at):
            yield match, form.read(match, tools)


def _bare(text: str, tools: Sequence[ToolSchema]) -> list[Called] | None:
    opened, _, inside = text.removeprefix(_FENCE).partition("\n")
    if text.startswith(_FENCE) and inside.endswith(_FENCE) and opened.strip() in _FENCED:
        text = inside.removesuffix(_FENCE).strip()
    if text.startswith(("{", "[")) and (called := _json(text)):
        return called
    return pythonic.read(text, tools)


def _inside(match: re.Match[str], tools: Sequence[ToolSchema]) -> list[Called] | None:
    """What stands between two markers, in any of the forms."""
    text = match[1].strip()
    if text.startswith("<function="):
        return [call for part in _FUNCTION.finditer(text) for call in _function(part, tools) or ()]
    if keys := _GLM.match(text):
        pairs = filter(None, map(_GLM_PAIR.match, keys[2].split("<arg_key>")))
        values = {pair[1]: pair[2] for pair in pairs}
        return [Called.of(keys[1], pythonic.typed(values, keys[1], tools))]
    return _json(text) or pythonic.read(text, tools)


def _json(text: str) -> list[Called] | None:
    """One call, a list of them, or several one behind the other."""
    value = arguments.loads(text)
    if not isinstance(value, list | dict) or (isinstance(value, dict) and not _of_object(value)):
        parts = _parts(text)
        value = [arguments.loads(part) for part in parts] if 1 < len(parts) <= _MAX_CALLS else value
    many = value if isinstance(value, list) else [value]
    called = [_of_object(each) for each in many]
    return [call for call in called if call is not None] if called and all(called) else None


def _parts(text: str) -> list[str]:
    """The texts of objects one behind the other."""
    ends = [gap.span() for gap in _GAP.finditer(text) if any(sign in gap[0] for sign in ";,\n")]
    begins = [0, *(end - 1 for _, end in ends)]
    return [text[begin:end] for begin, end in zip(begins, [*(start + 1 for start, _ in ends), len(text)], strict=True)]


def _of_object(value: Any) -> Called | None:
    if not isinstance(value, dict):
        return None
    if isinstance(inner := value.get("function"), dict):
        value = inner
    name = next((value[key] for key in ("name", "function", "tool", "tool_name") if value.get(key)), None)
    given = next((value[key] for key in ("arguments", "parameters", "args", "input") if key in value), None)
    if not isinstance(name, str) or not isinstance(given, dict | str | None):
        return None
    return Called(name, given) if isinstance(given, str) else Called.of(name, given or {})


def _function(match: re.Match[str], tools: Sequence[ToolSchema]) -> list[Called] | None:
    name, inner = match[1], match[2].strip()
    if "<parameter=" in inner:
        values = {pair[1]: pair[2] for pair in _PARAMETER.finditer(inner)}
        return [Called.of(name, pythonic.typed(values, name, tools))]
    return [Called(name, inner or "{}")]


def _mistral(match: re.Match[str], _tools: Sequence[ToolSchema]) -> list[Called] | None:
    parts = [part.strip() for part in match[1].split("[TOOL_CALLS]") if part.strip()]
    called: list[Called] = []
    for part in parts:
        if named := _MISTRAL_NAMED.match(part):
            called.append(Called(named[1], named[2].strip()))
        else:
            called += _json(part) or []
    return called


def _deepseek(match: re.Match[str], _tools: Sequence[ToolSchema]) -> list[Called] | None:
    called: list[Called] = []
    for part in match[1].split("<｜tool▁call▁begin｜>"):
        named = _DEEPSEEK_NAME.match(part)
        written, ended, _ = part.partition("<｜tool▁call▁end｜>")
        if named and ended:
            given = written[named.end() :].strip().removeprefix("```json").removesuffix(_FENCE)
            called.append(Called(named[1] or named[2], given.strip()))
    return called


def _kimi(match: re.Match[str], _tools: Sequence[ToolSchema]) -> list[Called] | None:
    parts = filter(None, map(_KIMI_CALL.match, match[1].split("<|tool_call_begin|>")))
    return [Called(part[1], part[2].strip()) for part in parts]


_GAP = re.compile(r"\}[\s;,]*+\{")
_FUNCTION = re.compile(r"\s*<function=([\w.-]+)>(.*?)(?:</function>|\Z)\s*", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)
_GLM = re.compile(r"\A([\w.-]+)\s*(<arg_key>.*)\Z", re.DOTALL)
_GLM_PAIR = re.compile(r"(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_MISTRAL_NAMED = re.compile(r"\A([\w.-]+)(?:\[CALL_ID\][\w-]*)?(?:\[ARGS\])?\s*(\{.*)\Z", re.DOTALL)
_DEEPSEEK_NAME = re.compile(r"(?:function<｜tool▁sep｜>([\w.-]+)|([\w.-]+)<｜tool▁sep｜>)")
_KIMI_CALL = re.compile(
    r"\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_FORMS = (
    _Form(re.compile(r"\s*<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)\s*", re.DOTALL), _inside),
    _Form(re.compile(r"\s*<\|tool_call\|>(.*?)(?:<\|/tool_call\|>|\Z)\s*", re.DOTALL), _inside),
    _Form(re.compile(r"\s*<function_?call>(.*?)(?:</function_?call>|\Z)\s*", re.DOTALL), _inside),
    _Form(re.compile(r"\s*<\|python_tag\|>(.*?)(?:<\|e[om]t_id\|>|\Z)\s*", re.DOTALL), _inside),
    _Form(re.compile(r"\s*<\|python_start\|>(.*?)(?:<\|python_end\|>|\Z)\s*", re.DOTALL), _inside),
    _Form(_FUNCTION, _function),
    _Form(re.compile(r"\s*\[TOOL_CALLS\](.*)\Z", re.DOTALL), _mistral),
    _Form(re.compile(r"\s*<｜tool▁calls▁begin｜>(.*?)(?:<｜tool▁calls▁end｜>|\Z)\s*", re.DOTALL), _deepseek),
    _Form(
        re.compile(r"\s*<\|tool_calls_section_begin\|>(.*?)(?:<\|tool_calls_section_end\|>|\Z)\s*", re.DOTALL), _kimi
    ),
)
