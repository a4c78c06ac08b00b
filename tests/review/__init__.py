"""Findings of a review: each test shows one broken promise."""
