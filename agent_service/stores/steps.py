"""Steps: what each model call cost, and what its request was made of, by reference.

The parts of a request that are the same from step to step (instructions, blocks, tools, the summary) are kept once as
texts named by their hash; of the conversation only the range in recall is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agent_service import clock
from agent_service.stores.rows import Window, fetch, owned, owner
from agent_service.stores.tables import step_texts, steps
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.step_pb2 import SetStepFeedbackRequest, Step
from triptych.errors import NotFound

# What is there already stays. Two conversations of an agent may send the same text for the first time at once.
_INSERT = {
    name: (
        Prepared(insert(steps).on_conflict_do_nothing()),
        Prepared(insert(step_texts).on_conflict_do_nothing()),
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


@dataclass(frozen=True)
class Reference:
    """What a request was made of; texts by their hash.

    `prompt`: the system message's segments. `tools`: the schemas, each as JSON. `first`: sequence of the first message
    of the conversation in it, 0 if there was none before the turn. `messages`: how many of recall's it has. `revised`:
    those that were not of revision 1. `cuts`: what was left out of the running turn. `settings`: the request's other
    fields. `reminder`: what the request ended with, beside the conversation.
    """

    prompt: list[str]
    summary: str
    tools: list[str]
    first: int
    messages: int
    timezone: str
    notice_step: str
    revised: dict[str, int]
    cuts: dict[str, Any]
    settings: dict[str, Any]
    reminder: str = ""


def add(connection: Connection, tenant: Tenant, step: Step, reference: Reference, texts: Mapping[str, str]) -> None:
    """Keeps a step and those `texts`, by hash, that it is the first to refer to.

    A step that is there already stays as it is.
    """
    insert_step, insert_texts = _INSERT[connection.dialect.name]
    insert_step.run(
        connection,
        {
            **owner(tenant),
            "id": step.id,
            "agent_id": step.agent_id,
            "conversation_id": step.conversation_id,
            "turn_id": step.turn_id,
            "created_at": clock.microseconds(step.create_time),
            "body": step.SerializeToString(),
            "reference": vars(reference),
        },
    )
    if texts:
        rows = [
            {
                **owner(tenant),
                "agent_id": step.agent_id,
                "conversation_id": step.conversation_id if name == reference.summary else "",
                "hash": name,
                "text": zlib.compress(text.encode()),
            }
            for name, text in texts.items()
        ]
        insert_texts.run(connection, *rows)


def get(connection: Connection, tenant: Tenant, step_id: str) -> tuple[Step, Reference]:
    """Raises: NotFound."""
    row = connection.execute(select(steps).where(owned(steps, tenant), steps.c.id == step_id)).one_or_none()
    if row is None:
        raise NotFound("step", step_id)
    return Step.FromString(row.body), Reference(**row.reference)


def list_page(
    connection: Connection, tenant: Tenant, agent_id: str, turn_id: str, window: Window
) -> tuple[list[Step], str]:
    """Of an agent, a turn, or that agent's turn; of all the user's if neither is given."""
    query = select(steps).where(owned(steps, tenant))
    if agent_id:
        query = query.where(steps.c.agent_id == agent_id)
    if turn_id:
        query = query.where(steps.c.turn_id == turn_id)
    rows, token = fetch(connection, query, steps, tenant, window)
    return [Step.FromString(row.body) for row in rows], token


def judge(connection: Connection, tenant: Tenant, said: SetStepFeedbackRequest) -> Step:
    """Notes what somebody said of a step. Raises: NotFound."""
    step, _ = get(connection, tenant, said.step_id)
    step.feedback = said.feedback
    step.feedback_tags[:] = said.tags
    connection.execute(
        update(steps).where(owned(steps, tenant), steps.c.id == step.id).values(body=step.SerializeToString())
    )
    return step


def texts(connection: Connection, tenant: Tenant, step: Step, hashes: Iterable[str]) -> dict[str, str]:
    """The step's texts of these hashes."""
    wanted: Sequence[str] = list(set(hashes))
    query = select(step_texts.c.hash, step_texts.c.text).where(
        owned(step_texts, tenant),
        step_texts.c.agent_id == step.agent_id,
        step_texts.c.conversation_id.in_(("", step.conversation_id)),
        step_texts.c.hash.in_(wanted),
    )
    return {row.hash: zlib.decompress(row.text).decode() for row in connection.execute(query)}


def remove_of_conversation(connection: Connection, tenant: Tenant, conversation_id: str) -> None:
    """Deletes its steps and summaries; what its agent's other conversations share stays."""
    for table in (steps, step_texts):
        connection.execute(delete(table).where(owned(table, tenant), table.c.conversation_id == conversation_id))


def remove_of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    for table in (steps, step_texts):
        connection.execute(delete(table).where(owned(table, tenant), table.c.agent_id == agent_id))
