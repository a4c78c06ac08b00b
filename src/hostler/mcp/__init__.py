"""Connections to MCP servers: a client on a process inside an environment, or on HTTP by an environment's rules."""
