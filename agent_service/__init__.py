"""Agents, their core memory, and the loop that runs their turns."""
