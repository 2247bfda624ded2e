"""The door for OpenAI clients: agents are models, and a completion is a turn."""
