"""The pure middle: what can happen to an execution, and what should happen next. No I/O, no clock, no generated code."""
