"""Tools of MCP servers. The package `mcp` is imported when the first server is connected to: that takes a second."""
