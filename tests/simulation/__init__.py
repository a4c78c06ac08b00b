"""Runs that are decided by a number."""
