"""Reads LoCoMo and LongMemEval: what was said, what is asked, and which turns hold the answer."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
_EVIDENCE = re.compile(r"D:?(\d+):(\d+)")
# How the sets write when a session began.
FORMS = ("%I:%M %p on %d %B, %Y", "%Y/%m/%d (%a) %H:%M")
ROLES = {"user": type_pb2.ROLE_USER, "assistant": type_pb2.ROLE_ASSISTANT}


@dataclass(frozen=True)
class Question:
    text: str
    category: str
    evidence: frozenset[str]


@dataclass(frozen=True)
class Conversation:
    """All that one agent has heard, and the questions about it."""

    name: str
    messages: list[Message]
    questions: list[Question]


def read(path: Path) -> list[Conversation]:
    """Reads a .json or .json.gz file of either set. Questions without evidence in the conversation are left out."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        samples: list[dict[str, Any]] = json.load(file)
    of = _longmemeval if "haystack_sessions" in samples[0] else _locomo
    return [each for each in map(of, samples) if each.questions]


def _locomo(sample: dict[str, Any]) -> Conversation:
    talk = sample["conversation"]
    numbers = sorted(
        int(key.split("_")[1]) for key, turns in talk.items() if re.fullmatch(r"session_\d+", key) and turns
    )
    messages = [
        message(turn["dia_id"], f"{turn['text']} {turn.get('blip_caption', '')}".strip(), at, name=turn["speaker"])
        for number in numbers
        for turn, at in _timed(talk[f"session_{number}"], talk[f"session_{number}_date_time"], FORMS[0])
    ]
    known = {message.id for message in messages}
    questions = []
    for asked in sample["qa"]:
        cited = _EVIDENCE.findall(" ".join(asked.get("evidence") or []))
        evidence = frozenset(f"D{int(session)}:{int(turn)}" for session, turn in cited) & known
        if evidence and asked["category"] in _CATEGORIES:
            questions.append(Question(asked["question"], _CATEGORIES[asked["category"]], evidence))
    return Conversation(sample["sample_id"], messages, questions)


def _longmemeval(sample: dict[str, Any]) -> Conversation:
    messages: list[Message] = []
    evidence: set[str] = set()
    for number, (date, turns) in enumerate(zip(sample["haystack_dates"], sample["haystack_sessions"], strict=True)):
        for position, (turn, at) in enumerate(_timed(turns, date, FORMS[1])):
            identifier = f"{number}:{position}"
            messages.append(message(identifier, turn["content"], at, role=turn["role"]))
            if turn.get("has_answer"):
                evidence.add(identifier)
    name = sample["question_id"]
    answerable = evidence and not name.endswith("_abs")
    question = Question(sample["question"], sample["question_type"], frozenset(evidence))
    return Conversation(name, messages, [question] if answerable else [])


def _timed(turns: list[dict[str, Any]], date: str, form: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Turns with seconds since 1970: a session's start is known, so each turn is put a second behind the last."""
    start = int(datetime.strptime(date.strip(), form).replace(tzinfo=UTC).timestamp())
    return ((turn, start + position) for position, turn in enumerate(turns))


def message(identifier: str, text: str, at: int, *, role: str = "user", name: str = "") -> Message:
    return Message(id=identifier, role=ROLES[role], name=name, text=text, create_time=Timestamp(seconds=at))
