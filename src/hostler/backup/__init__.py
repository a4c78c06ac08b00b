"""Backups: an installation's database, blobs, kept work and keys in one file, and a new data folder from it."""
