"""The built-in agent: what the model is told, made from the log."""
