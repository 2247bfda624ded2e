"""What is learnt of a model, how a turn is shortened, how a summary is asked for, what a call costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from agent_service.context import shorten, summary, tokens
from agent_service.context.budget import Budget
from agent_service.context.calibration import Calibration
from agent_service.context.shorten import Cuts
from agent_service.models.messages import ChatMessage
from agent_service.models.prices import Prices
from agent_service.models.types import ModelUsage
from tests.support.keys import ANN, BOB
from triptych.agent.v1.agent_pb2 import Agent, CompactionSettings, ModelSettings
from triptych.environment import BadEnvironment
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

TENANT = ANN.tenant


def test_the_ratio_follows_what_is_reported_within_bounds_and_only_when_it_is_off() -> None:
    calibration = Calibration()
    calibration.observe(TENANT, "m", estimated=1_000, reported=1_050)
    assert calibration.ratio(TENANT, "m") == 1.0
    for _ in range(30):
        calibration.observe(TENANT, "m", estimated=1_000, reported=1_400)
    assert calibration.ratio(TENANT, "m") == pytest.approx(1.4, rel=0.1)
    for _ in range(30):
        calibration.observe(TENANT, "m", estimated=1_000, reported=90_000)
    assert calibration.ratio(TENANT, "m") == pytest.approx(3.0, rel=0.1)
    calibration.observe(TENANT, "tiny", estimated=10, reported=400)
    calibration.observe(TENANT, "silent", estimated=1_000, reported=0)
    assert calibration.ratio(TENANT, "tiny") == calibration.ratio(TENANT, "silent") == 1.0


@pytest.mark.parametrize(
    ("message", "window"),
    [
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens", 8_192),
        ("the request exceeds the available context size (4,096 tokens)", 4_096),
        ("does not fit the model's context window: Error code: 400 - maximum context length of 16384", 16_384),
        ("prompt is too long: 30310 tokens > 20000 maximum", 20_000),
        ("the input token count (30000) exceeds the maximum number of tokens allowed (16384)", 16_384),
        ("maximum prompt length is 8192 but the request contains 9000 tokens", 8_192),
        ("context window exceeded", 7_500),
    ],
)
def test_the_window_is_the_one_that_the_endpoint_names_or_less_than_it_refused(message: str, window: int) -> None:
    calibration = Calibration()
    calibration.refused(TENANT, "m", window=32_768, estimated=10_000, message=message)
    assert calibration.window(TENANT, "m", 32_768) == window
    assert calibration.window(BOB.tenant, "m", 32_768) == 32_768, "another user's is untouched"


def test_an_endpoint_that_refuses_within_its_own_window_means_that_we_count_too_low() -> None:
    calibration = Calibration()
    calibration.refused(TENANT, "m", window=8_192, estimated=7_000, message="maximum context length is 8192 tokens")
    assert calibration.window(TENANT, "m", 8_192) == 8_192
    assert calibration.ratio(TENANT, "m") > 1.3


def test_the_budget_keeps_the_answer_and_the_limits_that_the_agent_sets() -> None:
    budget = Budget.of(Agent(model=ModelSettings(max_output_tokens=2_000)), 10_000, 1.0)
    assert (budget.answer, budget.hard, budget.soft) == (2_000, 7_200, 6_000)
    strict = Budget.of(Agent(compaction=CompactionSettings(hard_limit=0.5, soft_limit=0.8)), 8_000, 2.0)
    assert (strict.answer, strict.hard, strict.soft) == (1_000, 1_750, 1_750)
    assert Budget.of(Agent(model=ModelSettings(max_output_tokens=90_000)), 4_000, 1.0).answer == 2_000


def step(number: int, result: str) -> list[ChatMessage]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": result},
    ]


def fit(turn: list[ChatMessage], most: int, before: Cuts | None = None) -> tuple[Cuts, list[ChatMessage]]:
    cuts = shorten.fit(turn, before or Cuts(), wanted=most, most=most)
    sent = cuts.apply(turn)
    assert tokens.of_messages(sent) <= most
    return cuts, sent


def test_old_tool_results_give_way_before_the_newest_and_before_the_user() -> None:
    user: ChatMessage = {"role": "user", "content": "u" * 4_000}
    turn = [user, *step(1, "a" * 20_000), *step(2, "b" * 8_000)]
    cuts, sent = fit(turn, 4_700)
    assert sent[0] == user
    assert "characters not shown" in sent[2]["content"]
    assert sent[4]["content"] == "b" * 8_000
    assert Cuts.from_json(json.loads(json.dumps(cuts.to_json()))) == cuts
    again, later = fit([*turn, *step(3, "c")], 4_700, cuts)
    assert again == cuts
    assert later[:5] == sent, "the next step begins with the same bytes"


def test_then_whole_steps_are_left_out_with_a_mark_and_at_last_everything_is_cut() -> None:
    turn: list[ChatMessage] = [{"role": "user", "content": "u"}]
    for number in range(200):
        turn += step(number, "r" * 100)
    _, sent = fit(turn, 2_000)
    assert "earlier messages of this turn" in sent[1]["content"]
    assert sent[-2:] == turn[-2:]
    turn = [{"role": "user", "content": "u" * 900_000 + "?"}, *step(1, "x" * 900_000)]
    _, sent = fit(turn, 500)
    assert sent[0]["content"].endswith("?"), "what is asked often stands last"


def said(text: str, day: int = 14) -> Message:
    at = Timestamp(seconds=1_773_500_940 + 86_400 * (day - 14))
    return Message(text=text, role=type_pb2.ROLE_USER, create_time=at)


def test_a_request_for_a_summary_fits_its_room_whatever_leaves() -> None:
    for leaving in ([said("x" * 500_000)], [said("y" * 300)] * 5_000, [said("short"), said("z" * 90_000)]):
        request = summary.request("", "old " * 10_000, leaving, room=3_000, length=200)
        assert tokens.of_messages(request) <= 3_100
    assert "short" in request[1]["content"]
    assert "2026-03-14" in request[1]["content"]


def test_notes_in_place_of_a_summary_say_what_left_and_do_not_pile_up() -> None:
    text = "What was said before."
    for day in range(14, 24):
        text = summary.without_model(text, [said("a", day), said("b", day + 1)])
    lines = text.splitlines()
    assert lines[0] == "What was said before."
    assert len(lines) == 6
    assert lines[-1].startswith("[Not summarised: 2 messages from 2026-03-23 to 2026-03-24;")


def test_a_price_list_is_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    listed = {"m": {"prompt": 1.0, "cached": 0.1, "completion": 4.0}, "n": {"prompt": 1, "completion": 1}}
    file.write_text(json.dumps(listed))
    prices = Prices.read(file)
    usage = ModelUsage(prompt=1_000_000, completion=500_000, cached=400_000)
    assert prices.cost("m", usage) == pytest.approx(0.6 + 0.04 + 2.0)
    assert prices.cost("n", usage) == pytest.approx(1.5)
    assert prices.cost("other", usage) is None
    for wrong in ("no json", '{"m": {"prompt": -1, "completion": 1}}', '{"m": {"promt": 1}}'):
        file.write_text(wrong)
        with pytest.raises(BadEnvironment, match="TRIPTYCH_MODEL_PRICES"):
            Prices.read(file)
    with pytest.raises(BadEnvironment, match="can't be read"):
        Prices.read(tmp_path / "none.json")


def test_a_text_that_its_mark_would_lengthen_stays_whole() -> None:
    turn = [{"role": "user", "content": "x" * 192}, {"role": "assistant", "tool_calls": [_called("y" * 20)]}]
    assert Cuts(longest=190).apply(turn) == turn
    assert Cuts(longest=10).apply(turn) != turn


def _called(arguments: str) -> dict[str, object]:
    return {"id": "call-1", "type": "function", "function": {"name": "f", "arguments": arguments}}
