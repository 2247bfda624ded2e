"""What the tools take. The models' JSON schemas are what clients are shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Arguments(BaseModel):
    """What every tool takes."""

    model_config = ConfigDict(extra="forbid")

    agent: Annotated[str, Field(description="The agent whose memory it is, by id or name.")] = ""


class ConversationSearch(Arguments):
    """Finds what was said, by words and by meaning."""

    query: str
    roles: list[Literal["user", "assistant", "system", "tool"]] = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1, le=100)] = 10


class ArchivalInsert(Arguments):
    """Saves a fact for good."""

    content: str
    tags: list[str] = Field(default_factory=list)


class ArchivalSearch(Arguments):
    """Finds saved facts and documents, by words and by meaning."""

    query: str
    tags: list[str] = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1, le=100)] = 10


class ReadBlocks(Arguments):
    """Reads the blocks that the agent always has in mind."""

    label: Annotated[str, Field(description="Only this block.")] = ""


class Replace(Arguments):
    """Replaces a part of a block. The old string must occur in it exactly once."""

    label: str
    old_string: Annotated[str, Field(min_length=1)]
    new_string: str


class Insert(Arguments):
    """Inserts a line into a block."""

    label: str
    new_string: str
    insert_line: Annotated[int, Field(ge=-1, description="Behind how many lines; -1: at the end.")] = -1


class Rethink(Arguments):
    """Writes a whole block anew."""

    label: str
    new_memory: str


class ListAgents(BaseModel):
    """Lists the agents whose memory there is."""

    model_config = ConfigDict(extra="forbid")
