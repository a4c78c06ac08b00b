"""Wakes the owner of an execution; adapters differ in how far a nudge travels."""
