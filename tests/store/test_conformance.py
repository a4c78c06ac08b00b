"""The conformance suite, on both databases."""

from hostler.testing.store_suite import SUITE

for suite in SUITE:
    globals()[f"Test{suite.__name__}"] = type(f"Test{suite.__name__}", (suite,), {"__module__": __name__})
