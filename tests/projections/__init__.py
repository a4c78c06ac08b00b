"""Functions of the log."""
