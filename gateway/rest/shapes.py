"""The contract's messages as the JSON that letta-client programs parse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.rest.forms import Json, metadata, time
from gateway.stores.groups import Group
from servicekit import structs
from triptych.agent.v1 import agent_pb2, identity_pb2
from triptych.archival.v1 import archival_pb2
from triptych.letta import tool_rules

IDENTITY_TYPES = {
    identity_pb2.IDENTITY_TYPE_USER: "user",
    identity_pb2.IDENTITY_TYPE_ORG: "org",
    identity_pb2.IDENTITY_TYPE_OTHER: "other",
}
_BUILT_IN_TYPES = {"core": "letta_memory_core", "files": "letta_files_core"}
_OUTSIDE_TYPES = {
    agent_pb2.TOOL_TYPE_CLIENT: ("custom", "json"),
    agent_pb2.TOOL_TYPE_PYTHON: ("custom", "python"),
    agent_pb2.TOOL_TYPE_MCP: ("external_mcp", "json"),
}


def agent(
    a: agent_pb2.Agent, tools: Mapping[str, Any], identities: dict[str, Json], default_window: int, default_model: str
) -> Json:
    """`tools`: as they are shown, by name; `identities`: by id.

    The defaults stand where the agent has no setting of its own.
    """
    model, sleep = a.model, a.sleep_time  # each look at `a.model` makes an object of it
    handle = model.handle or a.default_model or default_model
    memory = [block(b) for b in a.blocks]
    return {
        "id": a.id,
        "name": a.name,
        "agent_type": a.agent_type,
        "system": a.system,
        "description": a.description or None,
        "metadata": metadata(a),
        "tags": list(a.tags),
        "message_ids": [],
        "model": handle,
        "embedding": a.embedding or None,
        "llm_config": {
            "model": handle.rpartition("/")[2],
            "handle": handle,
            "model_endpoint_type": "openai",
            "model_endpoint": None,
            "context_window": model.context_window or default_window,
            "temperature": model.temperature if model.HasField("temperature") else None,
            "max_tokens": model.max_output_tokens or None,
        },
        "embedding_config": None,
        "response_format": json.loads(model.response_format) if model.response_format else None,
        "enable_sleeptime": sleep.enabled,
        "sleep_time": {
            "enabled": sleep.enabled,
            "every_turns": sleep.every_turns,
            "idle_seconds": sleep.idle_seconds,
            "model": sleep.model.handle,
            "conversation_id": sleep.conversation_id,
        },
        "fallback_models": list(model.fallbacks),
        "model_settings": None,
        "compaction_settings": None,
        "memory": {"blocks": memory, "file_blocks": [file_block(view) for view in a.open_files], "prompt_template": ""},
        "blocks": memory,
        "tools": [tools[name] for name in a.tools if name in tools],
        "tool_rules": tool_rules.shown(a.tool_rules),
        "sources": [],
        "identity_ids": list(a.identity_ids),
        "identities": [identities[each] for each in a.identity_ids if each in identities],
        "secrets": [],
        "multi_agent_group": sleeping_group(a),
        "created_at": time(a.create_time),
        "updated_at": time(a.update_time),
        "last_run_completion": time(a.last_turn_time),
        "timezone": a.timezone or "UTC",
        "archive_ids": list(a.archive_ids),
    }


def block(b: agent_pb2.Block) -> Json:
    return {
        "id": b.id,
        "label": b.label,
        "value": b.value,
        "description": b.description or None,
        "limit": b.limit,
        "read_only": b.read_only,
        "metadata": metadata(b),
        "tags": list(b.tags),
        "hidden": False,
        "is_template": False,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def file_block(view: agent_pb2.FileView) -> Json:
    """A file that is open; its text is shown for one agent, and not in lists."""
    return {
        "file_id": view.document_id,
        "source_id": view.archive_id,
        "label": view.file_name,
        "value": view.text,
        "is_open": True,
        "read_only": True,
        "limit": view.characters,
        "last_accessed_at": time(view.open_time),
    }


def tool(t: agent_pb2.Tool) -> Json:
    built_in = next((_BUILT_IN_TYPES[tag] for tag in t.tags if tag in _BUILT_IN_TYPES), "letta_core")
    tool_type, source_type = _OUTSIDE_TYPES.get(t.tool_type, (built_in, "python"))
    return {
        "id": t.id,
        "name": t.name,
        "description": t.description,
        "tool_type": tool_type,
        "json_schema": json.loads(t.json_schema),
        "source_type": source_type,
        "source_code": t.source_code or None,
        "tags": list(t.tags),
        "return_char_limit": t.return_char_limit or 100_000,
        "default_requires_approval": t.requires_approval,
        "metadata_": metadata(t),
        "pip_requirements": None,
        "npm_requirements": None,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def group(g: Group) -> Json:
    return {
        "id": g.id,
        "manager_type": g.manager_type,
        "manager_agent_id": g.manager.agent_id if g.manager else None,
        "agent_ids": [member.agent_id for member in g.members],
        "description": g.settings.get("description", ""),
        "max_turns": g.settings.get("max_turns"),
        "hidden": g.settings.get("hidden", False),
        "shared_block_ids": [],
    }


def sleeping_group(a: agent_pb2.Agent) -> Json | None:
    """The agent with its sleep-time memory, as a group of itself; None if it has none."""
    if not a.sleep_time.enabled:
        return None
    return {
        "id": "group-" + a.id.removeprefix("agent-"),
        "manager_type": "sleeptime",
        "manager_agent_id": a.id,
        "agent_ids": [a.id],
        "description": "Sleep-time memory",
        "sleeptime_agent_frequency": a.sleep_time.every_turns or 5,
        "hidden": False,
        "shared_block_ids": [],
    }


def identity(i: identity_pb2.Identity) -> Json:
    properties = structs.plain(i.properties)
    return {
        "id": i.id,
        "identifier_key": i.identifier_key,
        "name": i.name,
        "identity_type": IDENTITY_TYPES.get(i.type, "user"),
        "project_id": None,
        "agent_ids": list(i.agent_ids),
        "block_ids": list(i.block_ids),
        "properties": [{"key": key, "value": properties[key], "type": _type(properties[key])} for key in properties],
    }


def _type(value: object) -> str:
    """What letta-client calls the type of a property's value."""
    return {bool: "boolean", int: "number", float: "number", str: "string"}.get(type(value), "json")


def passage(p: archival_pb2.Passage) -> Json:
    return {
        "id": p.id,
        "text": p.text,
        "archive_id": p.archive_id,
        "tags": list(p.tags),
        "metadata": metadata(p),
        "created_at": time(p.create_time),
        "superseded_by": p.superseded_by or None,
        "superseded_at": time(p.superseded_time),
        "embedding": None,
        "embedding_config": None,
    }


def archive(a: archival_pb2.Archive) -> Json:
    return {
        "id": a.id,
        "name": a.name,
        "description": a.description or None,
        "metadata": metadata(a),
        "embedding_config": {
            "embedding_model": a.embedding_model,
            "embedding_dim": a.dimensions,
            "embedding_endpoint_type": "openai",
        },
        "vector_db_provider": "native",
        "created_at": time(a.create_time),
        "updated_at": time(a.update_time),
    }


def conversation(c: agent_pb2.Conversation) -> Json:
    return {
        "id": c.id,
        "agent_id": c.agent_id,
        # An imported one has it as its title, since it says nothing of what was said.
        "summary": c.summary or c.title or None,
        "created_at": time(c.create_time),
        "updated_at": time(c.update_time),
    }
