"""The wire: the contract's services over HTTP, the live stream, and Hostler's own small API. The only importer of the
generated contract.

The edge authenticates, validates and maps errors once for every service; behind it each service parses, asks the desk
and renders, and checks nothing a second time.
"""
