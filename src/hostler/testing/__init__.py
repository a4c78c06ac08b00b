"""Shipped fakes, fault injection, and one conformance suite per port."""
