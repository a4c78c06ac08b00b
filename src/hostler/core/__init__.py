"""The pure middle: what can happen to an execution and what should happen next, without I/O or clock."""
