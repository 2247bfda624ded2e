"""The door for MCP clients: an agent's memory as tools."""
