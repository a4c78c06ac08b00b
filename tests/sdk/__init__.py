"""The official clients as black boxes: each is started as its users start it and told only where the server is."""
