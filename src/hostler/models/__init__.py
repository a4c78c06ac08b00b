"""Models of every provider behind the ports `Model` and `Models`; nothing here knows what a call is made for."""
