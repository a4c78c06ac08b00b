"""That the wire is what the published contract says."""
