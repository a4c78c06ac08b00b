"""Agent drivers: the built-in loop's context, and later the agents that run inside environments."""
