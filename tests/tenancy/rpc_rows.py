"""What to ask of each RPC: a request that succeeds for Ann (see `world.MAKING` for the placeholders)."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.mcp_server import TOKEN

_SCHEMA = '{"type": "object", "properties": {}}'
_MESSAGE = {"role": "ROLE_USER", "text": "{words}", "create_time": "2026-01-01T00:00:00Z"}
_LATER = "2126-01-01T00:00:00Z"
_AGENT_FILE = base64.b64encode(b'{"agents": [{"id": "agent-0"}]}').decode()

ROWS: dict[str, Any] = {
    # Agents
    "AgentService/CreateAgent": {"agent": {"name": "n", "identity_ids": ["{identity}"]}, "block_ids": ["{block}"]},
    "AgentService/GetAgent": {"agent_id": "{agent}"},
    "AgentService/ListAgents": {"block_id": "{block}", "after_id": "{agent}", "identity_id": "{identity}"},
    "AgentService/CountAgents": {},
    "AgentService/ListAgentTags": {},
    "AgentService/UpdateAgent": {"agent": {"id": "{agent}", "description": "d"}, "update_mask": "description"},
    "AgentService/DeleteAgent": {"agent_id": "{+agent}"},
    "AgentService/PreviewContext": {"agent_id": "{agent}", "conversation_id": "{conversation}"},
    # Blocks
    "AgentService/CreateBlock": {"block": {"label": "l", "value": "v"}},
    "AgentService/GetBlock": {"block_id": "{block}"},
    "AgentService/ListBlocks": {"before_id": "{block}", "identity_id": "{identity}"},
    "AgentService/CountBlocks": {},
    "AgentService/UpdateBlock": {"block": {"id": "{block}", "value": "v"}, "update_mask": "value"},
    "AgentService/DeleteBlock": {"block_id": "{+block}"},
    "AgentService/AttachBlock": {"agent_id": "{+agent}", "block_id": "{block}"},
    "AgentService/DetachBlock": {"agent_id": "{agent}", "block_id": "{agent_block}"},
    "AgentService/ListBlockRevisions": {"block_id": "{block}"},
    "AgentService/GetBlockAsOf": {"block_id": "{block}", "time": _LATER},
    "AgentService/DiffBlockRevisions": {"block_id": "{block}", "to_revision": 1},
    "AgentService/UndoBlockRevision": {"block_id": "{+edited_block}", "revision": 2},
    "AgentService/UndoSleepTimeTurn": {"turn_id": "{sleep_turn}"},
    "AgentService/GetCoreMemoryAsOf": {"agent_id": "{agent}", "time": _LATER},
    # Conversations, tools, models
    "AgentService/CreateConversation": {"conversation": {"agent_id": "{agent}"}},
    "AgentService/GetConversation": {"conversation_id": "{conversation}"},
    "AgentService/ListConversations": {"agent_id": "{agent}", "after_id": "{conversation}"},
    "AgentService/UpdateConversation": {"conversation": {"id": "{conversation}", "title": "t"}, "update_mask": "title"},
    "AgentService/DeleteConversation": {"conversation_id": "{+conversation}"},
    "AgentService/ForkConversation": {"conversation_id": "{conversation}"},
    "AgentService/CompactConversation": {"agent_id": "{agent}", "conversation_id": "{conversation}"},
    "AgentService/ResetConversation": {"agent_id": "{agent}", "conversation_id": "{conversation}"},
    "AgentService/ListTools": {"mcp_server_id": "{server}"},
    "AgentService/CountTools": {},
    "AgentService/GetTool": {"tool_id": "{own_tool}"},
    "AgentService/CreateTool": {"tool": {"name": "t-{uuid}", "description": "d", "json_schema": _SCHEMA}},
    "AgentService/UpdateTool": {"tool": {"id": "{own_tool}", "description": "d"}, "update_mask": "description"},
    "AgentService/UpsertTool": {"tool": {"name": "t-{uuid}", "description": "d", "json_schema": _SCHEMA}},
    "AgentService/DeleteTool": {"tool_id": "{+own_tool}"},
    "AgentService/AttachTool": {"agent_id": "{+agent}", "tool_id": "{own_tool}"},
    "AgentService/DetachTool": {"agent_id": "{agent}", "tool_id": "{own_tool}"},
    "AgentService/AttachArchive": {"agent_id": "{+agent}", "archive_id": "{archive}"},
    "AgentService/DetachArchive": {"agent_id": "{+reader}", "archive_id": "{archive}"},
    "AgentService/OpenFile": {"agent_id": "{reader}", "document_id": "{+document}"},
    "AgentService/CloseFiles": {"agent_id": "{reader}", "document_id": "{+document}"},
    "AgentService/RunTool": {
        "tool_id": "{server_tool}",
        "agent_id": "{equipped}",
        "arguments": '{"a": 1, "b": 2}',
    },
    "AgentService/CreateMcpServer": {
        "server": {"name": "s-{uuid}", "url": "{mcp_url}", "headers": {"authorization": TOKEN}}
    },
    "AgentService/GetMcpServer": {"server_id": "{server}"},
    "AgentService/ListMcpServers": {"after_id": "{server}"},
    "AgentService/RefreshMcpServer": {"server_id": "{server}"},
    "AgentService/UpdateMcpServer": {
        "server": {"id": "{+server}", "headers": {"authorization": TOKEN}},
        "update_mask": "headers",
    },
    "AgentService/DeleteMcpServer": {"server_id": "{+server}"},
    "AgentService/ListModels": {},
    "ProviderService/CreateProvider": {"provider": {"name": "p-{uuid}", "base_url": "{mcp_url}"}},
    "ProviderService/GetProvider": {"provider_id": "{provider}"},
    "ProviderService/ListProviders": {},
    "ProviderService/UpdateProvider": {"provider": {"id": "{provider}", "api_key": "k"}, "update_mask": "apiKey"},
    "ProviderService/DeleteProvider": {"provider_id": "{+provider}"},
    # Identities
    "IdentityService/CreateIdentity": {
        "identity": {"identifier_key": "{uuid}", "name": "n", "agent_ids": ["{agent}"], "block_ids": ["{block}"]}
    },
    "IdentityService/GetIdentity": {"identity_id": "{identity}"},
    "IdentityService/ListIdentities": {"after_id": "{identity}", "identity_ids": ["{identity}"]},
    "IdentityService/CountIdentities": {},
    "IdentityService/UpdateIdentity": {
        "identity": {"id": "{identity}", "name": "n", "agent_ids": ["{agent}"]},
        "update_mask": "name,agentIds",
    },
    "IdentityService/UpsertIdentity": {
        "identity": {"identifier_key": "{uuid}", "name": "n", "block_ids": ["{block}"]},
        "update_mask": "name",
    },
    "IdentityService/DeleteIdentity": {"identity_id": "{+identity}"},
    "IdentityService/AttachIdentity": {"identity_id": "{identity}", "block_id": "{block}"},
    "IdentityService/DetachIdentity": {"identity_id": "{+identity}", "agent_id": "{agent}"},
    # Agents for guests
    "SharingService/ShareAgent": {"agent_id": "{agent}", "user_id": "user-00000000-0000-0000-0000-000000000000"},
    "SharingService/ListAgentShares": {"agent_id": "{agent}"},
    "SharingService/RevokeAgentShare": {"agent_id": "{+lent}", "user_id": "{me}"},
    "SharingService/ListSharedAgents": {},
    "SharingService/StartSharedTurn": {"agent_id": "{lent}", "request_id": "{uuid}", "text": "hello"},
    "SharingService/ListSharedMessages": {"agent_id": "{lent}"},
    # Turns
    "TurnService/StartTurn": {
        "agent_id": "{agent}",
        "conversation_id": "{conversation}",
        "request_id": "{uuid}",
        "messages": [{"text": "hello"}],
    },
    "TurnService/ResumeTurn": {"turn_id": "{turn}"},
    "TurnService/GetTurn": {"turn_id": "{turn}"},
    "TurnService/ListTurnEvents": {"turn_id": "{turn}"},
    "TurnService/ListTurns": {
        "agent_id": "{agent}",
        "conversation_id": "{conversation}",
        "after_id": "{turn}",
    },
    "TurnService/CancelTurn": {"turn_id": "{turn}"},
    "TurnService/ContinueTurn": {
        "turn_id": "{+waiting}",
        "request_id": "{uuid}",
        "tool_returns": [{"tool_call_id": "call-0", "text": "seen"}],
    },
    "StepService/GetStep": {"step_id": "{step}"},
    "StepService/ListSteps": {"turn_id": "{turn}", "agent_id": "{agent}", "before_id": "{step}"},
    "StepService/GetStepContext": {"step_id": "{step}"},
    "StepService/SetStepFeedback": {"step_id": "{step}", "feedback": "STEP_FEEDBACK_POSITIVE"},
    # Archives
    "ArchivalService/CreateArchive": {"archive": {"name": "n"}},
    "ArchivalService/GetArchive": {"archive_id": "{archive}"},
    "ArchivalService/ListArchives": {"after_id": "{archive}"},
    "ArchivalService/UpdateArchive": {"archive": {"id": "{archive}", "name": "n"}, "update_mask": "name"},
    "ArchivalService/DeleteArchive": {"archive_id": "{+archive}"},
    "ArchivalService/InsertPassages": {
        "archive_id": "{archive}",
        "request_id": "{uuid}",
        "passages": [{"text": "a fact"}],
    },
    "ArchivalService/GetPassage": {"passage_id": "{passage}"},
    "ArchivalService/ListPassages": {"archive_ids": ["{archive}"], "after_id": "{passage}"},
    "ArchivalService/CountPassages": {"archive_ids": ["{archive}"], "measure": True},
    "ArchivalService/DeletePassage": {"passage_id": "{+passage}", "archive_ids": ["{archive}"]},
    "ArchivalService/SearchPassages": {"archive_ids": ["{archive}"], "query": "OWN-WORDS"},
    "ArchivalService/AddDocument": [
        {"header": {"archive_id": "{archive}", "file_name": "{uuid}.txt", "request_id": "{uuid}"}},
        {"chunk": "QW5vdGhlciBmaWxlLg=="},
    ],
    "ArchivalService/GetDocument": {"document_id": "{document}"},
    "ArchivalService/ListDocuments": {"archive_ids": ["{archive}"]},
    "ArchivalService/RestoreDocument": {
        "document": {
            "id": "{document}",
            "archive_id": "{archive}",
            "file_name": "{uuid}.txt",
            "content_sha256": "0" * 64,
        }
    },
    "ArchivalService/DeleteDocument": {"document_id": "{+document}"},
    "ArchivalService/PurgeArchives": {"archive_ids": {"ids": ["{+archive}"]}, "request_id": "{uuid}"},
    # Recall, which knows no agents: a foreign conversation and one never seen are both the caller's own and empty
    "RecallService/UpdateMessage": {"message_id": "{message}", "text": "{words}"},
    "RecallService/GetMessages": {"message_ids": ["{message}"]},
    "RecallService/ListMessages": {
        "agent_id": "{agent}",
        "conversation_id": "{conversation}",
        "after_id": "{message}",
    },
    "RecallService/SearchMessages": {
        "query": "OWN-WORDS",
        "agent_id": "{agent}",
        "conversation_id": "{conversation}",
    },
    "RecallService/CountMessages": {"agent_id": "{agent}", "conversation_id": "{conversation}", "measure": True},
    "RecallService/PurgeMessages": {"agent_id": "{+agent}", "request_id": "{uuid}"},
    # The last of them: what Ann appends under a foreign agent's id is hers, and would be found by those above.
    "RecallService/AppendMessages": {
        "agent_id": "{agent}",
        "conversation_id": "conv-{uuid}",
        "request_id": "{uuid}",
        "messages": [_MESSAGE],
    },
    # Memory of programs with agents of their own
    "MemoryService/AddMemory": {"agent_id": "{agent}", "request_id": "{uuid}", "facts": [{"text": "a fact"}]},
    "MemoryService/SearchMemory": {"agent_id": "{agent}", "query": "OWN-WORDS"},
    # Groups, batches, agent files
    "GroupService/CreateGroup": {"group": {"agent_ids": ["{agent}"], "description": "{words}"}},
    "GroupService/GetGroup": {"group_id": "{group}"},
    "GroupService/ListGroups": {},
    "GroupService/CountGroups": {},
    "GroupService/UpdateGroup": {
        "group": {"id": "{group}", "agent_ids": ["{agent}"], "description": "{words}"},
        "update_mask": "description,agentIds",
    },
    "GroupService/DeleteGroup": {"group_id": "{+group}"},
    "GroupService/ResetGroup": {"group_id": "{+group}"},
    "GroupService/SendGroupMessage": {
        "group_id": "{group}",
        "request_id": "{uuid}",
        "messages": [{"text": "{words}"}],
    },
    "GroupService/ListGroupMessages": {"group_id": "{group}"},
    "BatchService/CreateBatch": {
        "turns": [{"agent_id": "{agent}", "conversation_id": "{conversation}", "messages": [{"text": "{words}"}]}],
        "request_id": "{uuid}",
    },
    "BatchService/GetBatch": {"batch_id": "{batch}"},
    "BatchService/ListBatches": {},
    "BatchService/CancelBatch": {"batch_id": "{batch}"},
    "BatchService/ListBatchItems": {"batch_id": "{batch}", "agent_id": "{agent}"},
    "AgentFileService/ExportAgent": {"agent_id": "{agent}"},
    "AgentFileService/ImportAgents": [{"header": {"name": "n"}}, {"chunk": _AGENT_FILE}],
    # The door
    "GatewayService/Session": [{"call_id": "1", "resume": {"turn_id": "{turn}"}}],
    "GatewayService/WhoAmI": {},
    "GatewayService/CreateUser": {"name": "{uuid}"},
    "GatewayService/GetUser": {"user_id": "{user}"},
    "GatewayService/ListUsers": {},
    "GatewayService/UpdateUser": {"user": {"id": "{user}", "metadata": {"a": 1}}, "update_mask": "metadata"},
    "GatewayService/CreateKey": {"kind": "KEY_KIND_USER", "user_id": "{user}"},
    "GatewayService/ListKeys": {"user_id": "{user}"},
    "GatewayService/RotateKey": {"key_id": "{key}"},
    "GatewayService/RevokeKey": {"key_id": "{+key}"},
    "GatewayService/DeleteUser": {"user_id": "{+user}"},
    "GatewayService/GetErasure": {"erasure_id": "{erased}"},
    "GatewayService/ExportUser": {"user_id": "{user}"},
    "GatewayService/GetUsage": {"user_id": "{user}"},
    "GatewayService/SetLimits": {"user_id": "{user}", "limits": {"live_turns": 7}},
    "GatewayService/ListAuditEvents": {"user_id": "{user}"},
}
# An operator's, which no account's admin may call.
OPERATORS = ("GatewayService/CreateAccount", "GatewayService/ListAccounts")
