"""Brings agents from a Letta server here. What is here already is found again, so it can be run again at any time.

What was made by an import has the id that it had there in its metadata, under `letta_id`; the ids of messages and
passages derive from the ones they had. So no list of what was done has to be kept, or can be out of date.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from letta_client.types import AgentState, BlockResponse, Passage, Tool
from letta_client.types.agents import Block

from triptych.agent.v1 import agent_pb2 as pb
from triptych.archival.v1 import archival_pb2
from triptych.cli.letta.messages import batches
from triptych.cli.letta.report import Moved, Report
from triptych.cli.letta.source import Source
from triptych.client import Triptych
from triptych.errors import TriptychError
from triptych.letta import tool_rules
from triptych.sdk.said import struct

LETTA_ID = "letta_id"


@dataclass(frozen=True)
class Telling:
    """Is told of the work: how many of how many agents are done, and what is being done."""

    done: Callable[[int, int], None]
    doing: Callable[[str], None]


@dataclass
class Mover:
    """`model`: the one that all agents get; '': as they have. `size`: messages and passages written at a time."""

    source: Source
    target: Triptych
    model: str
    size: int
    telling: Telling
    report: Report = field(default_factory=Report)
    # Letta's ids → ours; of archives also the ids of the passages in them.
    _blocks: dict[str, str] = field(default_factory=dict)
    _archives: dict[str, str] = field(default_factory=dict)
    _inside: dict[str, set[str]] = field(default_factory=dict)
    _tools: set[str] = field(default_factory=set)

    def run(self, only: Iterable[str] = ()) -> Report:
        """Brings all agents, or those of these ids or names. Raises: CommandError, TriptychError."""
        wanted = set(only)
        agents = [each for each in self.source.agents() if not wanted or {each.id, each.name} & wanted]
        known = self._known(self.target.agents.list())
        self._archives = {there: each.id for there, each in self._known(self.target.archives.list()).items()}
        self._bring_tools()
        self._bring_blocks()
        for number, agent in enumerate(agents):
            self.telling.done(number, len(agents))
            self.telling.doing(agent.name)
            moved = Moved(agent.name)
            self.report.agents.append(moved)
            try:
                self._bring(agent, known.get(agent.id), moved)
            except TriptychError as error:
                moved.problem = error.message
        for moved in self.report.agents:
            self._count(moved)
        self.telling.done(len(agents), len(agents))
        self.report.not_brought = self.source.not_brought()
        return self.report

    def _known(self, items: Iterable[Any]) -> dict[str, Any]:
        """What an earlier import has made, by the ids that it had there."""
        found: dict[str, Any] = {}
        for item in items:
            if LETTA_ID in item.metadata.fields:
                found.setdefault(item.metadata[LETTA_ID], item)
        return found

    def _bring_tools(self) -> None:
        self._tools = {tool.name for tool in self.target.tools.list()}
        for tool in self.source.tools():
            name = tool.name or ""
            if name in self._tools:
                continue
            if tool.tool_type != "custom":
                continue  # a part of Letta's server, which matters to the agents that have it
            try:
                self.target.tools.upsert(_tool(tool))
                self._tools.add(name)
            except TriptychError as error:
                self.report.left_out[f"tool {name}"] = error.message

    def _bring_blocks(self) -> None:
        """Also those that no agent has."""
        self._blocks = {there: each.id for there, each in self._known(self.target.blocks.list()).items()}
        for block in self.source.blocks():
            self._bring_block(block)

    def _bring_block(self, block: Block | BlockResponse) -> str:
        """Once, however many agents share it. Gives its id here, '' for one that can't be here."""
        if block.id and block.id not in self._blocks:
            try:
                made = self.target.blocks.create(
                    block.label or "",
                    block.value,
                    description=block.description or "",
                    limit=block.limit or 0,
                    read_only=bool(block.read_only),
                    tags=block.tags or [],
                    metadata=_marked(block.metadata, block.id),
                )
                self._blocks[block.id] = made.id
            except TriptychError as error:
                self.report.left_out[f"block {block.label}"] = error.message
        return self._blocks.get(block.id or "", "")

    def _bring(self, agent: AgentState, known: pb.Agent | None, moved: Moved) -> None:
        made = known or self._created(agent)
        moved.agent_id = made.id
        moved.there["blocks"] = len(agent.blocks)
        moved.there["tools"] = len([tool for tool in agent.tools if tool.name in self._tools])
        for tool in agent.tools:
            if tool.name not in self._tools:
                self.report.left_out.setdefault(f"tool {tool.name}", "a part of Letta's server that is not here")
        self._bring_passages(agent, made, moved)
        self._bring_messages(agent, made, moved)

    def _count(self, moved: Moved) -> None:
        """What is here of an agent, by asking for it."""
        if not moved.agent_id:
            return
        here = self.target.agents.get(moved.agent_id)
        moved.here["blocks"], moved.here["tools"] = len(here.blocks), len(here.tools)
        moved.here["messages"] = self.target.recall.count(moved.agent_id)
        moved.here["passages"] = self.target.archives.count(here.archive_ids)

    def _created(self, agent: AgentState) -> pb.Agent:
        config = agent.llm_config
        settings = pb.ModelSettings(
            handle=self.model or agent.model or config.handle or config.model,
            context_window=0 if self.model else config.context_window,
            max_output_tokens=config.max_tokens or 0,
        )
        if config.temperature is not None:
            settings.temperature = config.temperature
        return self.target.agents.create(
            agent.name,
            agent_type=agent.agent_type,
            system=agent.system,
            description=agent.description or "",
            tags=agent.tags,
            model=settings,
            timezone=agent.timezone or "",
            metadata=_marked(agent.metadata, agent.id),
            block_ids=list(filter(None, map(self._bring_block, agent.blocks))),
            tools=[tool.name for tool in agent.tools if tool.name in self._tools],
            tool_rules=[tool_rules.read(rule.model_dump()) for rule in agent.tool_rules or []],
            sleep_time=pb.SleepTimeSettings(enabled=True) if agent.enable_sleeptime else None,
            include_base_tools=False,
        )

    def _bring_passages(self, agent: AgentState, made: pb.Agent, moved: Moved) -> None:
        """Into the archives that they were in, which agents may share; else into the agent's own."""
        mine = [self._archive(each.id, each.name, each.description) for each in self.source.archives(agent.id)]
        pending: dict[str, list[archival_pb2.Passage]] = {}
        for passage in self.source.passages(agent.id):
            into = made.archive_ids[0]
            if passage.archive_id:
                into = self._archive(passage.archive_id, f"{agent.name}'s archive", None)
                mine.append(into)
            moved.there["passages"] += 1
            brought = _passage(passage, into)
            if brought.id not in self._ids(into):
                batch = pending.setdefault(into, [])
                batch.append(brought)
                if len(batch) >= self.size:
                    self._insert(into, pending.pop(into), agent.name)
        for into, batch in pending.items():
            self._insert(into, batch, agent.name)
        archive_ids = list(dict.fromkeys([*mine, *(made.archive_ids if not mine else ())]))
        if archive_ids != list(made.archive_ids):
            self.target.agents.update(pb.Agent(id=made.id, archive_ids=archive_ids), "archive_ids")

    def _insert(self, archive_id: str, passages: list[archival_pb2.Passage], agent_name: str) -> None:
        self.target.archives.insert(archive_id, passages, create_archive_name=f"{agent_name}'s archive")
        self._ids(archive_id).update(passage.id for passage in passages)

    def _archive(self, letta_id: str, name: str, description: str | None) -> str:
        if letta_id not in self._archives:
            made = self.target.archives.create(name, description=description or "", metadata={LETTA_ID: letta_id})
            self._archives[letta_id] = made.id
        return self._archives[letta_id]

    def _ids(self, archive_id: str) -> set[str]:
        """Of the passages that are in the archive."""
        if archive_id not in self._inside:
            self._inside[archive_id] = {each.id for each in self.target.archives.passages([archive_id])}
        return self._inside[archive_id]

    def _bring_messages(self, agent: AgentState, made: pb.Agent, moved: Moved) -> None:
        self._append(self.source.messages(agent.id), made, "", lambda: made.default_conversation_id, moved)
        known = self._known(self.target.conversations.list(made.id))
        for each in self.source.conversations(agent.id):
            conversation_id = known[each.id].id if each.id in known else ""

            def made_when_needed(letta_id: str = each.id, summary: str = each.summary or "") -> str:
                nonlocal conversation_id
                if not conversation_id:
                    created = self.target.conversations.create(made.id, title=summary, metadata={LETTA_ID: letta_id})
                    conversation_id = created.id
                return conversation_id

            said = self.source.messages_of_conversation(each.id)
            self._append(said, made, each.id, made_when_needed, moved)

    def _append(
        self, said: Iterator[Any], made: pb.Agent, letta_id: str, conversation: Callable[[], str], moved: Moved
    ) -> None:
        """Those messages that are not here yet. `letta_id`: of the conversation that was made; '': the agent's own."""
        for batch in batches(said, made.id, letta_id, self.size):
            here = {message.id for message in self.target.recall.get([each.id for each in batch])} if batch else set()
            missing = [message for message in batch if message.id not in here]
            if missing:
                self.target.recall.append(made.id, conversation(), missing)
            moved.there["messages"] += len(batch)
            self.telling.doing(f"{moved.name}: {moved.there['messages']:,} messages")


def _marked(metadata: Mapping[str, Any] | None, letta_id: str) -> dict[str, Any]:
    return {**(metadata or {}), LETTA_ID: letta_id}


def _tool(tool: Tool) -> pb.Tool:
    return pb.Tool(
        name=tool.name or "",
        description=tool.description or "",
        json_schema="" if tool.json_schema is None else json.dumps(tool.json_schema),
        source_code=tool.source_code or "",
        tags=tool.tags or [],
        return_char_limit=tool.return_char_limit or 0,
        requires_approval=bool(tool.default_requires_approval),
        metadata=struct({LETTA_ID: tool.id}),
    )


def _passage(passage: Passage, archive_id: str) -> archival_pb2.Passage:
    namespace = uuid.UUID(archive_id.removeprefix("archive-"))
    made = archival_pb2.Passage(
        id=f"passage-{uuid.uuid5(namespace, passage.id or passage.text)}",
        text=passage.text,
        tags=passage.tags or [],
        metadata=struct(passage.metadata),
    )
    if passage.created_at is not None:
        stamp = Timestamp()
        stamp.FromDatetime(passage.created_at)
        made.create_time.CopyFrom(stamp)
    return made
