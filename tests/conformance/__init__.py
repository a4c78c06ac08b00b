"""`hostler conformance` against our own server, and against servers that break one promise each."""
