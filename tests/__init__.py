"""Everything that shows Hostler to work."""
