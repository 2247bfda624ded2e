"""The tables. Every key begins with the owner, so that no query can forget whose rows it reads.

A record that is only ever read and written whole is kept as its serialised protobuf message (`body`), which can grow by
protobuf's own rules; what is searched or compared has a column beside it. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from agent_service.stores.tables.base import metadata
from agent_service.stores.tables.memory import (
    agent_blocks,
    agents,
    block_attachments,
    block_revisions,
    blocks,
    identities,
    identity_links,
)
from agent_service.stores.tables.tools import mcp_servers, model_providers, tools
from agent_service.stores.tables.turns import conversations, journal, replicas, requests, step_texts, steps, turns
from agent_service.stores.tables.upkeep import cleanups, conversation_cleanups, sleep_runs, sleeps

__all__ = [
    "agent_blocks",
    "agents",
    "block_attachments",
    "block_revisions",
    "blocks",
    "cleanups",
    "conversation_cleanups",
    "conversations",
    "identities",
    "identity_links",
    "journal",
    "mcp_servers",
    "metadata",
    "model_providers",
    "replicas",
    "requests",
    "sleep_runs",
    "sleeps",
    "step_texts",
    "steps",
    "tools",
    "turns",
]
