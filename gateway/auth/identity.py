"""Who the gateway has found a caller to be."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from gateway import audit_trail
from servicekit.principal import Principal, Scope
from triptych.errors import PermissionDenied, Unauthenticated
from triptych.gateway.v1 import gateway_pb2 as pb


@dataclass(frozen=True)
class Identity:
    """`kind`: unspecified, and `key_id` empty, for a token of an identity provider."""

    principal: Principal
    kind: pb.KeyKind.ValueType
    key_id: str = ""

    @property
    def scope(self) -> pb.KeyScope.ValueType:
        return _SCOPES[self.principal.scope]


_SCOPES = {
    Scope.USER: pb.KEY_SCOPE_USER,
    Scope.READ_ONLY: pb.KEY_SCOPE_READ_ONLY,
    Scope.ADMIN: pb.KEY_SCOPE_ADMIN,
}
_current: ContextVar[Identity] = ContextVar("identity")


def bind(identity: Identity) -> None:
    """Makes it the caller's for the rest of this task."""
    _current.set(identity)
    audit_trail.begin()


def current() -> Identity:
    """Raises: Unauthenticated outside of a call."""
    try:
        return _current.get()
    except LookupError:
        raise Unauthenticated("the call was not authenticated") from None


def admin_account() -> str:
    """The caller's account. Raises: PermissionDenied for a caller who is no admin."""
    caller = current().principal
    if caller.scope is not Scope.ADMIN:
        raise PermissionDenied("an admin key is needed")
    return caller.tenant.account_id


def check_operator() -> None:
    """Raises: PermissionDenied for a caller without an operator key of scope admin."""
    if current().kind != pb.KEY_KIND_OPERATOR or current().principal.scope is not Scope.ADMIN:
        raise PermissionDenied("an operator key is needed")
