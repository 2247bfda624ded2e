"""What the model sees: instructions, core memory, facts about memory, and the window of recent messages."""
