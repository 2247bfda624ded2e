"""Run `triptych up` in one terminal, and this in another."""

from triptych import Triptych

with Triptych.from_env() as client:
    agent = client.agents.create(
        "quickstart",
        blocks={"human": "Name: Ann.", "persona": "I am a friendly helper with a good memory."},
    )

    reply = client.turns.send(agent.id, "My sister Eva has moved to Lisbon.")
    print("agent:", reply.text)

    # What it has in mind, what was said, what it knows:
    for block in client.agents.get(agent.id).blocks:
        print(f"core, {block.label}: {block.value}")
    for hit in client.recall.search("sister", agent_id=agent.id):
        print(f"recall: {hit.message.text}")
    client.archival.insert(agent, "Eva works at the oceanarium.", tags=["family"])
    for found in client.archival.search(agent, "where does Eva work?"):
        print(f"archival: {found.passage.text}")

    # Events as they happen:
    for event in client.turns.stream(agent.id, "Say hello to her from me!"):
        print(event.text_delta.text, end="", flush=True)
    print()
