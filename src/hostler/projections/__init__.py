"""Functions of the log: the row and status of an execution, the blocks of its conversation."""
