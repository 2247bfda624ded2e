"""Every method of the contract is known to read or to write."""

from __future__ import annotations

import pytest

from servicekit import scopes
from triptych.agent.v1 import agent_pb2, step_pb2, turn_pb2, upkeep_pb2
from triptych.archival.v1 import archival_pb2
from triptych.gateway.v1 import agent_file_pb2, batch_pb2, gateway_pb2, group_pb2, memory_pb2
from triptych.recall.v1 import recall_pb2

# How the names of methods that write begin. A new word goes here, or to `_READS` of servicekit/scopes.py.
WRITES = (
    *("Add", "Append", "Attach", "Cancel", "Close", "Compact", "Continue", "Create", "Delete", "Detach", "Fork"),
    *(
        "Import",
        "Insert",
        "Open",
        "Purge",
        "Refresh",
        "Reset",
        "Restore",
        "Revoke",
        "Rotate",
        "Run",
        "Send",
        "Session",
        "Set",
        "Start",
        "Undo",
    ),
    *("Update", "Upsert"),
)
METHODS = [
    f"/{service.full_name}/{method.name}"
    for module in (
        *(agent_pb2, turn_pb2, step_pb2, upkeep_pb2, archival_pb2, recall_pb2),
        *(gateway_pb2, memory_pb2, group_pb2, batch_pb2, agent_file_pb2),
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_taken_for_a_read_or_named_as_a_write(method: str) -> None:
    writes = method.rpartition("/")[2].startswith(WRITES)
    assert scopes.reads(method) != writes, f"does {method} write? say so in WRITES or in servicekit/scopes.py"
