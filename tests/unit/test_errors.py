from __future__ import annotations

from urllib.parse import quote

import grpc
import pytest

from triptych import errors
from triptych.errors import NotFound, TriptychError, from_rpc_error, from_status
from triptych.type.v1.type_pb2 import ErrorReason

CLASSES = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, TriptychError) and cls is not TriptychError
]


def sent(error: TriptychError) -> grpc.aio.AioRpcError:
    """The error as a client of grpc sees it."""
    details = grpc.aio.Metadata(("grpc-status-details-bin", error.to_status().SerializeToString()))
    return grpc.aio.AioRpcError(error.code, grpc.aio.Metadata(), details, error.message)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("reason", ErrorReason.values()[1:])
def test_every_error_arrives_as_it_was_raised(cls: type[TriptychError], reason: ErrorReason.ValueType) -> None:
    raised = cls("what", reason=reason, metadata={"field": "x"})
    arrived = from_rpc_error(sent(raised))
    assert type(arrived) is cls
    assert (arrived.message, arrived.reason, arrived.metadata) == ("what", reason, {"field": "x"})


def test_an_error_without_details_is_mapped_by_its_code() -> None:
    bare = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")
    assert isinstance(from_rpc_error(bare), errors.Unavailable)


def test_an_unknown_code_or_reason_is_still_an_error_of_the_tree() -> None:
    assert isinstance(from_status(2, "x", reason_name="NOT_A_REASON"), errors.Internal)


def test_foreign_and_missing_have_the_same_words() -> None:
    assert NotFound("agent", "agent-1").message == "Agent with ID agent-1 not found"


def test_a_failed_turn_is_one_error_whichever_client_raises_it() -> None:
    from triptych import aio, client

    assert aio.TurnFailed is client.TurnFailed
    assert issubclass(aio.TurnFailed, TriptychError)


@pytest.mark.parametrize("sent_by_caller", ["x" * 50_000, "🦆" * 50_000, "\udc80" * 50_000])
def test_an_error_that_quotes_what_is_long_fits_into_the_metadata(sent_by_caller: str) -> None:
    status = NotFound("agent", sent_by_caller).to_status()
    assert status.message.startswith("Agent with ID ")
    assert len(quote(status.message)) + len(status.SerializeToString()) * 4 / 3 < 8192


def test_an_error_is_not_cut_that_fits() -> None:
    assert NotFound("agent", "x" * 200).to_status().message == f"Agent with ID {'x' * 200} not found"
