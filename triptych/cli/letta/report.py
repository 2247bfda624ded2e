"""What an import has brought, and whether all of it is here."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

KINDS = ("blocks", "tools", "messages", "passages")


@dataclass
class Moved:
    """One agent. `there`: how much of each of KINDS the source has; `here`: how much is here, as counted at the end."""

    name: str
    there: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    here: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    # Its id here; '' if it could not be made.
    agent_id: str = ""
    # Why not all of it could be brought.
    problem: str = ""

    @property
    def whole(self) -> bool:
        # An agent that has talked here since has more.
        return not self.problem and all(self.here[kind] >= self.there[kind] for kind in KINDS)


@dataclass
class Report:
    agents: list[Moved] = field(default_factory=list)
    # What can't be here → why.
    left_out: dict[str, str] = field(default_factory=dict)
    # How many there are of what is never brought.
    not_brought: dict[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return all(agent.whole for agent in self.agents)

    def show(self, console: Console) -> None:
        table = Table(title="there → here", title_justify="left")
        table.add_column("agent", overflow="fold")
        for kind in KINDS:
            table.add_column(kind, justify="right")
        table.add_column("")
        for agent in self.agents:
            counts = [f"{agent.there[kind]:,} → {agent.here[kind]:,}" for kind in KINDS]
            table.add_row(agent.name, *counts, agent.problem or ("whole" if agent.whole else "MISSING"))
        console.print(table, markup=False)
        for name, why in self.left_out.items():
            console.print(f"left out: {name}: {why}", markup=False)
        counted = [f"{count:,} {_of_many(kind, count)}" for kind, count in self.not_brought.items() if count]
        if counted:
            console.print(f"not brought: {', '.join(counted)} (docs/letta-programs.md says what to do)", markup=False)


def _of_many(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"
