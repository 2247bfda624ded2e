"""What to ask of each REST route. Parameters of the path whose kind is known by their name need no row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.mcp_server import TOKEN

# A parameter of a path → what stands there for Ann (see `world.MAKING` for the placeholders).
PARAMETERS = {
    "agent_id": "{agent}",
    "block_id": "{block}",
    "archive_id": "{archive}",
    "passage_id": "{passage}",
    "message_id": "{message}",
    "provider_id": "{provider}",
    "conversation_id": "{conversation}",
    "folder_id": "{archive}",
    "file_id": "{document}",
    "run_id": "{turn}",
    "step_id": "{step}",
    "user_id": "{user}",
    "key_id": "{key}",
    "erasure_id": "{erased}",
    "identity_id": "{identity}",
    "batch_id": "{batch}",
    "group_id": "{group}",
    "job_id": "{turn}",
    "mcp_server_id": "{server}",
    "label": "human",
}


@dataclass(frozen=True)
class Row:
    """`path`: for parameters that need something else than PARAMETERS has. `status`: what Ann's own gives."""

    body: Any = None
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = (200, 204)


# Routes with a body, a query that matters, or something to delete.
ROWS: dict[str, Row] = {
    "POST /v1/agents": Row({"name": "n", "block_ids": ["{block}"]}),
    "GET /v1/agents": Row(query={"after": "{agent}", "identity_id": "{identity}"}),
    # A file, and no JSON: tests/compat brings some in.
    "POST /v1/agents/import": Row(status=(422,)),
    "PATCH /v1/agents/{agent_id}": Row({"description": "d"}),
    "DELETE /v1/agents/{agent_id}": Row(path={"agent_id": "{+agent}"}),
    "PATCH /v1/agents/{agent_id}/tools/{verb}/{tool_id}": Row(path={"verb": "attach", "tool_id": "{tool}"}),
    "PATCH /v1/agents/{agent_id}/tools/approval/{tool_name}": Row(
        {"requires_approval": True}, path={"agent_id": "{+agent}", "tool_name": "memory_insert"}
    ),
    "POST /v1/tools": Row({"name": "t-{uuid}", "json_schema": {"name": "t", "parameters": {"type": "object"}}}),
    "POST /v1/tools/search": Row({"query": "OWN-WORDS"}),
    "POST /v1/agents/{agent_id}/tools/{tool_name}/run": Row(
        {"args": {"query": "OWN-WORDS"}}, path={"agent_id": "{based}", "tool_name": "conversation_search"}
    ),
    "POST /v1/mcp-servers": Row(
        {
            "server_name": "s-{uuid}",
            "config": {
                "mcp_server_type": "streamable_http",
                "server_url": "{mcp_url}",
                "auth_header": "authorization",
                "auth_token": TOKEN,
            },
        }
    ),
    "GET /v1/mcp-servers": Row(query={"after": "{server}"}),
    "PATCH /v1/mcp-servers/{mcp_server_id}": Row(
        {"config": {"server_url": "{mcp_url}"}}, path={"mcp_server_id": "{+server}"}
    ),
    "PATCH /v1/mcp-servers/{mcp_server_id}/refresh": Row({}),
    "DELETE /v1/mcp-servers/{mcp_server_id}": Row(path={"mcp_server_id": "{+server}"}),
    "GET /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}": Row(path={"tool_id": "{server_tool}"}),
    "POST /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}/run": Row(
        {"args": {"a": 1, "b": 2}}, path={"tool_id": "{server_tool}"}
    ),
    "PATCH /v1/steps/{step_id}/feedback": Row({"feedback": "positive"}),
    "POST /v1/conversations/{conversation_id}/recompile": Row({}),
    "PUT /v1/tools": Row({"name": "t-{uuid}", "json_schema": {"name": "t", "parameters": {"type": "object"}}}),
    "GET /v1/tools/{tool_id}": Row(path={"tool_id": "{own_tool}"}),
    "PATCH /v1/tools/{tool_id}": Row({"description": "d"}, path={"tool_id": "{own_tool}"}),
    "DELETE /v1/tools/{tool_id}": Row(path={"tool_id": "{+own_tool}"}),
    "GET /v1/agents/{agent_id}/core-memory/blocks/{label}": Row(path={"agent_id": "{+agent}"}),
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/{label}": Row({"value": "v"}, path={"agent_id": "{+agent}"}),
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/{verb}/{block_id}": Row(
        path={"agent_id": "{+agent}", "verb": "attach"}
    ),
    "POST /v1/agents/{agent_id}/archival-memory": Row({"text": "a fact"}),
    "GET /v1/agents/{agent_id}/archival-memory": Row(query={"after": "{memory}"}),
    "GET /v1/agents/{agent_id}/archival-memory/search": Row(query={"query": "OWN-WORDS"}),
    "DELETE /v1/agents/{agent_id}/archival-memory/{passage_id}": Row(path={"passage_id": "{+memory}"}),
    "POST /v1/agents/{agent_id}/messages": Row({"input": "hello"}),
    "GET /v1/agents/{agent_id}/messages": Row(query={"conversation_id": "{conversation}", "after": "{message}"}),
    "POST /v1/agents/{agent_id}/messages/stream": Row({"input": "hello"}),
    "POST /v1/agents/{agent_id}/messages/async": Row({"input": "hello"}),
    "POST /v1/agents/{agent_id}/messages/cancel": Row({}),
    "PATCH /v1/agents/{agent_id}/messages/{message_id}": Row({"content": "{words}"}),
    "GET /v1/messages": Row(query={"after": "{message}"}),
    "POST /v1/blocks": Row({"label": "l", "value": "v"}),
    "GET /v1/blocks": Row(query={"after": "{block}", "identity_id": "{identity}"}),
    "POST /v1/blocks/{block_id}/revisions/{revision}/undo": Row(path={"block_id": "{+edited_block}", "revision": "2"}),
    "PATCH /v1/blocks/{block_id}": Row({"value": "v"}),
    "DELETE /v1/blocks/{block_id}": Row(path={"block_id": "{+block}"}),
    "POST /v1/identities": Row({"identifier_key": "{uuid}", "name": "n", "agent_ids": ["{agent}"]}),
    "PUT /v1/identities": Row({"identifier_key": "{uuid}", "name": "n", "block_ids": ["{block}"]}),
    "GET /v1/identities": Row(query={"after": "{identity}"}),
    "PATCH /v1/identities/{identity_id}": Row({"name": "n", "block_ids": ["{block}"]}),
    "PUT /v1/identities/{identity_id}/properties": Row([{"key": "k", "value": "v"}]),
    "DELETE /v1/identities/{identity_id}": Row(path={"identity_id": "{+identity}"}),
    "PATCH /v1/agents/{agent_id}/identities/{verb}/{identity_id}": Row(path={"verb": "attach"}),
    "PATCH /v1/blocks/{block_id}/identities/{verb}/{identity_id}": Row(path={"verb": "attach"}),
    "POST /v1/groups": Row(
        {
            "agent_ids": ["{agent}"],
            "description": "d",
            "manager_config": {"manager_type": "supervisor", "manager_agent_id": "{sleeper}"},
        }
    ),
    "GET /v1/groups": Row(query={"after": "{group}"}),
    "PATCH /v1/groups/{group_id}": Row({"agent_ids": ["{agent}"]}),
    "DELETE /v1/groups/{group_id}": Row(path={"group_id": "{+group}"}),
    "POST /v1/groups/{group_id}/messages": Row({"input": "hello"}),
    "POST /v1/groups/{group_id}/messages/stream": Row({"input": "hello"}),
    "GET /v1/groups/{group_id}/messages": Row(query={"after": "{message}"}),
    "PATCH /v1/groups/{group_id}/reset-messages": Row({}, path={"group_id": "{+group}"}),
    "POST /v1/messages/batches": Row({"requests": [{"agent_id": "{agent}", "input": "hello"}]}),
    "GET /v1/messages/batches": Row(query={"after": "{batch}"}),
    "GET /v1/messages/batches/{batch_id}/messages": Row(query={"agent_id": "{agent}"}),
    "PATCH /v1/messages/batches/{batch_id}/cancel": Row({}),
    "GET /v1/jobs": Row(query={"after": "{turn}"}),
    "PATCH /v1/jobs/{job_id}/cancel": Row({}),
    "GET /v1/runs": Row(query={"agent_id": "{agent}", "conversation_id": "{conversation}", "after": "{turn}"}),
    "POST /v1/folders": Row({"name": "n"}),
    "GET /v1/folders": Row(query={"after": "{archive}"}),
    "PATCH /v1/folders/{folder_id}": Row({"name": "n"}),
    "DELETE /v1/folders/{folder_id}": Row(path={"folder_id": "{+archive}"}),
    # A file, and no JSON.
    "POST /v1/folders/{folder_id}/upload": Row(status=(422,)),
    "DELETE /v1/folders/{folder_id}/{file_id}": Row(path={"file_id": "{+document}"}),
    "PATCH /v1/agents/{agent_id}/files/close-all": Row({}, path={"agent_id": "{reader}"}),
    "PATCH /v1/agents/{agent_id}/files/{file_id}/open": Row(
        {}, path={"agent_id": "{reader}", "file_id": "{+document}"}
    ),
    "PATCH /v1/agents/{agent_id}/files/{file_id}/close": Row(
        {}, path={"agent_id": "{reader}", "file_id": "{+document}"}
    ),
    "PATCH /v1/agents/{agent_id}/folders/{verb}/{folder_id}": Row(path={"agent_id": "{+agent}", "verb": "attach"}),
    "POST /v1/archives": Row({"name": "n"}),
    "GET /v1/archives": Row(query={"after": "{archive}", "agent_id": "{agent}"}),
    "PATCH /v1/archives/{archive_id}": Row({"name": "n"}),
    "DELETE /v1/archives/{archive_id}": Row(path={"archive_id": "{+archive}"}),
    "POST /v1/archives/{archive_id}/passages": Row({"text": "a fact"}),
    "DELETE /v1/archives/{archive_id}/passages/{passage_id}": Row(path={"passage_id": "{+passage}"}),
    "POST /v1/messages/search": Row({"query": "OWN-WORDS", "agent_id": "{agent}", "conversation_id": "{conversation}"}),
    "POST /v1/passages/search": Row({"query": "OWN-WORDS", "archive_id": "{archive}"}),
    "POST /v1/conversations": Row({}, query={"agent_id": "{agent}"}),
    "GET /v1/conversations": Row(query={"agent_id": "{agent}", "after": "{conversation}"}),
    "PATCH /v1/conversations/{conversation_id}": Row({"summary": "{words}"}),
    "DELETE /v1/conversations/{conversation_id}": Row(path={"conversation_id": "{+conversation}"}),
    "POST /v1/conversations/{conversation_id}/fork": Row({}),
    "POST /v1/conversations/{conversation_id}/stream": Row({"run_id": "{turn}"}),
    "POST /v1/runs/{run_id}/stream": Row({}),
    "POST /v1/runs/{run_id}/undo": Row(path={"run_id": "{sleep_turn}"}),
    "POST /v1/agents/{agent_id}/recompile": Row({}),
    "PATCH /v1/agents/{agent_id}/archives/{verb}/{archive_id}": Row(path={"agent_id": "{+agent}", "verb": "attach"}),
    "POST /v1/archives/{archive_id}/passages/batch": Row({"passages": [{"text": "a fact"}]}),
    "POST /v1/conversations/{conversation_id}/cancel": Row({}),
    "POST /v1/conversations/{conversation_id}/messages": Row({"input": "hello"}),
    "GET /v1/steps": Row(query={"agent_id": "{agent}", "before": "{step}"}),
    "POST /v1/agents/{agent_id}/summarize": Row({}),
    "POST /v1/conversations/{conversation_id}/compact": Row({}),
    "PATCH /v1/agents/{agent_id}/reset-messages": Row({}),
    "POST /v1/memory/add": Row({"agent_id": "{agent}", "facts": ["a fact"]}),
    "POST /v1/memory/search": Row({"agent_id": "{agent}", "query": "OWN-WORDS"}),
    "POST /openai/v1/chat/completions": Row({"model": "{agent}", "messages": [{"role": "user", "content": "hello"}]}),
    "GET /openai/v1/models/{model}": Row(path={"model": "{agent}"}),
    "POST /v1/model-providers": Row({"name": "p-{uuid}", "base_url": "{mcp_url}"}),
    "PATCH /v1/model-providers/{provider_id}": Row({"api_key": "k"}),
    "DELETE /v1/model-providers/{provider_id}": Row(path={"provider_id": "{+provider}"}),
    "POST /v1/agents/{agent_id}/shares": Row({"user_id": "user-00000000-0000-0000-0000-000000000000"}),
    "DELETE /v1/agents/{agent_id}/shares/{user_id}": Row(path={"agent_id": "{+lent}", "user_id": "{me}"}),
    "GET /v1/shared-agents/{agent_id}/messages": Row(path={"agent_id": "{lent}"}),
    "POST /v1/shared-agents/{agent_id}/messages": Row({"text": "hello"}, path={"agent_id": "{lent}"}),
    "POST /v1/shared-agents/{agent_id}/messages/stream": Row({"text": "hello"}, path={"agent_id": "{lent}"}),
    # The door
    "POST /v1/admin/accounts": Row({"name": "n"}, status=(403,)),
    "GET /v1/admin/accounts": Row(status=(403,)),
    "PUT /v1/admin/users/{user_id}/limits": Row({"limits": {"live_turns": 7}}),
    "GET /v1/admin/audit": Row(query={"user_id": "{user}"}),
    "PUT /v1/admin/limits": Row({"limits": {}}),
    "POST /v1/admin/users": Row({"name": "{uuid}"}),
    "DELETE /v1/admin/users/{user_id}": Row(path={"user_id": "{+user}"}),
    "PATCH /v1/admin/users/{user_id}": Row({"metadata": {"a": 1}}),
    "POST /v1/admin/keys": Row({"kind": "KEY_KIND_USER", "user_id": "{user}"}),
    "GET /v1/admin/keys": Row(query={"user_id": "{user}"}),
    "POST /v1/admin/keys/{key_id}/rotate": Row({}),
    "DELETE /v1/admin/keys/{key_id}": Row(path={"key_id": "{+key}"}),
}
