"""A support bot: one agent that has read the documents, and a conversation for each customer.

python examples/support_bot.py DOCUMENT… -- "a customer's question" "another customer's question"
"""

from __future__ import annotations

import sys

from triptych import Triptych
from triptych.agent.v1.agent_pb2 import Agent


def support_bot(client: Triptych, documents: list[str]) -> Agent:
    """The bot, with all documents in an archive that it searches. Documents that it has already add nothing."""
    archive = next(iter(client.archives.list("handbook")), None) or client.archives.create("handbook")
    for path in documents:
        added = client.documents.add(path, archive.id)
        print(f"{added.document.file_name}: {added.document.passage_count} passages")
    bot = client.agents.create(
        "support",
        blocks={
            "persona": "I help customers. I search my archival memory before I answer, and say what I found where."
        },
    )
    bot.archive_ids.append(archive.id)
    return client.agents.update(bot, "archive_ids")


def main(documents: list[str], questions: list[str]) -> None:
    with Triptych.from_env() as client:
        bot = support_bot(client, documents)
        for number, question in enumerate(questions, start=1):
            # Each customer has a thread; none sees what another one said in the window, and all share the handbook.
            thread = client.agents.new_conversation(bot.id, summary=f"customer {number}")
            reply = client.turns.send(bot.id, question, conversation_id=thread.id)
            print(f"customer {number}: {question}")
            for hit in client.archival.search(bot, question, limit=1):
                print(f"  found in {hit.passage.source.file_name}: {hit.passage.text.strip()}")
            print(f"  {reply.text}")


if __name__ == "__main__":
    split = sys.argv.index("--")
    main(sys.argv[1:split], sys.argv[split + 1 :])
