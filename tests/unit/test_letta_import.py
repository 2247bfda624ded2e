"""What a Letta server shows of messages, as recall gets it; and when an import says that something is missing."""

from __future__ import annotations

import io
from typing import Any

import pytest
from letta_client._models import construct_type
from letta_client.types.agents import Message as Shown
from rich.console import Console

from triptych.cli.letta.messages import batches
from triptych.cli.letta.report import KINDS, Moved, Report
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_AGENT = "agent-00000000-0000-4000-8000-000000000000"


def _shown(message_id: str, kind: str, **fields: Any) -> Shown:
    value = {"id": message_id, "date": "2026-01-02T03:04:05Z", "message_type": f"{kind}_message", **fields}
    shown: Any = construct_type(type_=Shown, value=value)
    assert shown.message_type == value["message_type"]
    return shown  # type: ignore[no-any-return]


def _call(call_id: str) -> dict[str, str]:
    return {"tool_call_id": call_id, "name": f"tool_{call_id}", "arguments": "{}"}


def _return(call_id: str, text: str) -> dict[str, str]:
    return {"tool_call_id": call_id, "tool_return": text, "status": "success", "type": "tool"}


def _read(*shown: Shown, size: int = 100) -> list[list[Message]]:
    return list(batches(shown, _AGENT, "", size))


def test_what_is_shown_as_several_messages_is_one_with_its_answers_behind_it() -> None:
    (batch,) = _read(
        _shown("m0", "system", content="the compiled prompt"),
        _shown("m1", "user", content=[{"type": "text", "text": "look"}, {"type": "text", "text": "twice"}]),
        _shown("m2", "reasoning", reasoning="thinking"),
        _shown("m2", "assistant", content="looking"),
        _shown("m2", "tool_call", tool_call=_call("a"), tool_calls=[_call("a"), _call("b")]),
        _shown("m3", "tool_return", **_return("a", "one"), tool_returns=[_return("a", "one"), _return("b", "two")]),
        _shown("m4", "system", content="a note"),
    )
    user, said, one, two, note = batch
    assert (user.role, user.text) == (type_pb2.ROLE_USER, "look\ntwice")
    assert (said.text, said.reasoning, [call.id for call in said.tool_calls]) == ("looking", "thinking", ["a", "b"])
    assert [(each.text, each.tool_return.name) for each in (one, two)] == [("one", "tool_a"), ("two", "tool_b")]
    assert (note.role, note.text) == (type_pb2.ROLE_SYSTEM, "a note")
    assert len({message.id for message in batch}) == 5
    assert user.create_time.ToJsonString() == "2026-01-02T03:04:05Z"


def test_approved_calls_have_their_answers_and_unanswered_ones_are_left_out() -> None:
    (batch,) = _read(
        _shown("m1", "user", content="go"),
        _shown("m2", "approval_request", tool_call=_call("a"), tool_calls=[_call("a"), _call("lost")]),
        _shown("m3", "approval_response", approvals=[_return("a", "done")]),
        _shown("m4", "tool_return", **_return("never-called", "?")),
        _shown("m5", "hidden_reasoning", state="redacted"),
        _shown("m6", "summary", summary="what was"),
    )
    assert [call.id for message in batch for call in message.tool_calls] == ["a"]
    assert [message.text for message in batch] == ["go", "", "done"]


def test_what_the_server_said_to_itself_is_left_out_and_what_it_packed_is_unpacked() -> None:
    (batch,) = _read(
        _shown("m1", "user", content='{"type": "user_message", "message": "quinces", "time": "now"}'),
        _shown("m2", "user", content='{"type": "heartbeat", "reason": "r"}'),
        _shown("m3", "user", content='{"my": "json"}'),
    )
    assert [message.text for message in batch] == ["quinces", '{"my": "json"}']


def test_a_batch_never_ends_between_a_call_and_its_answers_and_ids_stay_the_same() -> None:
    shown = [_shown("m1", "user", content="go")]
    for number in range(3):
        shown.append(_shown(f"c{number}", "tool_call", tool_call=_call(f"{number}")))
        shown.append(_shown(f"r{number}", "tool_return", **_return(f"{number}", "done")))
    small, (large,) = _read(*shown, size=2), _read(*shown)
    assert len(small) == 3
    assert all(batch[0].role != type_pb2.ROLE_TOOL for batch in small)
    assert [each.id for batch in small for each in batch] == [each.id for each in large]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_said(kind: str) -> None:
    moved = Moved("ann")
    moved.there[kind] = 2
    report = Report([moved], {"tool web_search": "not here"})
    assert not report.whole
    console = Console(file=io.StringIO(), width=120)
    report.show(console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 → 0" in said
    assert "MISSING" in said
    assert "left out: tool web_search: not here" in said
    moved.here[kind] = 3
    assert report.whole
