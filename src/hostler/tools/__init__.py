"""The built-in agent's tools: one file each, and the registry that lists them."""
