"""Which archive a command means."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from triptych import archives
from triptych.cli.errors import CommandError
from triptych.cli.which import agent_id
from triptych.client import Triptych

DEFAULT_NAME = "documents"
_ID = re.compile(r"archive-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Target:
    """Where things go. `create_name`: makes it on the first write, '' if it has to be there."""

    archive_id: str
    create_name: str


def resolve(triptych: Triptych, archive: str, agent: str) -> Target:
    """By an archive's id, or name (a new one if there is none), or by the agent whose own it is.

    Raises: CommandError for both at once, or for a name that several have; NotFound for the agent, FailedPrecondition
    if it has none.
    """
    if archive and agent:
        raise CommandError("--archive and --agent are two places: give one of them")
    if agent:
        owner = triptych.agents.get(agent_id(triptych, agent))
        return Target(archives.saved_to(owner), f"{owner.name}'s archive")
    if _ID.fullmatch(archive):
        return Target(archive, "")
    name = archive or DEFAULT_NAME
    known = _named(triptych, name)
    return Target(known[0], "") if known else Target(f"archive-{uuid.uuid4()}", name)


def find(triptych: Triptych, archive: str) -> list[str]:
    """Ids to filter by: of the archive of this name or id; none, which means all, if it is ''.

    Raises: CommandError if there is none of this name, or several.
    """
    if not archive or _ID.fullmatch(archive):
        return [archive] if archive else []
    known = _named(triptych, archive)
    if not known:
        raise CommandError(f"there is no archive {archive!r}: `triptych archival archives` lists them")
    return known


def _named(triptych: Triptych, name: str) -> list[str]:
    known = [each.id for each in triptych.archives.list(name)]
    if len(known) > 1:
        raise CommandError(f"{len(known)} archives are called {name!r}: give the id of one ({', '.join(known[:5])})")
    return known
