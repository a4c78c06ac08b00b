"""The command line: a client of the API like any other, and the door to the server on this machine.

Client commands speak JSON over HTTP with the standard library alone; they import neither the configuration nor the
generated contract, nor anything that only Linux has, so that they answer at once and run anywhere.
"""
