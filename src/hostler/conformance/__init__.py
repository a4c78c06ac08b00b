"""Black-box checks of the wire contract against any server that speaks it.

Nothing here knows the server's own code: only the standard library and an HTTP client are imported, so that what
passes is what is on the wire.
"""
