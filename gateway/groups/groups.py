"""A caller's groups: making, changing and forgetting them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from gateway.backends import Backends
from gateway.groups.detached import Detached
from gateway.store import Store
from gateway.stores import groups
from gateway.stores.groups import Group, GroupTurn, Member
from gateway.stores.requests import Once
from servicekit import ids, principal, scopes
from triptych.agent.v1 import agent_pb2
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import InvalidArgument, NotFound

MAX_MEMBERS = 50
MAX_TURNS = 1_000
_MAX_DESCRIPTION = 10_000
ROUND_ROBIN, SUPERVISOR, SLEEPTIME = "round_robin", "supervisor", "sleeptime"


class Groups:
    def __init__(self, store: Store, backends: Backends) -> None:
        self.store, self.backends = store, backends
        self.detached = Detached[TurnEvent]()
        # One message to a group at a time.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, group_id: str) -> asyncio.Lock:
        return self._locks.setdefault(group_id, asyncio.Lock())

    async def create(
        self,
        manager_type: str,
        settings: Mapping[str, Any],
        agent_ids: Sequence[str],
        manager_agent_id: str,
        request_id: str,
    ) -> Group:
        """Raises: PermissionDenied; InvalidArgument; NotFound for an agent; FailedPrecondition for too many groups."""
        scopes.check(principal.current(), "CreateGroup")
        _check(settings)
        tenant, group_id = principal.tenant(), ids.derived("group", *principal.tenant(), request_id)
        members, manager = await self._joined(group_id, manager_type, agent_ids, manager_agent_id, new=True)
        group = Group(group_id, 0, manager_type, settings, members, manager)
        return await self.store.write(lambda c: groups.create(c, tenant, group, request_id), alone=tenant)

    async def get(self, group_id: str) -> Group:
        """Raises: NotFound."""
        tenant = principal.tenant()
        return await self.store.read(lambda c: groups.get(c, tenant, group_id))

    async def list_page(
        self, size: int, *, before_id: str, after_id: str, descending: bool, manager_type: str
    ) -> list[Group]:
        tenant = principal.tenant()
        return await self.store.read(
            lambda c: groups.list_next(
                c,
                tenant,
                size,
                before_id=before_id,
                after_id=after_id,
                descending=descending,
                manager_type=manager_type,
            )
        )

    async def count(self) -> int:
        tenant = principal.tenant()
        return await self.store.read(lambda c: groups.count(c, tenant))

    async def update(
        self,
        group_id: str,
        settings: Mapping[str, Any],
        agent_ids: Sequence[str] | None,
        manager_agent_id: str,
        once: Once | None = None,
    ) -> Group:
        """Raises: PermissionDenied, InvalidArgument, NotFound (the group, an agent)."""
        scopes.check(principal.current(), "UpdateGroup")
        _check(settings)
        tenant, group = principal.tenant(), await self.get(group_id)
        wanted = [member.agent_id for member in group.members] if agent_ids is None else agent_ids
        manager_id = manager_agent_id or (group.manager.agent_id if group.manager else "")
        known = {member.agent_id: member for member in (*group.members, *filter(None, [group.manager]))}
        members, manager = await self._joined(group_id, group.manager_type, wanted, manager_id, known)

        def work(connection: Connection) -> Group:
            if once is None or once.first(connection):
                groups.change(connection, tenant, group_id, settings)
                groups.set_members(connection, tenant, group_id, members, manager)
            return groups.get(connection, tenant, group_id)

        return await self.store.write(work, alone=tenant)

    async def delete(self, group_id: str, once: Once | None = None) -> None:
        """What was said stays with the agents. Raises: PermissionDenied, NotFound."""
        scopes.check(principal.current(), "DeleteGroup")
        tenant = principal.tenant()

        def work(connection: Connection) -> None:
            if once is None or once.first(connection):
                groups.remove(connection, tenant, group_id)

        await self.store.write(work, alone=tenant)

    async def reset(self, group_id: str, once: Once | None = None) -> Group:
        """Deletes what was said in the group; its agents begin anew there. Raises: PermissionDenied, NotFound."""
        scopes.check(principal.current(), "ResetGroup")
        tenant, back = principal.tenant(), self.backends
        async with self.lock(group_id):
            group = await self.get(group_id)
            if once is not None and await self.store.read(once.known):
                return group
            for member in (*group.members, *filter(None, [group.manager])):
                gone = agent_pb2.DeleteConversationRequest(conversation_id=member.conversation_id)
                with suppress(NotFound):  # it went with its agent, or an earlier reset was cut short
                    await back.agent_peer.unary(back.agents.DeleteConversation, gone)
            agent_ids = [member.agent_id for member in group.members]
            manager_id = group.manager.agent_id if group.manager else ""
            members, manager = await self._joined(group_id, group.manager_type, agent_ids, manager_id)

            def work(connection: Connection) -> Group:
                if once is not None:
                    once.first(connection)
                groups.forget(connection, tenant, group_id)
                groups.set_members(connection, tenant, group_id, members, manager)
                return groups.get(connection, tenant, group_id)

            return await self.store.write(work, alone=tenant)

    async def turns(self, group_id: str) -> list[GroupTurn]:
        """Raises: NotFound."""
        tenant = principal.tenant()
        return await self.store.read(lambda c: groups.turns(c, tenant, group_id))

    async def note(self, group_id: str, turn: GroupTurn) -> None:
        """Notes a turn that was accepted for a message to the group."""
        tenant = principal.tenant()
        await self.store.write(lambda c: groups.note_turn(c, tenant, group_id, turn), alone=tenant)

    async def _joined(
        self,
        group_id: str,
        manager_type: str,
        agent_ids: Sequence[str],
        manager_agent_id: str,
        known: Mapping[str, Member] | None = None,
        *,
        new: bool = False,
    ) -> tuple[list[Member], Member | None]:
        """With a conversation for each who has none yet. `new`: a group that a replay makes again is the same.

        Raises: InvalidArgument, NotFound.
        """
        if not 1 <= len(agent_ids) <= MAX_MEMBERS or len(set(agent_ids)) < len(agent_ids):
            raise InvalidArgument.of("agent_ids", f"must be 1 to {MAX_MEMBERS}, each once")
        if manager_type == SUPERVISOR and not manager_agent_id:
            raise InvalidArgument.of("manager_config.manager_agent_id", "must be given")
        if manager_agent_id in agent_ids:
            raise InvalidArgument.of("manager_config.manager_agent_id", "must not be one of agent_ids")
        known = known or {}
        wanted = [*agent_ids, *([manager_agent_id] if manager_type == SUPERVISOR else [])]
        joined = [known.get(agent_id) or await self._member(group_id, agent_id, new=new) for agent_id in wanted]
        return (joined[:-1], joined[-1]) if manager_type == SUPERVISOR else (joined, None)

    async def _member(self, group_id: str, agent_id: str, *, new: bool) -> Member:
        back, wanted = self.backends, agent_pb2.Conversation(agent_id=agent_id, title=f"Group {group_id}")
        request_id = f"{group_id}/{agent_id}" if new else str(uuid.uuid4())
        request = agent_pb2.CreateConversationRequest(conversation=wanted, request_id=request_id)
        made = (await back.agent_peer.unary(back.agents.CreateConversation, request)).conversation
        return Member(agent_id, made.id)


def _check(settings: Mapping[str, Any]) -> None:
    """Raises: InvalidArgument."""
    description = settings.get("description") or ""
    if len(description) > _MAX_DESCRIPTION or "\0" in description:
        raise InvalidArgument.of("description", f"must be at most {_MAX_DESCRIPTION:,} characters, without NUL")
