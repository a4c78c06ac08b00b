"""Hostler runs AI software agents on code repositories, on your own machines, with your own models and keys."""

__version__ = "0.1.0"
