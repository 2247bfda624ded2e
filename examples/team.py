"""A team: agents that work side by side over one connection, and share what they know in a block.

python examples/team.py "what the first does" "what the second does" …
"""

from __future__ import annotations

import asyncio
import sys

from triptych import AsyncTriptych


async def main(tasks: list[str]) -> None:
    async with AsyncTriptych.from_env() as client, client.session() as session:
        board = await client.blocks.create("board", description="What the team knows. Everybody reads and writes it.")
        team = [
            await client.agents.create(
                f"member {number}",
                blocks={"persona": "I do my part, and write what the others need to know into `board`."},
                block_ids=[board.id],
            )
            for number in range(1, len(tasks) + 1)
        ]
        # All at once: the edits of one never undo those of another.
        pairs = zip(team, tasks, strict=True)
        replies = await asyncio.gather(*(session.send(agent.id, task) for agent, task in pairs))
        for agent, reply in zip(team, replies, strict=True):
            print(f"{agent.name}: {reply.text}")
        print("board:")
        print((await client.blocks.get(board.id)).value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
