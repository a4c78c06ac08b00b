"""Scrubbing: a secret that was learned late is found in all that Hostler keeps, and masked there."""
