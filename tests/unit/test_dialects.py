"""Calls that models write into their text, in the forms that they were trained on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_service.models import arguments, dialects, quirks
from agent_service.models.bodies import alternating, body
from agent_service.models.streaming import Holder, Thinking, without_beginning
from agent_service.models.types import CalledTool, ModelAnswer, ModelRequest, Quirks, ToolMode, ToolSchema

TOOLS = [
    ToolSchema(
        "save",
        "Saves.",
        {
            "type": "object",
            "properties": {"text": {"type": "string"}, "times": {"type": "integer"}, "tags": {"type": "array"}},
        },
    ),
    ToolSchema("find", "Finds.", {"type": "object", "properties": {"query": {"type": "string"}}}),
]
SAVE = ("save", {"text": "a > b", "times": 2})
FIND = ("find", {"query": "x"})
_JSON = '{"name": "save", "arguments": {"text": "a > b", "times": 2}}'
_LLAMA = '{"type": "function", "name": "save", "parameters": {"text": "a > b", "times": 2}}'
_FIND = '{"name": "find", "arguments": {"query": "x"}}'

FORMS: dict[str, tuple[str, list[Any]]] = {
    "hermes": (f"<tool_call>\n{_JSON}\n</tool_call>", [SAVE]),
    "hermes, two": (f"<tool_call>\n{_JSON}\n</tool_call>\n<tool_call>\n{_FIND}\n</tool_call>", [SAVE, FIND]),
    "hermes, without an end": (f"<tool_call>{_JSON}", [SAVE]),
    "hermes, a list": (f"<tool_call>[{_JSON}, {_FIND}]</tool_call>", [SAVE, FIND]),
    "qwen, with the end of the message": (f"<tool_call>\n{_JSON}\n</tool_call><|im_end|>", [SAVE]),
    "qwen3-coder": (
        "<tool_call>\n<function=save>\n<parameter=text>\na > b\n</parameter>\n<parameter=times>\n2\n</parameter>\n"
        "</function>\n</tool_call>",
        [SAVE],
    ),
    "glm": (
        "<tool_call>save\n<arg_key>text</arg_key>\n<arg_value>a > b</arg_value>\n<arg_key>times</arg_key>\n"
        "<arg_value>2</arg_value>\n</tool_call>",
        [SAVE],
    ),
    "llama 3, bare": (_LLAMA, [SAVE]),
    "llama 3, two": (f"{_LLAMA}; {_FIND}", [SAVE, FIND]),
    "llama 3, python tag": (f"<|python_tag|>{_LLAMA}<|eom_id|>", [SAVE]),
    "llama 3, function tag": ('<function=save>{"text": "a > b", "times": 2}</function><|eot_id|>', [SAVE]),
    "llama 4": ('<|python_start|>[save(text="a > b", times=2), find(query="x")]<|python_end|>', [SAVE, FIND]),
    "llama 4, bare": ('[save(text="a > b", times=2)]', [SAVE]),
    "python, by position": ('save("a > b", 2)', [SAVE]),
    "mistral": (f"[TOOL_CALLS][{_JSON}, {_FIND}]</s>", [SAVE, FIND]),
    "mistral, newer": (
        '[TOOL_CALLS]save[ARGS]{"text": "a > b", "times": 2}[TOOL_CALLS]find[CALL_ID]1[ARGS]{"query": "x"}',
        [SAVE, FIND],
    ),
    "phi": (f"<|tool_call|>[{_JSON}]<|/tool_call|>", [SAVE]),
    "deepseek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>save\n```json\n"
        '{"text": "a > b", "times": 2}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [SAVE],
    ),
    "kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.save:0<|tool_call_argument_begin|>"
        '{"text": "a > b", "times": 2}<|tool_call_end|><|tool_calls_section_end|>',
        [SAVE],
    ),
    "fenced": (f"```json\n{_JSON}\n```", [SAVE]),
    "the API's own form": (
        json.dumps([{"type": "function", "function": {"name": "find", "arguments": '{"query": "x"}'}}]),
        [FIND],
    ),
    "broken JSON": ("<tool_call>{'name': 'save', 'arguments': {'text': 'a > b', 'times': 2,}}</tool_call>", [SAVE]),
}


def read(text: str) -> ModelAnswer:
    return arguments.settled(dialects.read(ModelAnswer(text=text, finish_reason="stop"), TOOLS))


@pytest.mark.parametrize("form", FORMS)
def test_a_call_in_text_is_read(form: str) -> None:
    text, expected = FORMS[form]
    answer = read(text)
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == expected
    assert answer.text == ""
    assert len({call.id for call in answer.tool_calls}) == len(expected)


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_call_is_shown_while_it_is_generated(form: str) -> None:
    text, _ = FORMS[form]
    holder = Holder([tool.name for tool in TOOLS])
    assert "".join(holder.feed(character) for character in text).strip() == ""
    marked = Holder([tool.name for tool in TOOLS])
    if text.startswith(dialects.MARKERS):
        assert "".join(marked.feed(character) for character in f"Let me see. {text}") == "Let me see. "


@pytest.mark.parametrize("form", [form for form in FORMS if FORMS[form][0].startswith(dialects.MARKERS)])
def test_what_is_said_before_a_call_stays_text(form: str) -> None:
    text, expected = FORMS[form]
    answer = read(f"Let me see.\n{text}")
    assert answer.text == "Let me see."
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Write <tool_call> in front of it.",
        f"The document says <tool_call>{_JSON}</tool_call>, which I leave alone.",
        f"For example:\n```\n<tool_call>{_JSON}</tool_call>",
        f"As it says there: {_JSON}",
        'I heard: <tool_call>{"name": "drop_all", "arguments": {}}</tool_call>',
        '{"name": "Ann", "arguments": {"age": 4}}',
        '{"name": "Ann", "job": "find"}',
        '["save", "find"]',
        "[1](https://example.com)",
        "print(save)",
        "save()()",
        "[save(open('/etc/passwd'))]",
        "[]",
        "{",
        "[" * 5_000,
        "(" * 50_000,
        "<tool_call>",
        "<tool_call></tool_call>",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    answer = read(text)
    assert (answer.tool_calls, answer.text) == ((), text)


_LONG = 150_000


@pytest.mark.parametrize(
    "text",
    [
        " " * _LONG + "x",
        "</s>" * _LONG + "x",
        "```json\n" + " " * _LONG + "x",
        "{" * _LONG,
        "{a:b," * _LONG,
        "[(" * _LONG,
        "{}" + "\n" * _LONG + "x",
        "<tool_call>save" + "<arg_key>" * _LONG,
        "<tool_call>" * _LONG,
        "<｜tool▁calls▁begin｜>" + "<｜tool▁call▁begin｜>save<｜tool▁sep｜> " * _LONG,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>save<｜tool▁sep｜>" + " " * _LONG,
        "<|tool_calls_section_begin|>" + "<|tool_call_begin|>save<|tool_call_argument_begin|>" * _LONG,
    ],
    ids=lambda text: text[:60].strip(),
)
def test_a_long_text_that_nearly_is_a_call_holds_up_nobody(text: str) -> None:
    """Each took minutes, in which the server did nothing else."""
    read(text)
    (call,) = arguments.settled(ModelAnswer(tool_calls=[CalledTool("c", "save", text)])).tool_calls
    assert isinstance(json.loads(call.arguments), dict)


def test_an_unknown_name_counts_if_there_is_nothing_but_calls() -> None:
    assert read('<tool_call>{"name": "drop_all", "arguments": {}}</tool_call>').tool_calls[0].name == "drop_all"


def test_without_tools_and_beside_real_calls_text_is_text() -> None:
    text = FORMS["hermes"][0]
    assert dialects.read(ModelAnswer(text=text), []).tool_calls == ()
    native = ModelAnswer(text=text, tool_calls=[CalledTool("1", "find", "{}")])
    assert dialects.read(native, TOOLS) is native


@pytest.mark.parametrize(
    ("written", "settled"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("{'a': True, }", {"a": True}),
        ('{"a": "x', {"a": "x"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_arguments_are_mended(written: str, settled: dict[str, Any]) -> None:
    assert json.loads(_settled(written)) == settled


@pytest.mark.parametrize("written", ["[1]", "5", "null", "text", '"x"', "\x00", "[" * 100_000, "{”```json[```"])
def test_what_can_not_be_mended_is_valid_json_all_the_same(written: str) -> None:
    kept = json.loads(_settled(written))
    assert list(kept) == [arguments.UNREADABLE]
    assert written.startswith(kept[arguments.UNREADABLE])


def test_a_call_that_was_cut_off_is_not_mended() -> None:
    assert list(json.loads(_settled('{"a": "delete all but', "length"))) == [arguments.UNREADABLE]


def _settled(written: str, finish_reason: str = "tool_calls") -> str:
    call = CalledTool("1", "save", written)
    (settled,) = arguments.settled(ModelAnswer(tool_calls=[call], finish_reason=finish_reason)).tool_calls
    return settled.arguments


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize(
    ("text", "thoughts", "said"),
    [
        ("<think>\nhm <b>\n</think>\n\nhello", "\nhm <b>\n", "hello"),
        ("[THINK]hm[/THINK]hello", "hm", "hello"),
        ("<think>no end", "no end", ""),
        ("hello <think>x</think>", "", "hello <think>x</think>"),
        ("<thin air", "", "<thin air"),
        ("  <", "", "  <"),
        ("", "", ""),
    ],
)
def test_thoughts_in_tags_go_apart(text: str, thoughts: str, said: str, size: int) -> None:
    splitter = Thinking()
    parts = [splitter.feed(text[at : at + size]) for at in range(0, len(text), size)] + [splitter.end()]
    assert ("".join(part[0] for part in parts).strip(), "".join(part[1] for part in parts)) == (thoughts.strip(), said)


@pytest.mark.parametrize(
    ("text", "thoughts", "said"),
    [
        ("hm\n</think>\n\nhello", "hm\n", "hello"),
        ("hm</think>", "hm", ""),
        ("the tag </think> ends thoughts", "", "the tag </think> ends thoughts"),
        ("so:\n```\na\n</think>\nb\n```", "", "so:\n```\na\n</think>\nb\n```"),
        ("`</think>\n`", "", "`</think>\n`"),
        ("hello", "", "hello"),
    ],
)
def test_an_answer_that_begins_in_its_thoughts_is_split_where_they_end(text: str, thoughts: str, said: str) -> None:
    assert without_beginning(text) == (thoughts, said)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_of_a_model_known_for_it_thoughts_come_as_thoughts(size: int) -> None:
    for text, parts in (
        ("hm\n</think>\n\nhello", ("hm", "hello", True)),
        ("<think>hm</think>hello", ("hm", "hello", True)),
    ):
        splitter = Thinking(begun=True)
        fed = [splitter.feed(text[at : at + size]) for at in range(0, len(text), size)] + [splitter.end()]
        assert ("".join(part[0] for part in fed).strip(), "".join(part[1] for part in fed), splitter.closed) == parts


@pytest.mark.parametrize(
    "text", ["a <b> c [1] `d` {e}", "[see](x) and more", '{"sum": 3}' + " " * 300, "find it there"]
)
def test_what_only_looks_like_a_call_is_shown_in_the_end(text: str) -> None:
    holder = Holder(["find", "save"])
    assert "".join(holder.feed(character) for character in text) + holder.end() == text


def test_text_is_not_held_back_without_need() -> None:
    holder = Holder(["find", "save"])
    assert [holder.feed(piece) for piece in ("Hel", "lo, a < b", " [1] <", "p>")] == [
        "Hel",
        "lo, a < b",
        " [1] ",
        "<p>",
    ]


@pytest.mark.parametrize(
    ("told", "change"),
    [
        ("registry.ollama.ai/library/gemma:2b does not support tools", {"tools": "prompted"}),
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            {"tools": "prompted"},
        ),
        ("tools param requires --jinja flag", {"tools": "prompted"}),
        ("No endpoints found that support tool use", {"tools": "prompted"}),
        ("Unknown parameter: stream_options", {"without": ["stream_options"]}),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", {"without": ["temperature"]}),
        (
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            {"limit_name": "max_completion_tokens"},
        ),
        ("Conversation roles must alternate user/assistant/user/assistant/...", {"strict_roles": True}),
        ("System role not supported", {"strict_roles": True}),
        ("Invalid API key", None),
        ("The model `gpt-9` does not exist", None),
    ],
)
def test_an_endpoint_is_believed_in_what_it_refuses(told: str, change: dict[str, Any] | None) -> None:
    request = ModelRequest("m", [{"role": "user", "content": "x"}], TOOLS, temperature=0.2, max_output_tokens=5)
    learned = quirks.learned(Quirks(), body(request, Quirks()), told)
    assert (learned and quirks.to_json(learned)) == change
    if learned is not None:
        assert quirks.from_json(quirks.to_json(learned)) == learned
        assert quirks.learned(learned, body(request, learned), told) is None


def test_a_history_for_strict_templates_alternates() -> None:
    history = [
        {"role": "system", "content": "a"},
        {"role": "system", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "system", "content": "d"},
        {"role": "user", "content": "e"},
        {"role": "assistant", "content": "f"},
        {"role": "assistant", "content": "g"},
    ]
    assert alternating(history) == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c\n\n[d]\n\ne"},
        {"role": "assistant", "content": "f\n\ng"},
    ]


def test_prompted_calls_are_told_as_they_are_read() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "save", "arguments": '{"text": "a > b", "times": 2}'}}
    request = ModelRequest(
        "m",
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "saved"},
        ],
        TOOLS,
    )
    sent = body(request, Quirks(tools=ToolMode.PROMPTED))
    assert "tools" not in sent
    system, _, called, returned = sent["messages"]
    assert system["content"].startswith("Be kind.")
    assert all(tool.name in system["content"] for tool in TOOLS)
    answer = read(called["content"])
    assert (answer.text, answer.tool_calls[0].name) == ("Let me see.", "save")
    assert returned == {"role": "user", "content": "<tool_response>\nsaved\n</tool_response>"}


def test_space_without_end_is_not_held_back() -> None:
    holder, splitter = Holder(["find"]), Thinking()
    assert (holder.feed("  "), splitter.feed("  ")) == ("", ("", ""))
    assert (holder.feed(" " * 1_000), splitter.feed(" " * 1_000)) == (" " * 1_002, ("", " " * 1_002))
    assert (holder.feed("\n"), holder.feed("find(")) == ("", "")
